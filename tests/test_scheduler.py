# SPDX-License-Identifier: Apache-2.0
"""Collectors in the agent: each on its own, timed, and its failures told."""

from collections.abc import Iterable, Iterator

import pytest

from agent.catalogue.gpu import POWER
from agent.clock import NS, FakeClock
from agent.entities import Gpu
from agent.errors import NotSupported, Unavailable
from agent.metric import Sample
from agent.scheduler import LoopCollector, Scheduler
from agent.snapshot import Snapshots

GPU = Gpu("GPU-1", "gpu0")


class Source:
    """A source that answers or fails as told."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.reads = 0

    def read(self) -> Iterable[Sample]:
        self.reads += 1
        if self.failure:
            raise self.failure
        yield POWER(GPU, self.reads)


class Bench:
    """Two collectors, one of which may fail."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.snapshots = Snapshots()
        self.good, self.bad = Source(), Source()
        collectors = [LoopCollector("bad", 1.0, self.bad.read), LoopCollector("good", 1.0, self.good.read)]
        self.scheduler = Scheduler(collectors, self.snapshots, self.clock)

    def run(self, seconds: float = 1.0) -> None:
        self.scheduler.run_due()
        self.clock.advance(seconds)

    def sources(self) -> set[str]:
        return {source.collector for source in self.snapshots.current.batches}

    def told(self, name: str) -> dict[str, float]:
        return {
            ".".join(str(part) for part in series.entity): value
            for series, value in self.scheduler.samples()
            if series.metric.name == f"joulespan.collector.{name}"
        }


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("failure", [Unavailable("gone"), ZeroDivisionError("bug"), OSError("disk")])
def test_a_collector_that_fails_costs_only_its_own_samples(bench: Bench, failure: Exception) -> None:
    bench.run()
    assert bench.sources() == {"good", "bad"}
    bench.bad.failure = failure
    bench.run()
    assert bench.sources() == {"good"}
    assert bench.told("success") == {"good": 1, "bad": 0}
    assert bench.told("failures") == {f"bad.{type(failure).__name__}": 1}
    bench.bad.failure = None
    bench.run()
    assert bench.sources() == {"good", "bad"}
    assert bench.told("success") == {"good": 1, "bad": 1}


def test_a_failure_is_logged_when_it_begins_and_when_it_ends(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    bench.bad.failure = Unavailable("gone")
    for _ in range(5):
        bench.run()
    bench.bad.failure = None
    bench.run()
    assert [record.message for record in caplog.records] == ["bad: Unavailable: gone", "bad: works again"]


def test_a_failure_without_a_word_ends_with_one(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    bench.bad.failure = Unavailable()
    bench.run()
    bench.bad.failure = None
    bench.run()
    assert [record.message for record in caplog.records] == ["bad: Unavailable: ", "bad: works again"]


def test_what_is_supported_no_longer_leaves_nothing_stale(bench: Bench) -> None:
    bench.run()
    bench.bad.failure = NotSupported()
    bench.run()
    assert bench.sources() == {"good"}
    assert bench.told("success") == {"good": 1, "bad": 1}


def test_not_supported_is_no_failure(bench: Bench) -> None:
    bench.bad.failure = NotSupported()
    bench.run()
    assert bench.sources() == {"good"}
    assert bench.told("success") == {"good": 1, "bad": 1}


def test_runs_that_were_left_out_are_counted(bench: Bench) -> None:
    bench.run(5.5)
    bench.run()
    assert bench.told("missed") == {"good": 4, "bad": 4}
    assert bench.good.reads == 2


def test_a_collector_that_fails_halfway_leaves_no_half_of_a_batch(bench: Bench) -> None:
    def half() -> Iterator[Sample]:
        yield POWER(GPU, 1)
        raise Unavailable("gone")

    scheduler = Scheduler([LoopCollector("half", 1.0, half)], bench.snapshots, bench.clock)
    scheduler.run_due()
    assert bench.snapshots.current.series_count() == 0


def test_a_run_is_timed_and_the_last_success_is_when_one_began(bench: Bench) -> None:
    def slow() -> Iterator[Sample]:
        bench.clock.advance(0.25)
        yield POWER(GPU, 1)

    started = bench.clock.unix_ns(bench.clock.now) / NS
    scheduler = Scheduler([LoopCollector("slow", 1.0, slow)], bench.snapshots, bench.clock)
    scheduler.run_due()
    told = {series.metric.name.rpartition(".")[2]: value for series, value in scheduler.samples()}
    assert (told["duration"], told["last_success"]) == (0.25, started)
    assert scheduler.seconds_to_next() == 0.75
    bench.clock.advance(5)
    assert scheduler.seconds_to_next() == 0


def test_a_failure_leaves_the_time_of_the_last_success_where_it_was(bench: Bench) -> None:
    bench.run()
    before = bench.told("last_success")
    bench.bad.failure = Unavailable("gone")
    bench.run()
    after = bench.told("last_success")
    assert after["bad"] == before["bad"]
    assert after["good"] == before["good"] + 1
    assert bench.told("missed") == {"good": 0, "bad": 0}
