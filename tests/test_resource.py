# SPDX-License-Identifier: Apache-2.0
"""Who exports: detected attributes, and what OTEL_* variables make of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.resource import resource_attributes

MACHINE = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The root of a host with a name and a machine id."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text(f"{MACHINE}\n")
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/hostname").write_text("node-7\n")
    return tmp_path


def test_a_host_is_described_by_its_files(host: Path) -> None:
    found = resource_attributes({}, root=host, version="1.2.3")
    assert found.pop("host.arch")
    assert found == {
        "service.instance.id": "node-7",
        "service.name": "joulespan",
        "service.version": "1.2.3",
        "host.name": "node-7",
        "host.id": MACHINE,
        "os.type": "linux",
    }


def test_the_instance_is_the_same_each_time_and_another_on_another_host(host: Path) -> None:
    first = resource_attributes({}, root=host, version="1")["service.instance.id"]
    assert resource_attributes({}, root=host, version="2")["service.instance.id"] == first
    (host / "proc/sys/kernel/hostname").write_text("node-8\n")
    assert resource_attributes({}, root=host, version="1")["service.instance.id"] != first


@pytest.mark.parametrize("content", [None, "", "uninitialized\n"])
def test_without_a_machine_id_there_is_no_host_id(host: Path, content: str | None) -> None:
    (host / "etc/machine-id").unlink()
    if content is not None:
        (host / "etc/machine-id").write_text(content)
    found = resource_attributes({}, root=host, version="1")
    assert "host.id" not in found


def test_without_any_file_the_kernel_gives_the_name(tmp_path: Path) -> None:
    assert resource_attributes({}, root=tmp_path, version="1")["host.name"]


def test_variables_add_attributes_and_replace_detected_ones(host: Path) -> None:
    environ = {
        "OTEL_RESOURCE_ATTRIBUTES": " k8s.node.name = n%2C1 ,host.name=h=1,service.name=a,service.instance.id=i,empty=",
        "OTEL_SERVICE_NAME": "b",
    }
    found = resource_attributes(environ, root=host, version="1")
    assert found["k8s.node.name"] == "n,1"
    assert found["host.name"] == "h=1"
    assert found["service.instance.id"] == "i"
    assert found["service.name"] == "b"
    assert found["empty"] == ""


def test_a_host_name_that_is_given_is_the_instance(host: Path) -> None:
    given = resource_attributes({"OTEL_RESOURCE_ATTRIBUTES": "host.name=gpu-1"}, root=host, version="1")
    assert given["service.instance.id"] == "gpu-1"


def test_an_empty_service_name_is_none(host: Path) -> None:
    assert resource_attributes({"OTEL_SERVICE_NAME": ""}, root=host, version="1")["service.name"] == "joulespan"


@pytest.mark.parametrize("pair", ["broken", "=value", "key=%zz", "key=100%", "key=%ff"])
def test_a_malformed_pair_is_named_and_left_out_alone(host: Path, pair: str, caplog: pytest.LogCaptureFixture) -> None:
    found = resource_attributes({"OTEL_RESOURCE_ATTRIBUTES": f"a=1,{pair},b=2,"}, root=host, version="1")
    assert (found["a"], found["b"]) == ("1", "2")
    assert "key" not in found
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert pair in caplog.text


def test_describing_the_host_does_not_load_opentelemetry() -> None:
    program = "import sys, agent.resource, exporters.otlp_settings; print(*sys.modules, sep='\\n')"
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not [name for name in ran.stdout.split() if name.startswith(("opentelemetry", "grpc", "requests"))]
