# SPDX-License-Identifier: Apache-2.0
"""Collectors of the node: each in its own thread, timed, and what fails or hangs told without holding up the others."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest

from agent.catalogue.gpu import POWER, TEMPERATURE
from agent.clock import NS, FakeClock
from agent.collectors.node import NodeCollector, Read, discover
from agent.config import Collectors, NodeSettings
from agent.entities import Gpu, GpuSensor
from agent.errors import NotSupported, Unavailable
from agent.metric import Sample
from agent.snapshot import Snapshots, Source
from agent.timeline import Timeline
from agent.workers import Job, LateWorkers, Workers

FIRST, SECOND = Gpu("GPU-1", "gpu0"), Gpu("GPU-2", "gpu1")
BOUND = 20.0
"""Seconds; a thread that needs them hangs."""


class Device:
    """Something to read that does as told."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.opened = 0
        self.failure: Exception | None = None
        self.broken: list[Exception] = []
        self.gpus = [FIRST, SECOND]
        self.takes = 0.0

    def open(self, failed: Callable[[Exception], None]) -> Read:
        self.opened += 1

        def read() -> Iterator[Sample]:
            self.clock.advance(self.takes)
            if self.failure:
                raise self.failure
            for error in self.broken:
                failed(error)
            for gpu in self.gpus:
                yield POWER(gpu, 300)
                yield TEMPERATURE(GpuSensor(gpu, "gpu"), 40)

        return read


