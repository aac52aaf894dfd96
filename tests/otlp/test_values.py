# SPDX-License-Identifier: Apache-2.0
"""Attributes are read as they were meant and written as protobuf writes them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agent.otlp.values import attributes, span_attribute, span_int, value

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


def pair(key: str, told: AnyValue) -> KeyValue:
    return KeyValue(key=key, value=told)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (AnyValue(), None),
        (AnyValue(string_value=""), ""),
        (AnyValue(bool_value=False), False),
        (AnyValue(int_value=0), 0),
        (AnyValue(int_value=-1), -1),
        (AnyValue(double_value=math.inf), math.inf),
        (AnyValue(bytes_value=b"\xff"), b"\xff"),
        (AnyValue(array_value=ArrayValue()), []),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue()])), [1, None]),
        (AnyValue(kvlist_value=KeyValueList(values=[pair("a", AnyValue(string_value="b"))])), {"a": "b"}),
    ],
)
def test_every_kind_of_value_is_read_in_both_places(message: AnyValue, expected: object) -> None:
    assert value(message) == expected
    assert attributes([pair("key", message)]) == {"key": expected}
    assert type(value(message)) is type(expected)


def test_of_a_key_that_comes_twice_the_first_counts() -> None:
    assert attributes([pair("a", AnyValue(int_value=1)), pair("a", AnyValue(int_value=2))]) == {"a": 1}


@given(st.text(), INT64 | st.floats(allow_nan=False) | st.text() | st.lists(st.text(), max_size=4))
def test_what_is_appended_to_a_span_is_read_again(key: str, told: float | str | list[str]) -> None:
    before = Span(trace_id=b"\1" * 16, name="chat", attributes=[pair("was", AnyValue(int_value=1))]).SerializeToString()
    span = Span.FromString(before + span_attribute(key, told))
    assert [one.key for one in span.attributes] == ["was", key]
    assert value(span.attributes[1].value) == told
    assert span.SerializeToString().startswith(before[:20])


@given(st.integers(0, (1 << 63) - 1))
def test_a_prepared_number_is_the_same_bytes(told: int) -> None:
    assert span_int("joulespan.energy")(told) == span_attribute("joulespan.energy", told)
