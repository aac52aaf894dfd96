# SPDX-License-Identifier: Apache-2.0
"""AWS Neuron: reports as AWS documents them, wherever they come from, and what cannot be in them."""

import json
import os
import select
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS, FakeClock, SystemClock
from agent.collectors.neuron import NeuronDevices, NeuronPower
from agent.collectors.neuron_report import decode
from agent.entity import attributes
from agent.errors import Unavailable
from agent.metric import Sample
from agent.system.child import Child
from agent.system.neuron_driver import parse, power_shares

FIXTURES = Path(__file__).parents[1] / "fixtures" / "neuron"
GOLDEN = Path(__file__).parents[1] / "golden" / "neuron.txt"
REPORTS = (FIXTURES / "reports.jsonl").read_bytes().splitlines()


def text(samples: Sequence[Sample]) -> list[str]:
    return [
        f"{one.series.metric.name}{{{','.join(f'{key}={value}' for key, value in attributes(one.series.entity))}}} "
        f"{one.value:g}"
        for one in samples
    ]


def changed(**told: Any) -> bytes:
    """The first report, with one application whose report has these groups."""
    report = json.loads(REPORTS[0])
    report["neuron_runtime_data"] = report["neuron_runtime_data"][:1]
    report["neuron_runtime_data"][0]["report"] = told
    return json.dumps(report).encode()


def test_the_documented_report_is_read_whole() -> None:
    devices = NeuronDevices(FakeClock())
    assert devices.take(REPORTS[:1], FakeClock().now) == 0
    found = "".join(line + "\n" for line in text(list(devices.read())))
    if not GOLDEN.exists():
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_executions_add_up_over_reports_and_a_group_that_failed_is_left_out() -> None:
    devices = NeuronDevices(FakeClock())
    devices.take([REPORTS[0], REPORTS[0], REPORTS[1]], FakeClock().now)
    found = text(list(devices.read()))
    assert "joulespan.neuron.executions{neuron.runtime=my_app_1,outcome=completed} 246" in found
    assert "joulespan.neuron.execution.errors{neuron.runtime=my_app_1,error.type=numerical} 2" in found
    assert not any("execution.latency{neuron.runtime=my_app_1" in line for line in found)
    assert "joulespan.neuron.reports{outcome=group_failed} 1" in found


def test_what_an_application_did_ends_with_it() -> None:
    devices = NeuronDevices(FakeClock())
    devices.take([REPORTS[0], REPORTS[2]], FakeClock().now)
    found = text(list(devices.read()))
    assert not any("my_app_1" in line for line in found)
    assert "joulespan.neuron.ecc.errors{hw.id=neuron1,error.type=corrected,location=dram} 3" in found


def test_reports_that_cease_are_absence_and_the_reason_is_told() -> None:
    clock = FakeClock()
    devices = NeuronDevices(clock, failure=lambda: "cannot be run: no such file")
    with pytest.raises(Unavailable, match="no such file"):
        list(devices.read())
    devices.take(REPORTS[:1], clock.now)
    assert list(devices.read())
    clock.advance(31)
    with pytest.raises(Unavailable):
        list(devices.read())


def test_applications_of_one_tag_have_series_of_their_own() -> None:
    report = json.loads(REPORTS[0])
    for runtime in report["neuron_runtime_data"]:
        runtime["neuron_runtime_tag"] = "same"
    period = decode(json.dumps(report).encode())
    assert period is not None
    assert period.tags == {"same 1234", "same 4321"}
    assert len({one.series for one in period.samples}) == len(period.samples)


@pytest.mark.parametrize("line", [b"", b"[]", b"3", b'{"neuron_runtime_data": 3}', b"[" * 100_000, REPORTS[0][:-1]])
def test_what_is_no_report_is_counted(line: bytes) -> None:
    assert decode(line) is None
    assert NeuronDevices(FakeClock()).take([line], 0) == 1


@pytest.mark.parametrize("number", [-1, True, "5", None, 1e300, [1]])
def test_numbers_that_cannot_be_are_left_out(number: object) -> None:
    cores = {"neuroncores_in_use": {"0": {"neuroncore_utilization": number}}, "error": ""}
    stats = {"execution_summary": {"completed": number}, "latency_stats": {"total_latency": {"p50": number}}}
    period = decode(changed(neuroncore_counters=cores, execution_stats=stats))
    assert period is not None
    assert not any("my_app_1" in line for line in text(period.samples))
    assert period.executions == {}


