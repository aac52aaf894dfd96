# SPDX-License-Identifier: Apache-2.0
"""A real systemd starts, watches, reloads, restarts and stops the service, and holds it to its restrictions."""

import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.deploy.machine import PREFIX, PYTHON, ROOT, Machine, NoMachineError, boot
from tests.mock_nvml.control import MockNvml

UNITS = ROOT / "deploy" / "systemd"
UNIT = "joulespan.service"
FIRST_DYNAMIC_UID = 61184
DENIED = "Operation not permitted"
READ_ONLY = "Read-only file system"
NODES = {
    "nvidia0": (195, 0),
    "nvidia15": (195, 15),
    "nvidiactl": (195, 255),
    "kmsg": (1, 11),
    "loop-control": (10, 237),
}


class Service(NamedTuple):
    """A program to run as the service, and what it says of itself after a reload."""

    module: str
    reloaded: str


SERVICES = [Service("tests.deploy.stand_in", "reloaded"), Service("agent", "running")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the unit, its environment file and an empty configuration."""
    try:
        with boot(tmp_path_factory.mktemp("machine")) as started:
            started.write(f"/etc/systemd/system/{UNIT}", (UNITS / UNIT).read_text())
            variables = (UNITS / "joulespan.default").read_text() + f"PYTHONPATH={PREFIX}/source\n"
            started.write("/etc/default/joulespan", variables, mode=0o600)
            started.write("/etc/joulespan/config.yaml", "")
            yield started
    except NoMachineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=SERVICES, ids=lambda service: service.module)
def service(request: pytest.FixtureRequest, machine: Machine) -> Service:
    """The program behind the unit's command, with a watchdog that does not take half a minute."""
    chosen: Service = request.param
    # A Python with a shared library of its own would find the system's in its place.
    program = f'#!/bin/sh\nLD_LIBRARY_PATH={PYTHON}/lib exec {PREFIX}/bin/python -m {chosen.module} "$@"\n'
    machine.write(f"{PREFIX}/bin/joulespan", program, mode=0o755)
    machine.write(f"/etc/systemd/system/{UNIT}.d/test.conf", "[Service]\nWatchdogSec=2\n")
    machine.run("systemctl", "daemon-reload")
    return chosen


@pytest.fixture
def running(machine: Machine, service: Service) -> Iterator[Service]:
    """The started service."""
    machine.run("systemctl", "start", UNIT)
    yield service
    machine.run("systemctl", "stop", UNIT)
    machine.run("systemctl", "reset-failed", UNIT, check=False)


def wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@pytest.mark.usefixtures("running")
def test_the_service_is_active_when_it_says_so_and_has_a_user_of_its_own(machine: Machine) -> None:
    assert machine.show(UNIT, "ActiveState") == "active"
    assert machine.show(UNIT, "StatusText")
    pid = machine.show(UNIT, "MainPID")
    assert int(machine.run("stat", "--format=%u", f"/proc/{pid}")) >= FIRST_DYNAMIC_UID


def test_a_reload_keeps_the_process_and_ends(machine: Machine, running: Service) -> None:
    pid = machine.show(UNIT, "MainPID")
    machine.run("systemctl", "reload", UNIT)
    wait(lambda: running.reloaded in machine.show(UNIT, "StatusText"), 5, "a status that tells of the reload")
    assert machine.show(UNIT, "ActiveState") == "active"
    assert machine.show(UNIT, "MainPID") == pid


@pytest.mark.usefixtures("running")
def test_a_frozen_service_is_killed_and_starts_again(machine: Machine) -> None:
    pid = machine.show(UNIT, "MainPID")
    machine.run("kill", "-STOP", pid)
    wait(lambda: machine.show(UNIT, "NRestarts") == "1", 10, "a restart")
    wait(lambda: machine.show(UNIT, "ActiveState") == "active", 10, "active again")
    assert machine.show(UNIT, "MainPID") not in ("0", pid)
    log = machine.run("journalctl", "--no-pager", "--output=cat", "--unit", UNIT)
    assert "Watchdog timeout" in log
    assert "Fatal Python error: Aborted" in log


@pytest.mark.usefixtures("running")
def test_a_healthy_service_outlives_its_watchdog_and_stops_within_its_time(machine: Machine) -> None:
    pid = machine.show(UNIT, "MainPID")
    time.sleep(3)
    assert (machine.show(UNIT, "ActiveState"), machine.show(UNIT, "MainPID")) == ("active", pid)
    begin = time.monotonic()
    machine.run("systemctl", "stop", UNIT)
    assert time.monotonic() - begin < 6
    assert (machine.show(UNIT, "Result"), machine.show(UNIT, "ActiveState")) == ("success", "inactive")


def test_a_mistake_in_the_configuration_is_not_tried_again(machine: Machine, service: Service) -> None:
    assert service
    machine.write("/etc/joulespan/config.yaml", "no such key: 1\n")
    try:
        machine.run("systemctl", "start", UNIT, check=False)
        time.sleep(2.5)
        assert machine.show(UNIT, "ActiveState") == "failed"
        assert (machine.show(UNIT, "ExecMainStatus"), machine.show(UNIT, "NRestarts")) == ("2", "0")
    finally:
        machine.write("/etc/joulespan/config.yaml", "")
        machine.run("systemctl", "reset-failed", UNIT)


@pytest.fixture(scope="module")
def nodes(machine: Machine) -> Path:
    """Device nodes that any user may read, so that only the unit's device policy stands in the way."""
    place = PREFIX / "nodes"
    outside = machine.files / place.relative_to("/")
    outside.mkdir()
    # The unit's DeviceAllow= looks up the number of this one, which a container lacks.
    machine.run("mknod", "/dev/kmsg", "c", "1", "11")
    for name, (major, minor) in NODES.items():
        os.mknod(outside / name, stat.S_IFCHR, os.makedev(major, minor))
        (outside / name).chmod(0o666)
    return place


def probe(machine: Machine, nodes: Path, library: Path, *drop_ins: str) -> dict[str, Any]:
    """Run the probe once in the place of the service, with drop-ins of the unit."""
    outside = machine.files / PREFIX.relative_to("/") / "nvml"
    shutil.copytree(library, outside, dirs_exist_ok=True)
    once = f"""[Service]
        Type=oneshot
        Restart=no
        WatchdogSec=0
        ExecStart=
        ExecStart={PREFIX}/bin/python -m tests.deploy.probe {nodes} {PREFIX}/anyone
        Environment=LD_LIBRARY_PATH={PREFIX}/nvml:{PYTHON}/lib
        StandardOutput=truncate:/run/probe.json
        """
    machine.write(f"{PREFIX}/anyone", "", mode=0o666)
    machine.write("/etc/systemd/system/probe.service", (UNITS / UNIT).read_text())
    for name, text in {"once": once, **{name: (UNITS / f"{UNIT}.d" / name).read_text() for name in drop_ins}}.items():
        machine.write(f"/etc/systemd/system/probe.service.d/{name}.conf", text)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "probe.service")
    return dict(json.loads(machine.run("cat", "/run/probe.json")))


