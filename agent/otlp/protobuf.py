# SPDX-License-Identifier: Apache-2.0
"""The protobuf wire format, as far as messages are cut apart and joined without decoding what is in them.

Source: https://protobuf.dev/programming-guides/encoding/. Every field is a tag, a varint of number << 3 | wire type,
and a payload. Fields of a message can come in any order, and two messages one after the other are their merger.
"""

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_LONGEST, _LONGEST_TAG = 10, 5
_MOST, _MOST_TAG = 1 << 64, 1 << 32
_CONTINUES, _BITS = 0x80, 7


class Malformed(ValueError):
    """These bytes are no message. The text is one line for the sender."""


class Field(NamedTuple):
    """A field of a message: its tag begins at `begin`, its payload is data[start:end]."""

    number: int
    wire: int
    begin: int
    start: int
    end: int


def fields(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Field]:  # noqa: C901 - calls would double its time
    """Cut data[start:end] into its fields. Raises Malformed, for everything that protobuf's own parsers refuse too."""
    place = start
    last = len(data) if end is None else end
    while place < last:
        begin = place
        tag = data[place]
        place += 1
        if tag & _CONTINUES:
            tag, place = _varint(data, begin, last, _LONGEST_TAG, _MOST_TAG)
        wire = tag & 7
        if wire == LENGTH:
            if place >= last:
                raise Malformed("a field ends before its length")
            size = data[place]
            place += 1
            if size & _CONTINUES:
                size, place = _varint(data, place - 1, last, _LONGEST_TAG, _MOST_TAG)
            stop = place + size
        elif wire == VARINT:
            stop = place + 1
            if stop > last or data[place] & _CONTINUES:
                _, stop = _varint(data, place, last)
        elif wire == FIXED64:
            stop = place + 8
        elif wire == FIXED32:
            stop = place + 4
        else:
            raise Malformed(f"wire type {wire} is not in use")
        if stop > last or tag < 1 << 3:
            raise Malformed("a field is longer than its message" if stop > last else "a field has the number 0")
        yield Field(tag >> 3, wire, begin, place, stop)
        place = stop


def _varint(data: bytes, place: int, last: int, longest: int = _LONGEST, most: int = _MOST) -> tuple[int, int]:
    value = shift = 0
    for at in range(place, min(place + longest, last)):
        byte = data[at]
        value |= (byte & ~_CONTINUES) << shift
        if byte < _CONTINUES:
            if value >= most:
                raise Malformed("a number is too large")
            return value, at + 1
        shift += _BITS
    raise Malformed("a number has no end")


def varint(value: int) -> bytes:
    """Encode a number that is not negative."""
    if value < _CONTINUES:
        return bytes((value,))
    found = bytearray()
    while value >= _CONTINUES:
        found.append(value & 0x7F | _CONTINUES)
        value >>= _BITS
    found.append(value)
    return bytes(found)


def field(number: int, payload: bytes) -> bytes:
    """Encode a field that is a message, a string or bytes."""
    return varint(number << 3 | LENGTH) + varint(len(payload)) + payload
