# SPDX-License-Identifier: Apache-2.0
"""The wire format is cut as protobuf's own parsers read it."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agent.otlp.protobuf import FIXED32, FIXED64, LENGTH, VARINT, Field, Malformed, field, fields, varint


@given(st.integers(0, (1 << 64) - 1))
def test_a_number_is_encoded_as_protobuf_does(number: int) -> None:
    # An int_value is a signed 64-bit number of the same bits.
    signed = number - (1 << 64) if number >> 63 else number
    assert b"\x18" + varint(number) == AnyValue(int_value=signed).SerializeToString()


@given(st.binary(max_size=300))
def test_a_field_of_bytes_is_encoded_as_protobuf_does(payload: bytes) -> None:
    assert field(7, payload) == AnyValue(bytes_value=payload).SerializeToString()
    (one,) = fields(field(7, payload))
    assert (one.number, one.wire, field(7, payload)[one.start : one.end]) == (7, LENGTH, payload)


def test_every_wire_type_is_cut_at_its_end() -> None:
    parts = [b"\x08\x96\x01", b"\x11" + bytes(8), b"\x1a\x02ab", b"\x25" + bytes(4), b"\xa0\x06\x01"]
    found = list(fields(b"".join(parts)))
    assert [one.wire for one in found] == [VARINT, FIXED64, LENGTH, FIXED32, VARINT]
    assert [one.number for one in found] == [1, 2, 3, 4, 100]
    assert [one.end - one.begin for one in found] == [len(part) for part in parts]


def test_a_part_of_the_data_is_cut_by_itself() -> None:
    assert list(fields(b"junk\x0a\x01zjunk", 4, 7)) == [Field(1, LENGTH, 4, 6, 7)]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "ends before its length"),
        (b"\x0a\x05abc", "longer than its message"),
        (b"\x0a\xff\xff\xff\xff\x0fabc", "longer than its message"),
        (b"\x08", "no end"),
        (b"\x08\x80", "no end"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "too large"),
        (b"\x0d\0\0", "longer than its message"),
        (b"\x09\0\0", "longer than its message"),
        (b"\x0b", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x02\0", "number 0"),
        (b"\xff\xff\xff\xff\xff\x01\0", "no end"),
        (b"\xfa\xff\xff\xff\x1f\0", "too large"),
        (b"\x0a\x80\x80\x80\x80\x80\0", "no end"),
    ],
)
def test_what_is_no_message_is_told_apart(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        list(fields(data))


@given(st.binary(max_size=40))
@example(b"\x8a\x80\x80\x80\x00\x00")
@example(b"\x08" + b"\x80" * 9 + b"\x01")
def test_what_is_cut_is_what_protobuf_reads(data: bytes) -> None:
    """Unknown fields beyond every number a Span has: protobuf refuses them for the wire format only."""
    moved = b"".join(varint(100 << 3 | byte & 7) + data[at + 1 : at + 6] for at, byte in enumerate(data[:20]))
    for body in (data, moved):
        try:
            cut = list(fields(body))
        except Malformed:
            continue
        assert b"".join(body[one.begin : one.end] for one in cut) == body
        if all(one.number >= 100 for one in cut):
            try:
                Span.FromString(body)
            except DecodeError:
                pytest.fail(f"{body!r} was cut, and protobuf refuses it")
