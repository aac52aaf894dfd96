# SPDX-License-Identifier: Apache-2.0
"""One contract for the simulated library, the mock library through nvidia-ml-py, and the driver where there is one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import pytest

from agent.system.nvml import fields as nvml
from agent.system.nvml import waves
from agent.system.nvml.device import ProcessUse
from agent.system.nvml.fake import FakeLibrary
from tests.mock_nvml.control import ControlFile, MockNvml
from tests.system.contract_run import FAILING, Calls, Node, Reading, Recording, record

ROOT = Path(__file__).parents[2]
GPUS = 2
STEP = 0.1
MAX_WATTS = 500.0
"""More than the wave of GPU 0 reaches."""
WINDOWED = ("gpu_activity", "gpu_mig")
"""Collectors whose values depend on when the reading before was."""
FIELDS = "nvmlDeviceGetFieldValues"
MAX_BATCHES = 3
"""Batches of fields that a collector keeps."""

Record = Callable[[str], Recording]


@dataclass(frozen=True)
class Scenario:
    """The same node twice: for the fake and for the mock."""

    model: str
    mig: dict[int, int] = field(default_factory=dict)
    processes: dict[int, list[ProcessUse]] = field(default_factory=dict)

    def fake(self, **arguments: Any) -> FakeLibrary:
        """Simulate it."""
        return FakeLibrary(GPUS, model=self.model, mig=self.mig, processes=self.processes, **arguments)

    def keys(self) -> dict[str, object]:
        """Describe it to the mock."""
        processes = {
            f"procs.{gpu}": ",".join(f"{use.pid}:{(use.memory or 0) // waves.MIB}:C" for use in uses)
            for gpu, uses in self.processes.items()
        }
        return {"model": self.model, "gpus": GPUS, **{f"mig.{gpu}": n for gpu, n in self.mig.items()}, **processes}


SCENARIOS = {
    **{model: Scenario(model) for model in waves.MODELS},
    "mig": Scenario("h100", mig={0: 2, 1: 3}),
    "processes": Scenario("h100", processes={1: [ProcessUse(os.getpid(), 3 * waves.GIB), ProcessUse(1, waves.GIB)]}),
}


class Hand:
    """A clock set by hand, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def run(env: dict[str, str], *, full: bool) -> Recording:
    """Record the library that a process with this environment finds."""
    command = [sys.executable, "-m", "tests.system.contract_run", *(["full"] if full else [])]
    done = subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, timeout=60, check=True)
    found = Recording(**json.loads(done.stdout))
    found.rounds = [[Reading(**reading) for reading in readings] for readings in found.rounds]  # type: ignore[arg-type]
    return found


