# SPDX-License-Identifier: Apache-2.0
"""What goes over the socket arrives as it was sent, however it is cut."""

from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue import METRICS
from agent.entity import Entity
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


def test_a_frame_that_is_too_long_breaks_the_stream() -> None:
    with pytest.raises(Broken):
        list(Frames().feed((MAX_MESSAGE + 1).to_bytes(4, "little")))


@given(st.binary())
def test_a_body_of_noise_is_an_error_that_is_expected(noise: bytes) -> None:
    try:
        FROM_READER.decode(noise)
    except msgspec.DecodeError:
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
