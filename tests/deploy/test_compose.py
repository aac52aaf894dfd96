# SPDX-License-Identifier: Apache-2.0
"""The files of deploy/compose: what they name is there, nothing listens to the outside, and the tools accept them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.config_file import load

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / name).read_text())
    return found


SERVICES: dict[str, dict[str, Any]] = read("compose.yaml")["services"]


def test_every_file_and_folder_that_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, _ = volume.partition(":")
            assert (COMPOSE / source).exists() if source.startswith(".") else source in read("compose.yaml")["volumes"]
    build = SERVICES["agent"]["build"]
    assert (COMPOSE / build["context"] / build["dockerfile"]).exists()


def test_nothing_listens_to_the_outside() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_agent_takes_its_configuration_and_sends_spans_to_tempo() -> None:
    config = load(COMPOSE / "agent.yaml", {})
    assert config.exporters.traces.endpoint == "http://tempo:4317"
    (receiver,) = read("tempo.yaml")["distributor"]["receivers"].values()
    assert receiver["protocols"]["grpc"]["endpoint"] == "0.0.0.0:4317"
    assert config.listen.port == 9840


def test_with_gpus_the_same_agent_runs_on_this_machine_s_driver() -> None:
    over = read("gpu.yaml")["services"]
    assert over.keys() == {"agent"}
    assert over["agent"]["command"][0] == "run"
    assert over["agent"]["pid"] == "host"


def test_every_name_that_one_service_calls_another_by_is_a_service() -> None:
    names = set()
    for path in COMPOSE.rglob("*.y*ml"):
        names |= set(re.findall(r"(?:http://|[\"\[])([a-z][a-z-]+):[0-9]{4}", path.read_text()))
    assert names == {"agent", "prometheus", "alertmanager", "tempo"}
    assert names <= SERVICES.keys()


def test_an_exemplar_leads_to_a_trace_and_dashboards_find_their_data() -> None:
    sources = {one["uid"]: one for one in read("grafana/datasources/joulespan.yaml")["datasources"]}
    (exemplars,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert sources[exemplars["datasourceUid"]]["type"] == "tempo"
    assert exemplars["name"] == "trace_id"
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
    (provider,) = read("grafana/dashboards/joulespan.yaml")["providers"]
    mounts = [volume.split(":") for volume in SERVICES["grafana"]["volumes"] if volume.startswith("../../dashboards")]
    assert [mount[1] for mount in mounts] == [provider["options"]["path"]]
    for path in (ROOT / "dashboards" / "json").glob("*.json"):
        kinds = {
            one["query"] for one in json.loads(path.read_text())["templating"]["list"] if one["type"] == "datasource"
        }
        assert kinds <= {one["type"] for one in sources.values()}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_takes_its_configuration_and_the_rules(tmp_path: Path) -> None:
    text = (COMPOSE / "prometheus.yml").read_text()
    mounts = [volume.split(":") for volume in SERVICES["prometheus"]["volumes"] if "alerts" in volume]
    ((source, target, _),) = mounts
    assert f"rule_files: [{target}/*.yaml]" in text
    (tmp_path / "prometheus.yml").write_text(text.replace(target, str((COMPOSE / source).resolve())))
    done = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


@pytest.mark.skipif(not shutil.which("amtool"), reason="amtool is not installed")
@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "on-call"), ("warning", "on-call"), ("info", "nobody")]
)
def test_alertmanager_takes_its_configuration_and_sends_to_whom_it_should(severity: str, receiver: str) -> None:
    file = str(COMPOSE / "alertmanager.yml")
    subprocess.run(["amtool", "check-config", file], check=True, capture_output=True)
    command = ["amtool", "config", "routes", "test", f"--config.file={file}", f"severity={severity}"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == receiver
