# SPDX-License-Identifier: Apache-2.0
"""The host's energy is divided whole, whatever the ledger gave to whom, and to nobody who got nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.cpu_power import CPU_ENERGY
from agent.catalogue.energy import (
    ENERGY_ATTRIBUTED,
    ENERGY_IDLE,
    ENERGY_UNATTRIBUTED,
    OVERHEAD,
    OVERHEAD_IDLE,
    OVERHEAD_MEASURED,
    OVERHEAD_UNATTRIBUTED,
)
from agent.clock import NS, FakeClock
from agent.collectors.overhead import HostOverhead, between
from agent.entities import Gpu
from agent.host_entities import CpuMeter, Host
from agent.metric import Sample
from agent.processors.overhead import Overhead
from agent.request_entities import RequestClass, RequestPhase
from agent.snapshot import Snapshots, Source
from agent.timeline import Timeline

GPU = Gpu("GPU-1", "gpu0")
LLAMA, QWEN = RequestClass("llama", "l", None), RequestClass("qwen", "q", "team")
STEP = st.tuples(*[st.integers(0, 1000) for _ in range(4)])


def ledger(llama: float, qwen: float, idle: float, nobody: float) -> list[Sample]:
    return [
        ENERGY_ATTRIBUTED(RequestPhase(*LLAMA[:3], "decode"), llama * 0.75),
        ENERGY_ATTRIBUTED(RequestPhase(*LLAMA[:3], "prefill"), llama * 0.25),
        ENERGY_ATTRIBUTED(RequestPhase(*QWEN[:3], "decode"), qwen),
        ENERGY_IDLE(GPU, idle),
        ENERGY_UNATTRIBUTED(GPU, nobody),
    ]


def told(overhead: Overhead) -> dict[str, float]:
    return {
        metric.name.rpartition(".")[2] if isinstance(entity, Host) else entity[0]: value
        for (metric, entity), value in overhead.samples()
    }


def test_each_gets_in_proportion_to_what_the_ledger_gave() -> None:
    overhead = Overhead()
    overhead.take({"cpu0": 100.0}, ledger(50, 50, 50, 50))
    assert told(overhead) == {}
    overhead.take({"cpu0": 180.0}, ledger(90, 60, 80, 50))  # 40, 10, 30 and 0 of 80.
    assert told(overhead) == {"measured": 80, "llama": 40, "qwen": 10, "idle": 30, "unattributed": 0}


def test_while_the_ledger_closes_nothing_the_energy_waits() -> None:
    overhead = Overhead()
    for joules, attributed in ((0.0, 0), (10.0, 0), (20.0, 0), (30.0, 5)):
        overhead.take({"cpu0": joules}, ledger(attributed, 0, 0, 0))
    assert told(overhead)["llama"] == 30


@given(st.lists(st.tuples(STEP, st.integers(0, 500)), min_size=1, max_size=30))
def test_at_any_time_the_shares_add_up_to_what_was_divided(steps: list[tuple[tuple[int, ...], int]]) -> None:
    overhead = Overhead()
    counters, host = [0.0] * 4, 0.0
    overhead.take({"cpu0": 0.0}, ledger(*counters))
    for grown, joules in steps:
        counters = [before + more for before, more in zip(counters, grown, strict=True)]
        host += joules
        overhead.take({"cpu0": host}, ledger(*counters))
        found = told(overhead)
        measured = found.pop("measured", 0.0)
        assert sum(found.values()) == pytest.approx(measured, rel=1e-9)
        assert measured <= host + 1e-6
        assert measured == pytest.approx(host) or not any(grown)
        assert all(share >= 0 for share in found.values())


def test_a_class_whose_series_ended_begins_again_and_others_keep_what_they_have() -> None:
    overhead = Overhead()
    overhead.take({"cpu0": 0.0}, ledger(10, 10, 0, 0))
    overhead.take({"cpu0": 10.0}, ledger(15, 15, 0, 0))
    only = [one for one in ledger(0, 15, 0, 0) if one.series.entity[0] != "llama"]
    overhead.take({"cpu0": 10.0}, only)
    assert told(overhead)["qwen"] == 5
    assert "llama" not in told(overhead)
    overhead.take({"cpu0": 14.0}, ledger(4, 15, 0, 0))
    assert told(overhead)["llama"] == 4


def test_the_host_is_read_at_the_moment_that_the_ledger_has_closed() -> None:
    clock, snapshots, timeline = FakeClock(), Snapshots(), Timeline(60, 1)
    host = HostOverhead(snapshots, timeline, clock, lateness=2.0)
    series = (CPU_ENERGY.series(CpuMeter("cpu0", "package-0", "package")),)
    seen = []
    for second in range(8):
        # 100 W, and 300 W from the fourth second on; the ledger gives all to one class.
        joules = 100.0 * min(second, 4) + 300.0 * max(0, second - 4)
        timeline.append(Source("cpu_power", "cpu0"), series, clock.monotonic_ns(), [joules])
        samples = [ENERGY_ATTRIBUTED(RequestPhase(*LLAMA[:3], "decode"), 10.0 * second)]
        snapshots.put_samples(Source("requests"), samples, clock.monotonic_ns())
        seen.append(dict(host.read()).get(OVERHEAD.series(LLAMA), 0.0))
        clock.advance(1)
    assert seen == [0, 0, 0, 100, 200, 300, 400, 700]


def test_a_counter_is_interpolated_and_never_guessed() -> None:
    times, values = [0, 2 * NS], [10.0, 30.0]
    assert [between(times, values, time * NS) for time in (-1, 0, 1, 2, 3)] == [None, 10.0, 20.0, 30.0, None]
    assert between([], [], 0) is None


def test_what_is_divided_is_told_of_the_host() -> None:
    overhead = Overhead()
    overhead.take({"cpu0": 0.0}, ledger(0, 0, 0, 0))
    overhead.take({"cpu0": 2.0}, ledger(0, 0, 0, 7))
    assert list(overhead.samples())[:3] == [
        OVERHEAD_MEASURED(Host(), 2.0),
        OVERHEAD_IDLE(Host(), 0.0),
        OVERHEAD_UNATTRIBUTED(Host(), 2.0),
    ]
