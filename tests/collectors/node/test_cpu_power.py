# SPDX-License-Identifier: Apache-2.0
"""Power of CPUs, memory and modules: what contains what, what wraps, and what may not be read."""

import os
from pathlib import Path

import pytest

from agent.catalogue.gpu import ENERGY
from agent.collectors.node.cpu_power import COLLECTOR
from agent.config import PowerCollector
from agent.entities import Gpu
from agent.errors import NoPermission, Unavailable
from agent.snapshot import Snapshots, Source
from agent.system import power_meters
from tests.collectors.node.bench import FIXTURES, Bench, copied

GB200, RAPL, VM = FIXTURES / "sys-power-gb200", FIXTURES / "sys-power-rapl", FIXTURES / "proc-host-vm"
PACKAGE = "{{hw.id=cpu{0},hw.type=cpu,hw.name=package-{0},scope=package}}"


def of(found: dict[str, float], name: str) -> dict[str, float]:
    return {series: value for series, value in found.items() if series.startswith(f"{name}{{")}


def test_a_superchip_tells_its_modules_and_cpus_apart_from_the_rails_inside_them() -> None:
    found = Bench(COLLECTOR, GB200).lines()
    assert of(found, "hw.power") == {
        "hw.power{hw.id=module0,hw.type=module,hw.name=Module Power Socket 0,scope=module}": 2410.5,
        "hw.power{hw.id=cpu0,hw.type=cpu,hw.name=Grace Power Socket 0,scope=grace,hw.parent=module0}": 101.25,
        "hw.power{hw.id=module1,hw.type=module,hw.name=Module Power Socket 1,scope=module}": 2411.5,
        "hw.power{hw.id=cpu1,hw.type=cpu,hw.name=Grace Power Socket 1,scope=grace,hw.parent=module1}": 102.25,
    }
    assert of(found, "joulespan.rail.power") == {
        "joulespan.rail.power{hw.id=cpu-rail0,hw.name=CPU Power Socket 0,scope=cpu,hw.parent=cpu0}": 56.5,
        "joulespan.rail.power{hw.id=sysio-rail0,hw.name=SysIO Power Socket 0,scope=sysio,hw.parent=cpu0}": 21.0,
        "joulespan.rail.power{hw.id=cpu-rail1,hw.name=CPU Power Socket 1,scope=cpu,hw.parent=cpu1}": 57.5,
        "joulespan.rail.power{hw.id=sysio-rail1,hw.name=SysIO Power Socket 1,scope=sysio,hw.parent=cpu1}": 22.0,
        "joulespan.rail.power{hw.id=ACPI000D:08,hw.name=Aux Rail Power Tray,scope=unknown}": 77.0,
    }


def test_the_energy_of_the_node_is_of_parts_that_do_not_overlap() -> None:
    made = Bench(COLLECTOR, GB200)
    made.samples()
    found = made.lines(1)
    assert of(found, "joulespan.node.energy") == {"joulespan.node.energy{part=cpu}": pytest.approx(203.5)}
    assert of(found, "joulespan.node.energy.measured") == {
        "joulespan.node.energy.measured{part=gpu}": 0,
        "joulespan.node.energy.measured{part=cpu}": 1,
        "joulespan.node.energy.measured{part=memory}": 0,
        "joulespan.node.energy.measured{part=module}": 1,
    }


def test_without_a_grace_the_cpu_rail_stands_for_the_cpu(tmp_path: Path) -> None:
    root = copied("sys-power-gb200", tmp_path)
    (root / "sys/devices/LNXSYSTM:00/ACPI000D:01/power1_oem_info").write_text("Something Power Socket 0\n")
    found = of(Bench(COLLECTOR, root).lines(), "hw.power")
    assert found["hw.power{hw.id=cpu0,hw.type=cpu,hw.name=CPU Power Socket 0,scope=cpu,hw.parent=module0}"] == 56.5


def test_power_of_meters_is_added_up_over_time_but_not_over_gaps(tmp_path: Path) -> None:
    root = copied("sys-power-gb200", tmp_path)
    made = Bench(COLLECTOR, root)
    energy = "hw.energy{hw.id=cpu0,hw.type=cpu,hw.name=Grace Power Socket 0,scope=grace,hw.parent=module0}"
    assert made.lines()[energy] == 0
    (root / "sys/devices/LNXSYSTM:00/ACPI000D:01/power1_average").write_text("201250000\n")
    assert made.lines(2)[energy] == pytest.approx(2 * (101.25 + 201.25) / 2)
    assert made.lines(3.5)[energy] == pytest.approx(302.5)
    assert made.lines(1)[energy] == pytest.approx(302.5 + 201.25)


def test_rapl_tells_packages_and_memory_and_what_is_in_a_package_apart() -> None:
    made = Bench(COLLECTOR, RAPL)
    found = made.lines()
    assert set(of(found, "hw.energy")) == {
        *(f"hw.energy{PACKAGE.format(socket)}" for socket in (0, 1)),
        *(f"hw.energy{{hw.id=memory{n},hw.type=memory,hw.name=dram,scope=dram}}" for n in (0, 1)),
    }
    assert set(of(found, "joulespan.rail.energy")) == {
        *(f"joulespan.rail.energy{{hw.id=core{n},hw.name=core,scope=core,hw.parent=cpu{n}}}" for n in (0, 1)),
        "joulespan.rail.energy{hw.id=intel-rapl:2,hw.name=psys,scope=platform}",
    }
    assert of(found, "hw.power") == {}  # It takes two readings.
    assert made.failures == []