def test_cores_that_cannot_be_are_left_out() -> None:
    used = {key: {"neuroncore_utilization": 50} for key in ("0", "-1", "x", "1" * 5000, "4096", "²")}
    period = decode(changed(neuroncore_counters={"neuroncores_in_use": used}))
    assert period is not None
    assert sum("core.utilization" in line for line in text(period.samples)) == 1


@given(st.binary(max_size=100), st.integers(0, 3000), st.integers(0, 30))
def test_a_damaged_report_raises_nothing_and_says_nothing_twice(noise: bytes, at: int, cut: int) -> None:
    period = decode(REPORTS[0][:at] + noise + REPORTS[0][at + cut :])
    assert period is None or len({one.series for one in period.samples}) == len(period.samples)


def test_power_is_a_share_of_what_is_not_told() -> None:
    clock = FakeClock(epoch_ns=1_700_000_050 * NS)
    power = NeuronPower(clock, partial(power_shares, FIXTURES / "sysfs"))
    assert text(list(power.read())) == [
        "joulespan.neuron.power.utilization{hw.id=neuron0,statistic=min} 0.0086",
        "joulespan.neuron.power.utilization{hw.id=neuron0,statistic=max} 0.25",
        "joulespan.neuron.power.utilization{hw.id=neuron0,statistic=avg} 0.1886",
    ]
    clock.advance(600)
    assert list(power.read()) == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"POWER_STATUS_VALID,1,2,3",
        b"POWER_STATUS_VALID,x,1,2,3",
        b"VALID,1,1,2,3",
        b"POWER_STATUS_VALID,1,-1,2,3",
        b"POWER_STATUS_VALID,1,nan,2,3",
        b"a,b,c,d,e",
    ],
)
def test_power_that_is_not_valid_is_none(line: bytes) -> None:
    assert parse(0, line) is None


class Taken:
    """What a command printed; `enough` is set once there are some lines."""

    def __init__(self, lines: int) -> None:
        self.lines: list[bytes] = []
        self.enough = threading.Event()
        self._wanted = lines

    def __call__(self, lines: Sequence[bytes]) -> None:
        self.lines += lines
        if len(self.lines) >= self._wanted:
            self.enough.set()


def ran(taken: Taken, *command: str, pause: float = 0.01) -> Child:
    child = Child(command, taken, SystemClock(), first_pause=pause, line=1000)
    child.start()
    assert taken.enough.wait(60)
    child.stop(60)
    return child


def test_a_command_that_ends_is_run_again() -> None:
    taken = Taken(3)
    child = ran(taken, "sh", "-c", "echo report")
    assert taken.lines[:3] == [b"report"] * 3
    assert child.starts >= 3


def test_a_command_is_ended_with_all_that_it_started() -> None:
    taken = Taken(1)
    ran(taken, "sh", "-c", "trap '' TERM; sleep 1000 & echo $!; sleep 1000")
    with suppress(ProcessLookupError, FileNotFoundError):
        select.select([os.pidfd_open(int(taken.lines[0]))], [], [], 60)
        # Nobody may have waited for it, and so it is still there.
        assert " Z " in Path(f"/proc/{int(taken.lines[0])}/stat").read_text()


def test_lines_of_a_command_are_bounded() -> None:
    taken = Taken(1)
    child = ran(taken, "sh", "-c", "head -c 100000 /dev/zero; echo; echo fine; sleep 1000")
    assert taken.lines == [b"fine"]
    assert child.oversized == 1


def test_a_command_that_is_not_there_is_told_and_tried_again() -> None:
    child = Child(["/nonexistent/neuron-monitor"], Taken(1), SystemClock(), first_pause=60)
    child.start()
    child.stop(60)
    assert child.failure is not None
    assert "cannot be run" in child.failure


def test_a_command_sees_nothing_of_the_agents_secrets() -> None:
    taken = Taken(1)
    ran(taken, "sh", "-c", "echo $(env | cut -d= -f1); sleep 1000")
    assert set(taken.lines[0].decode().split()) <= {"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PWD", "SHLVL", "_"}
