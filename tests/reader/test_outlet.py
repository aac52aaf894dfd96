# SPDX-License-Identifier: Apache-2.0
"""The reader never waits for the agent, and says what it dropped."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.gpu import ENERGY, POWER
from agent.entities import Gpu
from agent.reader import outlet
from agent.reader.outlet import Layouts, Outlet
from agent.reader.wire import FROM_READER, Block, Dropped, Frames, Layout, Log, restore

GPU = Gpu("GPU-1", "gpu0")
LONG = [Log("info", "x" * 100_000)]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give the two ends of a socket that does not block."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):
            end.settimeout(0)
        yield ours, theirs


def test_an_agent_that_does_not_listen_costs_messages_and_no_time(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    out = Outlet(ours)
    taken = sum(out.send(LONG) for _ in range(200))
    assert taken < 60
    assert len(out._pending) <= outlet._CAPACITY + 101_000
    frames = Frames()
    heard: list[Any] = []
    assert out.waiting
    while out.waiting:
        for body in frames.feed(theirs.recv(1 << 20)):
            heard += FROM_READER.decode(body)
        out.flush()
    assert out.send([Log("info", "last")])
    for body in frames.feed(theirs.recv(1 << 20)):
        heard += FROM_READER.decode(body)
    assert heard[:-2] == LONG * taken
    assert heard[-2:] == [Dropped(200 - taken), Log("info", "last")]


def test_an_agent_that_is_gone_is_noticed(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.close()
    with pytest.raises(ConnectionError):
        Outlet(ours).send(LONG)


def test_names_are_said_once() -> None:
    layouts = Layouts()
    samples = [POWER(GPU, 1), ENERGY(GPU, 2)]
    layout, block = layouts.messages("power", "GPU-1", 5, samples)
    assert isinstance(layout, Layout)
    assert [name for name, _ in layout.series] == ["hw.power", "hw.energy"]
    assert block == Block(layout.id, 5, [1.0, 2.0])
    assert layouts.messages("power", "GPU-1", 6, samples) == [Block(layout.id, 6, [1.0, 2.0])]


def test_a_series_that_is_missing_keeps_its_place() -> None:
    layouts = Layouts()
    layout, _ = layouts.messages("power", "GPU-1", 5, [POWER(GPU, 1), ENERGY(GPU, 2)])
    assert layouts.messages("power", "GPU-1", 6, [ENERGY(GPU, 3)]) == [Block(layout.id, 6, [None, 3.0])]


def test_a_new_series_and_a_long_list_of_missing_ones_are_a_new_layout() -> None:
    layouts = Layouts()
    gpus = [Gpu(f"GPU-{number}", "gpu") for number in range(5)]
    first, _ = layouts.messages("power", "", 5, [POWER(gpu, 1) for gpu in gpus[:4]])
    more, _ = layouts.messages("power", "", 6, [POWER(gpu, 1) for gpu in gpus])
    fewer, _ = layouts.messages("power", "", 7, [POWER(gpus[0], 1)])
    assert len({first.id, more.id, fewer.id}) == 3


def test_what_is_forgotten_is_said_again() -> None:
    layouts = Layouts()
    layouts.messages("power", "GPU-1", 5, [POWER(GPU, 1)])
    layouts.forget()
    assert isinstance(layouts.messages("power", "GPU-1", 6, [POWER(GPU, 1)])[0], Layout)


def test_nothing_read_is_an_empty_block() -> None:
    layouts = Layouts()
    layouts.messages("c2c", "GPU-1", 5, [])
    (block,) = layouts.messages("c2c", "GPU-1", 6, [])
    assert block.values == []


def test_what_is_dropped_is_counted_by_messages_and_not_by_frames(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    out = Outlet(ours)
    while out.send(LONG):
        pass
    assert not out.send([*LONG, *LONG, *LONG])
    frames, heard = Frames(), []
    while out.waiting:
        heard += list(frames.feed(theirs.recv(1 << 20)))
        out.flush()
    assert out.send([Log("info", "last")])
    heard += list(frames.feed(theirs.recv(1 << 20)))
    assert FROM_READER.decode(heard[-1]) == [Dropped(4), Log("info", "last")]


def test_names_are_said_once_for_each_collector_and_device() -> None:
    layouts = Layouts()
    said = [
        layouts.messages(collector, device, 5, [POWER(GPU, 1)])[0]
        for collector in ("power", "limits")
        for device in ("GPU-1", "GPU-2")
    ]
    assert len({layout.id for layout in said}) == 4
    assert {(layout.collector, layout.device) for layout in said} == {
        ("power", "GPU-1"),
        ("power", "GPU-2"),
        ("limits", "GPU-1"),
        ("limits", "GPU-2"),
    }


@given(st.lists(st.lists(st.integers(0, 5), unique=True), max_size=12))
def test_whoever_follows_the_layouts_knows_every_value_and_no_other(rounds: list[list[int]]) -> None:
    layouts = Layouts()
    gpus = [Gpu(f"GPU-{number}", "gpu") for number in range(6)]
    names: dict[int, list[Any]] = {}
    for time, present in enumerate(rounds):
        *layout, block = layouts.messages("power", "", time, [POWER(gpus[one], one) for one in present])
        names |= {one.id: [restore(*series) for series in one.series] for one in layout}
        shown = zip(names[block.layout], block.values, strict=True)
        read = {series.entity: value for series, value in shown if value is not None}
        assert read == {gpus[one]: one for one in present}