@pytest.fixture(scope="module")
def restricted(machine: Machine, nodes: Path, mock_nvml: MockNvml) -> dict[str, Any]:
    """What the service can do."""
    return probe(machine, nodes, mock_nvml.library_dir)


def test_nvml_and_child_processes_work_under_the_restrictions(restricted: dict[str, Any]) -> None:
    assert restricted["gpus"] == 8
    assert restricted["callback"] == [1, 2, 3]
    assert restricted["child"] == "ran\n"


def test_the_nvidia_nodes_are_the_only_special_devices_that_can_be_reached(restricted: dict[str, Any]) -> None:
    nodes = restricted["nodes"]
    assert DENIED not in (nodes["nvidia0"], nodes["nvidia15"], nodes["nvidiactl"])
    assert nodes["kmsg"] == nodes["loop-control"] == DENIED


def test_what_the_collectors_read_can_be_read(restricted: dict[str, Any]) -> None:
    assert restricted["init"] == "systemd\n"
    assert "lo" in restricted["interfaces"]
    assert restricted["configuration"] == ""


def test_only_the_state_directory_can_be_written(restricted: dict[str, Any]) -> None:
    assert restricted["state"] == len("kept")
    assert restricted["file of anyone"] == READ_ONLY


def test_what_the_agent_does_not_need_is_refused(restricted: dict[str, Any]) -> None:
    assert restricted["uid"] >= FIRST_DYNAMIC_UID
    assert restricted["writable code"] == DENIED
    assert restricted["netlink"] == "Address family not supported by protocol"
    assert restricted["/root"] == "Permission denied"
    assert restricted["nice"] == DENIED


def test_the_kernel_log_opens_with_its_drop_in(machine: Machine, nodes: Path, mock_nvml: MockNvml) -> None:
    opened = probe(machine, nodes, mock_nvml.library_dir, "kernel-log.conf.example")
    assert opened["nodes"]["kmsg"] == "open"
    assert opened["nodes"]["loop-control"] == DENIED