class Bench:
    """One collector without its thread."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.device = Device(self.clock)
        self.snapshots = Snapshots()
        self.timeline = Timeline(60, 1)
        collector = NodeCollector("drives", lambda _: list, history=frozenset({POWER}))
        job = Job(collector, 1.0, self.device.open)
        self.workers = Workers([job], self.snapshots, self.timeline, self.clock)

    def run(self, missed: int = 0) -> None:
        self.workers.take("drives", self.workers.workers["drives"].run(missed))
        self.clock.advance(1)

    def there(self) -> bool:
        return Source("drives") in self.snapshots.current.batches

    def told(self, name: str) -> dict[str, float]:
        return {
            ".".join(str(part) for part in series.entity): value
            for series, value in self.workers.samples()
            if series.metric.name == f"joulespan.collector.{name}"
        }

    def history(self, gpu: Gpu) -> int:
        return len(self.timeline.window(POWER.series(gpu), 0, 1 << 62)[0])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_read_is_in_the_snapshot_and_timed(bench: Bench) -> None:
    bench.device.takes = 0.25
    started = bench.clock.unix_ns(bench.clock.now) / NS
    bench.run(missed=2)
    assert [value for _, value in bench.snapshots.current.samples()] == [300, 40, 300, 40]
    assert bench.told("duration") == {"drives": 0.25}
    assert bench.told("last_success") == {"drives": started}
    assert bench.told("missed") == {"drives": 2}
    assert bench.told("success") == {"drives": 1}


def test_the_names_are_the_same_object_while_the_same_is_read(bench: Bench) -> None:
    bench.run()
    before = bench.snapshots.current.batches[Source("drives")].series
    bench.run()
    assert bench.snapshots.current.batches[Source("drives")].series is before


@pytest.mark.parametrize("failure", [Unavailable("gone"), ZeroDivisionError("bug"), OSError("disk")])
def test_a_run_that_fails_ends_its_series_and_is_counted(bench: Bench, failure: Exception) -> None:
    bench.run()
    bench.device.failure = failure
    bench.run()
    assert not bench.there()
    assert bench.told("success") == {"drives": 0}
    assert bench.told("failures") == {f"drives.{type(failure).__name__}": 1}
    bench.device.failure = None
    bench.run()
    assert bench.there()
    assert bench.told("success") == {"drives": 1}


def test_one_thing_that_cannot_be_read_is_counted_and_the_rest_is_there(bench: Bench) -> None:
    bench.device.broken = [Unavailable("one"), Unavailable("another")]
    bench.run()
    assert bench.there()
    assert bench.told("success") == {"drives": 0}
    assert bench.told("failures") == {"drives.Unavailable": 2}


def test_where_there_is_nothing_to_read_nothing_failed(bench: Bench) -> None:
    bench.device.failure = NotSupported("no drives")
    bench.run()
    assert not bench.there()
    assert bench.told("success") == {"drives": 1}


def test_failures_are_logged_when_they_begin_and_when_they_end(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    bench.device.failure = Unavailable("gone")
    for _ in range(5):
        bench.run()
    bench.device.failure = None
    bench.run()
    assert [record.message for record in caplog.records] == ["drives: Unavailable: gone", "drives: works again"]


def test_only_what_has_a_history_goes_into_the_timeline(bench: Bench) -> None:
    bench.run()
    bench.run()
    assert bench.history(FIRST) == bench.history(SECOND) == 2
    assert bench.timeline.series_of(TEMPERATURE) == []


def test_a_device_that_goes_costs_no_history_of_the_others(bench: Bench) -> None:
    bench.run()
    bench.device.gpus = [SECOND]
    bench.run()
    bench.device.gpus = [FIRST, SECOND]
    bench.run()
    assert bench.history(SECOND) == 3
    assert bench.history(FIRST) == 2


def test_what_cannot_be_opened_is_tried_again(bench: Bench) -> None:
    working = bench.device.open
    broken = True

    def open_(failed: Callable[[Exception], None]) -> Read:
        if broken:
            raise Unavailable("later")
        return working(failed)

    workers = Workers(
        [Job(NodeCollector("drives", lambda _: list), 1.0, open_)], bench.snapshots, bench.timeline, bench.clock
    )
    workers.take("drives", workers.workers["drives"].run(0))
    assert not bench.there()
    broken = False
    workers.take("drives", workers.workers["drives"].run(0))
    assert bench.there()


def test_one_that_hangs_is_seen_and_the_others_go_on() -> None:
    clock = FakeClock()
    release = threading.Event()
    began = threading.Event()
    runs: queue.Queue[str] = queue.Queue()

    def hanging(_: Callable[[Exception], None]) -> Read:
        def read() -> Iterator[Sample]:
            if began.is_set():
                raise NotSupported
            yield POWER(FIRST, 1)
            began.set()
            assert release.wait(BOUND)

        return read

    def good(_: Callable[[Exception], None]) -> Read:
        return lambda: iter([POWER(SECOND, 2)])

    snapshots = Snapshots()
    jobs = [
        Job(NodeCollector("bad", lambda _: list), 1.0, hanging),
        Job(NodeCollector("good", lambda _: list), 1.0, good),
    ]
    workers = Workers(jobs, snapshots, Timeline(60, 1), clock)

    def hand(call: Callable[[], None]) -> None:
        call()
        runs.put("a run ended")

    workers._hand = hand
    workers.spawn()
    runs.get(timeout=BOUND)  # That of the good one.
    assert began.wait(BOUND)
    assert {source.collector for source in snapshots.current.batches} == {"good"}
    clock.advance(11)
    told = {(one.metric.name.rpartition(".")[2], one.entity[0]): value for (one, value) in workers.samples()}
    assert (told["success", "bad"], told["success", "good"]) == (0, 1)
    assert told["duration", "bad"] == 11
    assert told["failures", "bad"] == 1
    assert {(one.metric.name.rpartition(".")[2], one.entity[0]): value for (one, value) in workers.samples()} == told
    release.set()
    runs.get(timeout=BOUND)
    # What it says now is of eleven seconds ago.
    assert {source.collector for source in snapshots.current.batches} == {"good"}
    workers._stopping.set()
    workers._join()


def test_every_collector_of_the_node_has_its_section_in_the_configuration() -> None:
    kinds = {field.name: field.type for field in msgspec.structs.fields(Collectors)}
    for collector in discover():
        assert issubclass(kinds[collector.name], NodeSettings)


def test_only_devices_that_are_to_be_remembered_have_a_history(bench: Bench) -> None:
    collector = NodeCollector(
        "drives", lambda _: list, frozenset({POWER}), remembered=lambda device: device == FIRST.id
    )
    workers = Workers([Job(collector, 1.0, bench.device.open)], bench.snapshots, bench.timeline, bench.clock)
    workers.take("drives", workers.workers["drives"].run(0))
    assert (bench.history(FIRST), bench.history(SECOND)) == (1, 0)


def test_the_node_is_read_once_its_gpus_were() -> None:
    bench = Bench()
    made: list[Workers] = []

    def make() -> Workers:
        made.append(Workers([], bench.snapshots, bench.timeline, bench.clock))
        return made[0]

    async def begin(wanted: int) -> None:
        late = LateWorkers(make, bench.snapshots)
        await late.start()
        while len(made) < wanted:  # noqa: ASYNC110 - a thread makes it
            await asyncio.sleep(0.01)
        await late.stop()

    asyncio.run(begin(0))
    assert made == []
    bench.snapshots.put_samples(Source("gpu_power"), [POWER(FIRST, 300)], 1)
    asyncio.run(asyncio.wait_for(begin(1), BOUND))
    assert len(made) == 1
