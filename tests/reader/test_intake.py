# SPDX-License-Identifier: Apache-2.0
"""What readers say becomes the snapshot, the timeline and counts."""

from math import isnan
from typing import Any

import pytest

from agent.catalogue.gpu import ENERGY, POWER
from agent.clock import NS, FakeClock
from agent.entities import Gpu
from agent.entity import attributes
from agent.reader.intake import Intake
from agent.reader.wire import Block, Broken, Dropped, Failed, Found, Layout, Lost, Opened, Ran, XidSeen, describe
from agent.snapshot import Snapshots, Source
from agent.timeline import Timeline


class Room:
    """An intake and what it writes to."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.snapshots = Snapshots()
        self.timeline = Timeline(10, 0.1)
        self.intake = Intake(self.snapshots, self.timeline, self.clock)

    def say(self, *messages: Any) -> None:
        self.intake.take(list(messages))

    def shown(self) -> dict[str, float]:
        samples: list[Any] = list(self.snapshots.current.samples())
        return {series.entity.id: value for series, value in samples}

    def told(self, name: str) -> dict[tuple[str, ...], float]:
        """Values of a metric that the intake tells of itself, by attribute values."""
        return {
            tuple(value for key, value in attributes(series.entity) if not key.startswith("hw.t")): value
            for series, value in self.intake.samples()
            if series.metric.name == name
        }


@pytest.fixture
def room() -> Room:
    return Room()


def gpu(index: int) -> Gpu:
    return Gpu(f"GPU-{index}", f"gpu{index}")


def found(index: int) -> Found:
    return Found(f"GPU-{index}", index, f"0000:0{index}:00.0")


def layout(index: int, collector: str = "gpu_energy") -> Layout:
    return Layout(index, collector, f"GPU-{index}", [describe(ENERGY.series(gpu(index)))])


def test_numbers_get_their_names_and_go_into_snapshot_and_timeline(room: Room) -> None:
    room.say(found(1), layout(1), Block(1, 5, [7.5]))
    room.say(Block(1, 6, [8.5]))
    assert room.shown() == {"GPU-1": 8.5}
    assert list(room.timeline.window(ENERGY.series(gpu(1)), 0, 9)[1]) == [7.5, 8.5]
    assert room.told("joulespan.gpu.last_read") == {("GPU-1", "gpu1"): pytest.approx(1.7e9)}
    room.say(Block(1, 7, [None]))
    assert room.shown() == {}
    assert isnan(room.timeline.window(ENERGY.series(gpu(1)), 7, 7)[1][0])


def test_only_what_requests_are_joined_with_goes_into_the_timeline(room: Room) -> None:
    room.say(found(1), layout(1, "gpu_power"), Block(1, 5, [7.5]))
    assert list(room.timeline.window(ENERGY.series(gpu(1)), 0, 9)[1]) == []


def test_numbers_without_names_are_not_guessed_at(room: Room) -> None:
    room.say(found(1), Block(1, 5, [7.5]), layout(1), Block(1, 6, [1.0, 2.0]), Block(2, 6, [1.0]))
    assert room.shown() == {}


def test_a_lost_gpu_costs_its_own_series_and_is_said_to_have_failed(room: Room) -> None:
    room.say(found(1), found(2), layout(1), layout(2), Block(1, 5, [1.0]), Block(2, 5, [2.0]))
    room.say(Lost("GPU-1", 1, "GPU is lost"))
    assert room.shown() == {"GPU-2": 2.0}
    assert room.told("hw.status") == {("GPU-1", "gpu1", "failed"): 1}
    assert room.told("joulespan.node.gpus") == {("reachable",): 1, ("lost",): 1, ("hung",): 0}
    room.say(found(1), layout(1), Block(1, 6, [3.0]))
    assert room.shown() == {"GPU-1": 3.0, "GPU-2": 2.0}
    assert room.told("hw.status") == {}


def test_an_xid_of_both_witnesses_is_one_event_with_its_time(room: Room) -> None:
    room.say(found(1), XidSeen("GPU-1", 79, 100 * NS))
    room.intake.kernel_xid("0000:01:00.0", 79, 101 * NS)
    room.intake.kernel_xid("0000:09:00.0", 79, 101 * NS)
    assert room.told("joulespan.gpu.xid") == {("GPU-1", "gpu1", "79"): 1}
    assert room.told("joulespan.gpu.xid.last_seen") == {("GPU-1", "gpu1", "79"): 1.7e9 + 100}


def test_another_reader_numbers_its_layouts_anew_and_counts_go_on(room: Room) -> None:
    room.say(Opened("580", 2), found(1), layout(1), Block(1, 5, [1.0]), XidSeen("GPU-1", 79, NS), Dropped(3))
    room.intake.restart()
    assert room.shown() == {}
    assert not room.intake.opened
    room.say(
        found(2), Layout(1, "gpu_energy", "GPU-2", [describe(ENERGY.series(gpu(2)))]), Block(1, 6, [2.0]), Dropped(2)
    )
    assert room.shown() == {"GPU-2": 2.0}
    assert room.told("joulespan.gpu.xid") == {("GPU-1", "gpu1", "79"): 1}
    assert room.told("joulespan.reader.dropped") == {(): 5}


def test_runs_of_collectors_are_told_and_a_missing_right_is_no_failure(room: Room) -> None:
    room.say(Ran("gpu_power", 10 * NS, 0.25, {}, 0), Ran("gpu_health", 10 * NS, 0.5, {"NoPermission": 8}, 2))
    room.say(Ran("gpu_power", 11 * NS, 0.125, {"Unavailable": 1}, 0))
    assert room.told("joulespan.collector.duration") == {("gpu_power",): 0.125, ("gpu_health",): 0.5}
    assert room.told("joulespan.collector.success") == {("gpu_power",): 0, ("gpu_health",): 1}
    assert room.told("joulespan.collector.last_success")["gpu_power",] == 1.7e9 + 10
    assert room.told("joulespan.collector.missed")["gpu_health",] == 2
    assert room.told("joulespan.collector.failures") == {
        ("gpu_power", "Unavailable"): 1,
        ("gpu_health", "NoPermission"): 8,
    }


def test_a_driver_that_is_not_there_is_said_once(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        room.say(Failed("Driver Not Loaded"))
    assert room.intake.failure == "Driver Not Loaded"
    assert len([record for record in caplog.records if "no driver" in record.message]) == 1


def test_a_layout_that_was_replaced_names_nothing_any_more(room: Room) -> None:
    anew = Layout(2, "gpu_energy", "GPU-1", [describe(POWER.series(gpu(1)))])
    room.say(found(1), layout(1), anew, Block(2, 5, [300.0]), Block(1, 6, [7.5]))
    assert [(series.metric.name, value) for series, value in room.snapshots.current.samples()] == [("hw.power", 300.0)]


def test_a_lost_gpu_ends_what_was_said_before_and_not_what_is_said_after(room: Room) -> None:
    room.say(found(1), found(2), layout(1), layout(2), Block(1, 5, [1.0]), Lost("GPU-1", 1, "gone"), Block(2, 5, [2.0]))
    assert room.shown() == {"GPU-2": 2.0}
    room.say(Block(1, 6, [1.5]), Lost("GPU-1", 1, "gone"), found(1), layout(1), Block(1, 7, [3.0]))
    assert room.shown() == {"GPU-1": 3.0, "GPU-2": 2.0}


def test_a_gpu_that_never_answered_is_lost_without_a_name(room: Room) -> None:
    room.say(Lost(None, 3, "GPU is lost"))
    assert room.told("joulespan.node.gpus") == {("reachable",): 0, ("lost",): 1, ("hung",): 0}
    assert room.told("hw.status") == {}


def test_a_gpu_whose_call_hangs_has_failed_until_it_is_found(room: Room) -> None:
    room.say(found(1))
    room.intake.hung.add(1)
    assert room.told("hw.status") == {("GPU-1", "gpu1", "failed"): 1}
    room.say(found(1))
    assert room.told("joulespan.node.gpus") == {("reachable",): 1, ("lost",): 0, ("hung",): 0}


def test_a_reader_that_fell_silent_takes_only_its_own_series_with_it(room: Room) -> None:
    room.snapshots.put_samples(Source("host"), [POWER(gpu(9), 9)], 0)
    room.say(Opened("580", 1), found(1), layout(1), Block(1, 5, [1.0]))
    room.intake.forget()
    assert room.shown() == {"GPU-9": 9.0}
    assert room.told("joulespan.node.gpus")["reachable",] == 0
    room.say(Block(1, 6, [2.0]))
    assert room.shown() == {"GPU-9": 9.0, "GPU-1": 2.0}


def test_who_waits_for_new_values_is_called_once_for_all_and_not_for_energy_alone(room: Room) -> None:
    calls: list[int] = []
    room.intake.updated = lambda: calls.append(len(room.shown()))
    room.say(found(1), found(2), layout(1), layout(2, "gpu_power"), Block(1, 5, [1.0]))
    assert calls == []
    room.say(Block(1, 6, [1.0]), Block(2, 6, [2.0]))
    assert calls == [2]


def test_a_series_that_makes_no_sense_breaks_the_stream(room: Room) -> None:
    with pytest.raises(Broken):
        room.say(Layout(1, "gpu_energy", "GPU-1", [("hw.nothing", [])]))
