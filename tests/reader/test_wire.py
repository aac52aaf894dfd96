# SPDX-License-Identifier: Apache-2.0
"""What goes over the socket arrives as it was sent, however it is cut."""

import sys
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import example as case
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue import METRICS
from agent.entity import Entity
from agent.reader import wire
from agent.reader.wire import FROM_READER, MAX_MESSAGE, Block, Broken, Dropped, Frames, Log, describe, pack, restore

MESSAGES = st.lists(
    st.builds(Block, st.integers(0, 9), st.integers(0, 1 << 62), st.lists(st.none() | st.floats(allow_nan=False)))
    | st.builds(Dropped, st.integers(0, 99))
    | st.builds(Log, st.just("info"), st.text()),
    max_size=5,
)


@given(st.lists(MESSAGES, max_size=5), st.data())
def test_frames_that_are_cut_anywhere_come_together(told: list[list[Any]], data: st.DataObject) -> None:
    stream = b"".join(pack(messages) for messages in told)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    frames = Frames()
    heard = [FROM_READER.decode(body) for piece in pieces for body in frames.feed(piece)]
    assert heard == told


def test_a_frame_that_is_too_long_breaks_the_stream_before_it_is_stored() -> None:
    with pytest.raises(Broken, match=str(MAX_MESSAGE + 1)):
        list(Frames().feed((MAX_MESSAGE + 1).to_bytes(4, sys.byteorder)))
    assert list(Frames().feed(MAX_MESSAGE.to_bytes(4, sys.byteorder))) == []


def test_what_came_whole_before_the_stream_broke_is_still_given_out() -> None:
    bodies = Frames().feed(pack([Dropped(1)]) + b"\xff" * 4)
    assert FROM_READER.decode(next(bodies)) == [Dropped(1)]
    with pytest.raises(Broken):
        next(bodies)


@given(st.binary())
@case(b"\x91\x92\x0c\xa1\xff")
def test_a_body_of_noise_is_an_error_that_is_expected(noise: bytes) -> None:
    try:
        FROM_READER.decode(noise)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert msgspec.msgpack.decode(noise) is not None


def example(kind: type[Entity]) -> Entity:
    """An entity of a kind, with something in every field."""
    fields: list[Any] = [
        {str: "é\n", int: 7, str | None: "x", int | None: 8}.get(hint) or example(hint)
        for hint in get_type_hints(kind).values()
    ]
    found: Entity = kind(*fields)
    return found


@pytest.mark.parametrize("name", METRICS)
def test_every_series_is_restored_as_the_same_object(name: str) -> None:
    series = METRICS[name].series(example(METRICS[name].entity))
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(describe(series)))
    assert restore(*sent) is series


def test_a_series_that_the_catalogue_does_not_have_breaks_the_stream() -> None:
    for name, entity in (("hw.nothing", []), ("hw.power", ["GPU-1"]), ("hw.power", [1, 2])):
        with pytest.raises(Broken):
            restore(name, entity)


@pytest.mark.parametrize("name", METRICS)
def test_what_a_series_lacks_is_still_lacking_on_the_other_side(name: str) -> None:
    entity = example(METRICS[name].entity)
    optional = [type(None) in get_args(hint) for hint in get_type_hints(METRICS[name].entity).values()]
    fields: list[Any] = [None if lacking else value for lacking, value in zip(optional, entity, strict=True)]
    bare = METRICS[name].entity(*fields)
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(describe(METRICS[name].series(bare))))
    assert restore(*sent) == METRICS[name].series(bare)


def test_every_message_to_and_from_the_reader_arrives_as_it_was_sent() -> None:
    series = describe(METRICS["hw.power"].series(example(METRICS["hw.power"].entity)))
    told = [
        wire.Opened(None, 8),
        wire.Failed("no driver"),
        wire.Found("GPU-1", 0, None),
        wire.Lost(None, 1, "gone"),
        wire.Layout(1, "power", "GPU-1", [series]),
        Block(1, 1 << 62, [None, 1.5]),
        wire.Ran("power", 1, 0.5, {"Unavailable": 2}, 3),
        wire.XidSeen("GPU-1", 79, 1),
        Dropped(4),
        Log("info", "é"),
    ]
    asked = [wire.Setup(0.1, 1.0, 10.0, 30.0, detail=True, simulate=0, avoid=[3]), wire.Include([3]), wire.Resend()]
    (heard,) = (FROM_READER.decode(body) for body in Frames().feed(pack(told)))
    (understood,) = (wire.TO_READER.decode(body) for body in Frames().feed(pack(asked)))
    assert [msgspec.to_builtins(message) for message in heard] == [msgspec.to_builtins(message) for message in told]
    assert understood == asked
