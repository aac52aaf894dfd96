# SPDX-License-Identifier: Apache-2.0
"""When readers are started, replaced and ended, on a clock that the test moves and with readers that do as told."""

from itertools import pairwise
from typing import Any

import pytest

from agent.catalogue.gpu import POWER
from agent.clock import Clock, FakeClock
from agent.entities import Gpu
from agent.metric import Series
from agent.reader import supervisor as policy
from agent.reader.intake import Intake
from agent.reader.link import Heard
from agent.reader.progress import Call
from agent.reader.supervisor import Supervisor
from agent.reader.wire import Block, Dropped, Found, Include, Layout, Lost, Opened, Resend, Setup, ToReader, describe
from agent.snapshot import Snapshots
from agent.timeline import Timeline

SETUP = Setup(0.1, 1.0, 10.0, 30.0, detail=False, simulate=0, avoid=[])


def entity_state(series: Series) -> str:
    (state,) = series.entity
    return str(state)


class FakeLink:
    """A reader that is heard, hangs and ends when the test says so."""

    def __init__(self, setup: Setup, clock: Clock, heard: Heard) -> None:
        self.setup = setup
        self.started_at = clock.monotonic_ns()
        self.heard_at: int | None = None
        self.broken: str | None = None
        self.pid = 1
        self.code: int | None = None
        self.sent: list[ToReader] = []
        self.terminated = self.closed = self.killed = False
        self.at: Call | None = None
        self._clock = clock
        self._heard = heard

    def attach(self) -> None:
        """Listen: nothing to do."""

    def speak(self, *messages: Any) -> None:
        self.heard_at = self._clock.monotonic_ns()
        self._heard(self, list(messages))

    def send(self, message: ToReader) -> None:
        self.sent.append(message)

    def silence(self) -> float:
        return (self._clock.monotonic_ns() - (self.heard_at or self.started_at)) / 1e9

    def call(self) -> Call | None:
        return self.at

    def exit_code(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.terminated = True

    def kill(self) -> None:
        self.killed = True

    def close(self) -> None:
        self.closed = True


class Bench:
    """A supervisor with its readers."""

    def __init__(self, *, asleep: bool = False) -> None:
        self.clock = FakeClock()
        self.snapshots = Snapshots()
        self.links: list[FakeLink] = []
        self.asleep = asleep
        self.refusal: OSError | None = None
        intake = Intake(self.snapshots, Timeline(10, 1), self.clock)
        self.supervisor = Supervisor(SETUP, intake, self.clock, self._link, asleep=lambda: self.asleep)
        self.supervisor.start()

    def _link(self, setup: Setup, clock: Clock, heard: Heard) -> FakeLink:
        if self.refusal:
            raise self.refusal
        self.links.append(FakeLink(setup, clock, heard))
        return self.links[-1]

    def pass_time(self, seconds: float) -> None:
        """Let time pass in ticks of half a second."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            self.supervisor.tick()

    def report(self, link: FakeLink, *gpus: int) -> None:
        """Let a reader say that it sees these GPUs and what they draw."""
        link.speak(Opened("580", 8))
        for index in gpus:
            gpu = Gpu(f"GPU-{index}", f"gpu{index}")
            name, entity = describe(POWER.series(gpu))
            link.speak(
                Found(gpu.id, index, None),
                Layout(index + 1, "gpu_power", gpu.id, [(name, entity)]),
                Block(index + 1, self.clock.monotonic_ns(), [300.0]),
            )

    def shown(self) -> set[str]:
        """Ids of the GPUs that have series."""
        return {series.entity.id for series in self._series()}

    def _series(self) -> list[Any]:
        found: list[Series] = [sample.series for sample in self.snapshots.current.samples()]
        return found

    def value(self, name: str) -> float:
        (value,) = [value for series, value in self.supervisor.samples() if series.metric.name == name]
        return value


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_silent_reader_loses_its_series_and_gets_them_back_when_it_is_heard(bench: Bench) -> None:
    (link,) = bench.links
    bench.report(link, 0, 1)
    assert bench.shown() == {"GPU-0", "GPU-1"}
    assert bench.supervisor.ready
    bench.pass_time(policy.SILENT + 0.5)
    assert bench.shown() == set()
    assert not bench.supervisor.ready
    assert bench.value("joulespan.reader.silence") == policy.SILENT + 0.5
    link.speak(Opened("580", 8))
    assert [type(message) for message in link.sent] == [Resend]
    assert bench.supervisor.ready
    assert len(bench.links) == 1


def test_a_hanging_reader_is_replaced_by_one_that_leaves_its_gpu_alone(bench: Bench) -> None:
    (link,) = bench.links
    bench.report(link, 0, 1, 2)
    link.at = Call(2, "nvmlDeviceGetMemoryInfo_v2")
    bench.pass_time(policy.REPLACE + 1.5)
    first, second = bench.links
    assert first.terminated
    assert second.setup.avoid == [2]
    assert bench.value("joulespan.reader.stuck") == 1
    bench.report(second, 0, 1)
    assert bench.shown() == {"GPU-0", "GPU-1"}
    bench.report(first, 2)
    assert bench.shown() == {"GPU-0", "GPU-1"}, "what an old reader says is stale"


def test_the_end_of_a_hanging_reader_brings_its_gpu_back(bench: Bench) -> None:
    bench.report(bench.links[0], 0, 2)
    bench.links[0].at = Call(2, "nvmlDeviceGetMemoryInfo_v2")
    bench.pass_time(policy.REPLACE + 1.5)
    bench.report(bench.links[1], 0)
    bench.links[0].code = 0
    bench.pass_time(0.5)
    assert [message.indexes for message in bench.links[1].sent if isinstance(message, Include)] == [[2]]
    assert bench.value("joulespan.reader.stuck") == 0


def test_a_hang_that_belongs_to_no_gpu_is_given_time(bench: Bench) -> None:
    bench.report(bench.links[0], 0)
    bench.links[0].at = Call(-1, "nvmlEventSetWait_v2")
    bench.pass_time(policy.REPLACE + 10)
    assert len(bench.links) == 1
    bench.pass_time(30)
    assert len(bench.links) == 2
    assert bench.links[1].setup.avoid == []


def test_the_end_of_a_hang_that_belongs_to_no_gpu_ends_the_wait(bench: Bench) -> None:
    bench.report(bench.links[0], 0)
    bench.links[0].at = Call(-1, "nvmlEventSetWait_v2")
    bench.pass_time(policy.REPLACE + 1)
    bench.links[0].code = 0
    bench.pass_time(0.5)
    assert len(bench.links) == 2


def test_no_more_than_so_many_readers_hang_at_a_time(bench: Bench) -> None:
    for index in range(policy.MAX_STUCK + 3):
        link = bench.links[-1]
        if link.heard_at is None:
            bench.report(link, 7)
        link.at = Call(index, "nvmlDeviceGetPowerUsage")
        bench.pass_time(policy.REPLACE + 2)
    assert len(bench.links) == policy.MAX_STUCK
    bench.links[0].code = 0
    bench.pass_time(1)
    assert len(bench.links) == policy.MAX_STUCK + 1


def test_readers_that_end_are_started_again_with_growing_pauses(bench: Bench) -> None:
    starts = [bench.clock.monotonic_ns()]
    while len(starts) < 8:
        bench.links[-1].code = 1
        before = len(bench.links)
        while len(bench.links) == before:
            bench.pass_time(0.5)
        starts.append(bench.clock.monotonic_ns())
    pauses = [round((after - before) / 1e9) for before, after in pairwise(starts)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] <= 32
    bench.report(bench.links[-1], 0)
    for _ in range(70):
        bench.pass_time(1)
        bench.links[-1].speak(Opened("580", 8))
    bench.links[-1].code = 1
    bench.pass_time(2.5)
    assert len(bench.links) == 9, "a reader that lived long is no part of a series of failures"


def test_a_reader_that_takes_long_to_open_the_driver_is_not_replaced_before_its_time(bench: Bench) -> None:
    bench.pass_time(policy.OPENING - 1)
    assert len(bench.links) == 1
    bench.links[0].at = Call(-1, "nvmlInit_v2")
    bench.pass_time(3)
    assert bench.links[0].terminated


def test_releasing_ends_the_reader_and_starts_one_only_afterwards(bench: Bench) -> None:
    bench.report(bench.links[0], 0)
    bench.supervisor.release(60)
    assert bench.links[0].terminated
    assert bench.shown() == set()
    bench.links[0].code = 0
    bench.pass_time(59)
    assert len(bench.links) == 1
    bench.pass_time(2)
    assert len(bench.links) == 2


def test_nothing_cuts_a_release_short(bench: Bench) -> None:
    bench.report(bench.links[0], 2)
    bench.links[0].at = Call(2, "nvmlDeviceGetMemoryInfo_v2")
    bench.pass_time(policy.REPLACE + 1.5)
    bench.supervisor.release(60)
    bench.links[0].code = 0
    bench.supervisor.reconfigure(Setup(0.1, 2.0, 10.0, 30.0, detail=True, simulate=0, avoid=[]))
    bench.pass_time(59)
    assert len(bench.links) == 2, "neither the end of a hang nor a reload takes the driver again"
    bench.pass_time(2)
    assert bench.links[2].setup.detail


def test_a_gpu_that_hung_and_turns_out_lost_is_counted_once(bench: Bench) -> None:
    bench.report(bench.links[0], 0, 2)
    bench.links[0].at = Call(2, "nvmlDeviceGetMemoryInfo_v2")
    bench.pass_time(policy.REPLACE + 1.5)
    assert (bench.supervisor.intake.hung, bench.supervisor.intake.lost) == ({2}, set())
    bench.links[1].speak(Lost(None, 2, "GPU is lost"))
    assert (bench.supervisor.intake.hung, bench.supervisor.intake.lost) == (set(), {2})


def test_another_configuration_starts_another_reader_and_the_same_does_not(bench: Bench) -> None:
    bench.supervisor.reconfigure(SETUP)
    bench.pass_time(1)
    assert len(bench.links) == 1
    bench.supervisor.reconfigure(Setup(0.1, 2.0, 10.0, 30.0, detail=True, simulate=0, avoid=[]))
    bench.pass_time(1)
    assert bench.links[1].setup.detail


def test_a_stream_that_makes_no_sense_costs_its_reader(bench: Bench) -> None:
    bench.report(bench.links[0], 0)
    bench.links[0].broken = "frame of 4294967295 bytes"
    bench.pass_time(3)
    assert bench.links[0].terminated
    assert len(bench.links) == 2


def test_stopping_asks_every_reader_to_end(bench: Bench) -> None:
    bench.report(bench.links[0], 2)
    bench.links[0].at = Call(2, "nvmlDeviceGetMemoryInfo_v2")
    bench.pass_time(policy.REPLACE + 1.5)
    assert set(bench.supervisor.stop()) == set(bench.links)
    assert all(link.terminated for link in bench.links)


def test_gpus_that_are_asleep_are_not_woken() -> None:
    bench = Bench(asleep=True)
    bench.pass_time(20)
    assert bench.links == []
    bench.asleep = False
    bench.pass_time(6)
    assert len(bench.links) == 1


def test_a_reader_that_cannot_be_started_is_tried_again(bench: Bench) -> None:
    bench.links[0].code = 1
    bench.refusal = OSError("Resource temporarily unavailable")
    bench.pass_time(20)
    assert len(bench.links) == 1
    bench.refusal = None
    bench.pass_time(31)
    assert len(bench.links) == 2


def test_messages_that_were_dropped_make_everything_be_said_anew(bench: Bench) -> None:
    """What was dropped may have been the loss of a GPU."""
    (link,) = bench.links
    bench.report(link, 0, 1)
    link.speak(Dropped(3))
    assert bench.shown() == set()
    assert [type(message) for message in link.sent] == [Resend]


def test_a_gpu_that_is_lost_is_not_confused_with_one_that_hangs(bench: Bench) -> None:
    bench.report(bench.links[0], 0, 1)
    bench.links[0].speak(Lost("GPU-1", 1, "GPU is lost"))
    assert bench.shown() == {"GPU-0"}
    states = {
        entity_state(series): value
        for series, value in bench.supervisor.intake.samples()
        if series.metric.name == "joulespan.node.gpus"
    }
    assert states == {"reachable": 1, "lost": 1, "hung": 0}
