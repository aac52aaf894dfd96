# SPDX-License-Identifier: Apache-2.0
"""Temperatures of the host, from trees like the kernel's."""

from pathlib import Path

import pytest

from agent.collectors.node.temperatures import COLLECTOR
from agent.config import TemperatureCollector
from agent.errors import Unavailable
from tests.collectors.node.bench import FIXTURES, Bench, copied

HGX = FIXTURES / "proc-host-hgx"
SENSOR = "hw.temperature{{hw.id={id},hw.type=temperature,hw.name={chip}{more}}}"


def sensor(id_: str, chip: str, location: str | None = None) -> str:
    return SENSOR.format(id=id_, chip=chip, more=f",hw.sensor_location={location}" if location else "")


def test_packages_drives_and_boards_have_series_and_single_cores_and_nics_have_none() -> None:
    made = Bench(COLLECTOR, HGX)
    found = made.lines()
    assert {series: value for series, value in found.items() if series.startswith("hw.temperature{")} == {
        sensor("coretemp.0/temp1", "coretemp", "Package id 0"): 61.0,
        sensor("coretemp.1/temp1", "coretemp", "Package id 1"): 64.0,
        sensor("nvme0/temp1", "nvme", "Composite"): 38.85,
        sensor("thermal_zone0", "acpitz"): 27.8,
    }
    limits = {series: value for series, value in found.items() if series.startswith("hw.temperature.limit{")}
    assert sorted(limits.values()) == [84.85, 100.0, 100.0]
    assert all("hw.limit_type=high.critical" in series for series in limits)
    assert made.failures == []


def test_in_detail_each_core_has_its_series() -> None:
    found = Bench(COLLECTOR, HGX, TemperatureCollector(detail=True)).lines()
    assert found[sensor("coretemp.1/temp2", "coretemp", "Core 0")] == 60.0
    assert not any("mlx5" in series for series in found)
    assert not any("limit" in series and "Sensor 1" in series for series in found)  # 65 261 °C is none


def test_chips_are_chosen_by_their_names() -> None:
    found = Bench(COLLECTOR, HGX, TemperatureCollector(exclude=("nvme", "acpi*"))).lines()
    assert {series.split("hw.name=")[1].split(",")[0] for series in found if "hw.name" in series} == {"coretemp"}


@pytest.mark.parametrize("text", ["", "warm\n", "99999999999999999999999\n"])
def test_one_sensor_that_cannot_be_read_costs_its_own_series(text: str, tmp_path: Path) -> None:
    root = copied("proc-host-hgx", tmp_path)
    (root / "sys/class/hwmon/hwmon0/temp1_input").write_text(text)
    made = Bench(COLLECTOR, root)
    found = made.lines()
    assert sensor("coretemp.0/temp1", "coretemp", "Package id 0") not in found
    assert found[sensor("coretemp.1/temp1", "coretemp", "Package id 1")] == 64.0
    assert [type(error) for error in made.failures] == [Unavailable]


def test_a_drive_that_is_plugged_in_is_found_within_a_minute(tmp_path: Path) -> None:
    root = copied("proc-host-hgx", tmp_path)
    made = Bench(COLLECTOR, root)
    before = len(made.lines())
    fresh = root / "sys/class/hwmon/hwmon11"
    fresh.mkdir()
    (fresh / "name").write_text("drivetemp\n")
    (fresh / "temp1_input").write_text("33000\n")
    assert len(made.lines(59)) == before
    assert len(made.lines(1)) == before + 1


def test_a_machine_without_sensors_has_none() -> None:
    made = Bench(COLLECTOR, FIXTURES / "proc-host-vm")
    assert made.lines() == {"joulespan.series.dropped{collector=temperatures}": 0.0}
    assert made.failures == []