def test_an_energy_counter_that_wraps_goes_on_and_one_that_begins_again_does_not_jump(tmp_path: Path) -> None:
    root = copied("sys-power-rapl", tmp_path)
    counter = root / "sys/class/powercap/intel-rapl:0/energy_uj"
    made = Bench(COLLECTOR, root)
    energy, power = (f"hw.{name}{PACKAGE.format(0)}" for name in ("energy", "power"))
    assert made.lines()[energy] == 0
    counter.write_text("71150\n")  # 262 143 328 850 less 262 143 000 000 were left: 0.328 85 J, and 0.071 15 J since.
    found = made.lines(2)
    assert found[energy] == pytest.approx(0.4)
    assert found[power] == pytest.approx(0.2)
    counter.write_text("50000\n")  # It fell by 0.02 J: a wrap would mean 262 kJ in a second.
    assert made.lines(1)[energy] == pytest.approx(0.45)


def test_counters_that_only_root_may_read_are_absent_and_told_as_a_missing_right(tmp_path: Path) -> None:
    root = copied("sys-power-rapl", tmp_path)
    made = Bench(COLLECTOR, root)
    for path in root.glob("sys/class/powercap/*/energy_uj"):
        path.chmod(0)
    if os.geteuid() == 0:  # Root may read what nobody may: the answer of the system is given instead.
        forbid(made)
    found = made.lines()
    assert of(found, "hw.energy") == of(found, "joulespan.node.energy") == {}
    assert found["joulespan.node.energy.measured{part=cpu}"] == 0
    assert {type(error) for error in made.failures} == {NoPermission}


def forbid(made: Bench) -> None:
    reading = made.read.__self__  # type: ignore[attr-defined]

    def read() -> int:
        raise NoPermission("energy_uj: Permission denied")

    for followed in reading._meters:
        followed.meter = followed.meter._replace(read=read)


@pytest.mark.parametrize("text", ["", "abc\n", "-\n", "9" * 40])
def test_one_meter_that_cannot_be_read_costs_its_own_series_and_its_part_of_the_node(text: str, tmp_path: Path) -> None:
    root = copied("sys-power-rapl", tmp_path)
    (root / "sys/class/powercap/intel-rapl:0/energy_uj").write_text(text)
    made = Bench(COLLECTOR, root)
    found = made.lines()
    assert f"hw.energy{PACKAGE.format(0)}" not in found
    assert f"hw.energy{PACKAGE.format(1)}" in found
    assert "joulespan.node.energy{part=cpu}" not in found
    assert "joulespan.node.energy{part=memory}" in found
    assert [type(error) for error in made.failures] == [Unavailable]


def test_meters_are_chosen_by_what_they_call_themselves() -> None:
    found = Bench(COLLECTOR, RAPL, PowerCollector(include=("package-*",), exclude=("package-1",))).lines()
    assert set(of(found, "hw.energy")) == {f"hw.energy{PACKAGE.format(0)}"}


def test_a_machine_without_meters_says_that_nothing_is_measured() -> None:
    found = Bench(COLLECTOR, VM).lines()
    assert set(found.values()) == {0.0}
    assert len(found) == 4


def test_energy_of_gpus_counts_from_the_start_and_over_restarts_of_the_driver() -> None:
    snapshots = Snapshots()
    made = Bench(COLLECTOR, VM, snapshot=lambda: snapshots.current)
    seen = []
    for joules in (1000.0, 1300.0, 40.0, 90.0):
        snapshots.put_samples(Source("gpu_energy", "GPU-1"), [ENERGY(Gpu("GPU-1", "gpu0"), joules)], 0)
        seen.append(made.lines(1)["joulespan.node.energy{part=gpu}"])
    assert seen == [0, 300, 340, 390]


def test_the_demo_simulates_two_sockets_with_their_memory() -> None:
    made = Bench(COLLECTOR, FIXTURES / "none", simulated_since=0)
    first, second = made.lines(), made.lines(10)
    assert len(of(second, "hw.power")) == 4
    for series, value in of(second, "hw.energy").items():
        watts = second[series.replace("hw.energy", "hw.power")]
        assert value - first[series] == pytest.approx(watts * 10)
        assert 15 < watts < 250
    assert {series for series in second if "source=simulated" in series}


@pytest.mark.parametrize(
    ("label", "scope", "socket"),
    [
        ("Module Power Socket 0", "module", 0),
        ("Grace Power Socket 1", "grace", 1),
        ("CPU Power Socket 3", "cpu", 3),
        ("SysIO Power Socket 0", "sysio", 0),
        ("CPU Rail Power Socket 0", "cpu", 0),
        ("SoC Rail Power Socket 1", "soc", 1),
        ("DRAM Power Socket 0", "dram", 0),
        ("Total (Input) Power [in uW] Socket 0", "unknown", None),
        ("Vera Power Socket 0", "unknown", None),
        ("Module Temperature Socket 0", "unknown", None),
        ("CPU Power", "unknown", None),
        ("", "unknown", None),
    ],
)
def test_a_label_says_what_it_says_and_what_is_not_known_belongs_to_nothing(
    label: str, scope: str, socket: int | None
) -> None:
    assert power_meters.parse_label(label) == (scope, socket)


def test_two_meters_that_say_the_same_do_not_share_a_series(tmp_path: Path) -> None:
    root = copied("sys-power-gb200", tmp_path)
    (root / "sys/devices/LNXSYSTM:00/ACPI000D:05/power1_oem_info").write_text("Grace Power Socket 0\n")
    found = Bench(COLLECTOR, root).lines()
    assert sum("Grace Power Socket 0" in series for series in of(found, "hw.power")) == 1
    assert sum("Grace Power Socket 0" in series for series in of(found, "joulespan.rail.power")) == 1


def test_what_was_read_goes_into_the_timeline_by_its_device() -> None:
    assert {metric.name for metric in COLLECTOR.history} == {"hw.energy"}
    assert ENERGY not in COLLECTOR.history