@pytest.fixture(scope="module")
def mocked(mock_nvml: MockNvml, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Record the mock in a scenario, once; in the first one also what happens when it breaks."""

    @cache
    def of(name: str) -> Recording:
        control = ControlFile(tmp_path_factory.mktemp("nvml") / "control")
        return run(mock_nvml.env(control=control, keys=SCENARIOS[name].keys()), full=name == "h100")

    return of


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest) -> Record:
    """Record a library by its kind, once."""

    @cache
    def of(kind: str) -> Recording:
        if kind == "fake":
            calls = Calls()
            library = SCENARIOS["h100"].fake(progress=calls)
            return record(library, calls, full=True, switch=library)
        if kind == "mock":
            mocked: Record = request.getfixturevalue("mocked")
            return mocked("h100")
        found = run(dict(os.environ), full=True)
        if found.error:
            pytest.skip(f"no NVIDIA driver: {found.error}")
        return found

    return of


everywhere = pytest.mark.parametrize("kind", ["fake", "mock", pytest.param("real", marks=pytest.mark.hardware)])
simulated = pytest.mark.parametrize("kind", ["fake", "mock"])


class Replay:
    """The fake, read at the times when the readings of a recording began, or ended."""

    def __init__(self, scenario: Scenario, found: Recording, side: str) -> None:
        self.hand = Hand()
        self.node = Node(scenario.fake(now=self.hand))
        collectors = {collector.name: collector for collector in self.node.collectors}
        self.values: list[dict[str, float]] = []
        for reading in (reading for readings in found.rounds for reading in readings):
            self.hand.seconds = getattr(reading, side)
            self.values.append(self.node.read(collectors[reading.collector], reading.gpu))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_fake_says_what_the_mock_says_at_the_same_time(mocked: Record, name: str) -> None:
    found = mocked(name)
    early, late = (Replay(SCENARIOS[name], found, side) for side in ("before", "after"))
    readings = [reading for readings in found.rounds for reading in readings]
    for reading, first, last in zip(readings, early.values, late.values, strict=True):
        assert reading.values.keys() in (first.keys(), last.keys()), reading.collector
        for series, value in reading.values.items():
            near = [side[series] for side in (first, last) if series in side]
            slack = 0.01 if reading.collector in WINDOWED and value <= 1 else 1e-6 * abs(value)
            assert min(near) - slack <= value <= max(near) + slack, series
    assert early.node.unsupported() == found.unsupported


@everywhere
def test_every_value_is_a_number_in_the_range_of_its_unit(recorded: Record, kind: str) -> None:
    found = recorded(kind)
    for series, value in ((s, v) for readings in found.rounds for r in readings for s, v in r.values.items()):
        unit, identity = found.units[series.split(" ", 1)[0]]
        assert isfinite(value), series
        assert not identity or value == 1, series
        # A fan may be asked for more than its nominal speed.
        assert unit != "RATIO" or 0 <= value <= 1 or "fan" in series, series


@everywhere
def test_what_a_gpu_does_not_have_is_asked_for_once(recorded: Record, kind: str) -> None:
    found = recorded(kind)
    lacking = list(found.unsupported.values())
    _, second, third = found.rounds
    assert [reading.calls for reading in second] == [reading.calls for reading in third]
    for reading in second:
        assert reading.calls.keys().isdisjoint(lacking[reading.gpu]), reading.collector
        assert reading.calls.get(FIELDS, 0) <= MAX_BATCHES, reading.collector


@everywhere
def test_energy_never_falls(recorded: Record, kind: str) -> None:
    counted = [joules for _, joules, _ in recorded(kind).energy]
    assert counted
    assert counted == sorted(counted)


@simulated
def test_energy_is_the_integral_of_power_within_one_step(recorded: Record, kind: str) -> None:
    for before, joules, after in recorded(kind).energy:
        assert waves.energy_counter(0, before) / 1000 <= joules <= waves.energy_counter(0, after) / 1000
        assert joules == pytest.approx(waves.energy(0, before), abs=MAX_WATTS * (STEP + after - before))


def test_the_energy_of_given_watts_is_their_product_with_time() -> None:
    hand = Hand()
    library = FakeLibrary(2, power_watts=[300.0, 310.0], now=hand)
    reader = library.open(1).fields([nvml.ENERGY, nvml.POWER_INSTANT])
    hand.seconds = 20.0
    assert reader.read() == [6200.0, 310.0]


@simulated
def test_a_lost_gpu_fails_every_collector_that_asks_it_and_no_other_gpu(recorded: Record, kind: str) -> None:
    found = recorded(kind)
    asking = {reading.collector for reading in found.rounds[-1] if reading.calls}
    assert {name for name, (lost, _) in found.lost.items() if lost == "DeviceLost"} == asking
    assert {other for _, other in found.lost.values()} == {""}
    assert found.reopened == "DeviceLost"


@simulated
def test_a_reading_that_fails_is_noted_and_asked_for_again(recorded: Record, kind: str) -> None:
    assert recorded(kind).failed == {reading: [f"{reading}: Unavailable"] for reading in FAILING.values()}


@simulated
def test_an_xid_is_delivered_once(recorded: Record, kind: str) -> None:
    before, event, after = recorded(kind).xids
    assert (before, after) == (None, None)
    assert event
    assert tuple(event) == (waves.uuid(1), 79)
