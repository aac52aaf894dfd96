# SPDX-License-Identifier: Apache-2.0
"""The Debian package: built here, installed, updated and removed on a machine that systemd runs."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import PYTHON
from tests.deploy.machine import Machine, NoMachineError, boot
from tests.deploy.test_unit_under_systemd import FIRST_DYNAMIC_UID, UNIT, wait

ROOT = Path(__file__).parents[2]
EXPOSURE = 30
"""Tenths of systemd-analyze's points."""
HEALTH = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9840/healthz', timeout=5).status)"


@pytest.fixture(scope="module")
def package(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of this checkout."""
    folder = tmp_path_factory.mktemp("package")
    build = ["sh", str(ROOT / "deploy" / "debian" / "build.sh"), str(PYTHON), str(folder), str(tree)]
    subprocess.run(build, check=True, timeout=600, env=os.environ | {"DPKG_DEB_COMPRESSOR_TYPE": "none"})
    (made,) = folder.glob("*.deb")
    return made


@pytest.fixture(scope="module")
def machine(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the package's file, where services may start."""
    try:
        with boot(tmp_path_factory.mktemp("machine")) as started:
            (started.files / "joulespan.deb").write_bytes(package.read_bytes())
            (started.files / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
            yield started
    except NoMachineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def installed(machine: Machine) -> str:
    """What is printed while it is installed."""
    return machine.run("dpkg", "--install", "/joulespan.deb")


def test_it_runs_when_it_is_installed_and_says_what_the_node_can_be_asked(machine: Machine, installed: str) -> None:
    wait(lambda: machine.show(UNIT, "ActiveState") == "active", 20, "a service that runs")
    assert "driver" in installed
    assert machine.show(UNIT, "UnitFileState") == "enabled"
    assert machine.run(str(PYTHON), "-c", HEALTH) == "200\n"
    assert int(machine.run("stat", "--format=%u", f"/proc/{machine.show(UNIT, 'MainPID')}")) >= FIRST_DYNAMIC_UID
    assert machine.run("joulespan", "version").startswith("joulespan ")


@pytest.mark.usefixtures("installed")
def test_the_loaded_unit_exposes_little(machine: Machine) -> None:
    told = machine.run("systemd-analyze", "--no-pager", "security", f"--threshold={EXPOSURE}", UNIT)
    assert "Overall exposure level" in told


@pytest.mark.usefixtures("installed")
def test_it_tells_what_is_in_it(machine: Machine) -> None:
    told = json.loads(machine.run("cat", "/usr/share/doc/joulespan/sbom.json"))
    pinned = [line.partition(";")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    listed = {f"{one['name']}=={one['version']}" for one in told["components"]}
    assert listed == {line.lower().replace("_", "-") for line in pinned if "==" in line}


@pytest.mark.usefixtures("installed")
def test_an_update_keeps_what_the_administrator_wrote_and_starts_the_new_agent(machine: Machine) -> None:
    machine.write("/etc/joulespan/config.yaml", "attribution: { lateness: 5s }\n")
    before = machine.show(UNIT, "MainPID")
    machine.run("dpkg", "--install", "--force-confold", "/joulespan.deb")
    wait(lambda: machine.show(UNIT, "ActiveState") == "active", 20, "a service that runs again")
    assert machine.show(UNIT, "MainPID") not in ("0", before)
    assert "lateness" in machine.run("cat", "/etc/joulespan/config.yaml")


@pytest.mark.usefixtures("installed")
def test_removed_it_is_stopped_and_purged_it_leaves_nothing(machine: Machine) -> None:
    machine.run("dpkg", "--remove", "joulespan")
    assert machine.show(UNIT, "ActiveState") in ("inactive", "failed")
    assert "lateness" in machine.run("cat", "/etc/joulespan/config.yaml")
    machine.run("dpkg", "--purge", "joulespan")
    left = machine.run("find", "/etc", "/usr", "/var/lib", "-path", "*joulespan*", "-not", "-path", "*/dpkg/*")
    assert left == ""
