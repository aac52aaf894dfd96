# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of the host's meters and pressure, from trees like the kernel's."""

import os
from pathlib import Path

import pytest

from agent.commands import host_findings as module
from agent.commands.host_findings import host_findings
from agent.errors import NoPermission
from agent.system.power_meters import find_meters
from tests.collectors.node.bench import FIXTURES, copied


def said(root: Path) -> dict[str, str]:
    return {finding.what: finding.level for finding in host_findings(root)}


def test_a_superchip_names_its_meters_and_the_one_that_nobody_knows() -> None:
    found = said(FIXTURES / "sys-power-gb200")
    modules = "Module Power Socket 0, Grace Power Socket 0, Module Power Socket 1, Grace Power Socket 1"
    assert found[f"power: {modules}, by hwmon"] == "ok"
    assert found["power: meters that are not known: Aux Rail Power Tray"] == "hint"


def test_counters_that_only_root_may_read_are_explained() -> None:
    def refuse() -> int:
        raise NoPermission("energy_uj: Permission denied")

    meters = [meter._replace(read=refuse) for meter in find_meters(str(FIXTURES / "sys-power-rapl"))]
    (finding,) = module._power(meters)
    assert finding.level == "hint"
    assert finding.what == "power: package-0, package-1, psys, dram and 1 more may not be read (energy_uj is for root)"
    assert "CAP_DAC_READ_SEARCH" in finding.advice


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_counters_without_the_right_are_told_so_by_the_system(tmp_path: Path) -> None:
    root = copied("sys-power-rapl", tmp_path)
    for path in root.glob("sys/class/powercap/*/energy_uj"):
        path.chmod(0)
    assert any("may not be read" in what for what in said(root))


def test_a_meter_that_fails_is_told(tmp_path: Path) -> None:
    root = copied("sys-power-rapl", tmp_path)
    (root / "sys/class/powercap/intel-rapl:1/energy_uj").write_text("?")
    assert said(root)["power: package-1 cannot be read"] == "hint"


def test_a_plain_machine_has_neither_meters_nor_pressure() -> None:
    assert [finding.what for finding in host_findings(FIXTURES / "proc-host-vm")] == [
        "power: no meter of CPUs or memory",
        "pressure: the kernel does not tell it (/proc/pressure)",
    ]
    assert all(finding.advice for finding in host_findings(FIXTURES / "none"))


def test_where_the_kernel_tells_its_pressure_nothing_is_said_of_it() -> None:
    assert not any("pressure" in what for what in said(FIXTURES / "proc-host-hgx"))
