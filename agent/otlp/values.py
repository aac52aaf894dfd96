# SPDX-License-Identifier: Apache-2.0
"""Attributes of OTLP: from messages to Python values, and from Python values to bytes."""

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from agent.otlp.protobuf import LENGTH, field, varint

Value: TypeAlias = "str | bool | int | float | bytes | list[Value] | dict[str, Value] | None"
"""What an attribute can be."""

_DOUBLE = Struct("<d")
_STRING_VALUE, _ARRAY_VALUE = 1, 5
_BOOL_TAG, _INT_TAG, _DOUBLE_TAG = b"\x10", b"\x18", b"\x21"
_SPAN_ATTRIBUTES = 9
_KEY, _VALUE = 1, 2
_UINT64 = (1 << 64) - 1


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    """Read attributes; of a key that comes twice the first counts, as the specification asks for unique keys."""
    found: dict[str, Value] = {}
    for pair in pairs:
        key, told = pair.key, pair.value
        if key in found:
            continue
        # A field that is not set reads as nothing, and to ask which one is set takes as long as to read all three.
        found[key] = told.int_value or told.double_value or told.string_value or value(told)
    return found


def value(any_value: AnyValue) -> Value:
    """Read one value; None when it is not set."""
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    found: Any = getattr(any_value, kind)
    if kind == "array_value":
        return [value(one) for one in found.values]
    if kind == "kvlist_value":
        return attributes(found.values)
    return found  # type: ignore[no-any-return]


def span_int(key: str) -> Callable[[int], bytes]:
    """Prepare span_attribute for one key and numbers that are not negative."""
    name = field(_KEY, key.encode())

    def encode(told: int) -> bytes:
        number = varint(told)
        # All lengths fit one byte: an attribute's name is short.
        inner = name + bytes((_VALUE << 3 | LENGTH, len(number) + 1)) + _INT_TAG + number
        return bytes((_SPAN_ATTRIBUTES << 3 | LENGTH, len(inner))) + inner

    return encode


def span_attribute(key: str, told: "float | int | str | Sequence[str]") -> bytes:
    """Encode an attribute as a field of a Span, to be appended to its bytes. An int must fit 64 bits."""
    return field(_SPAN_ATTRIBUTES, field(_KEY, key.encode()) + field(_VALUE, _encoded(told)))


def _encoded(told: "float | int | str | Sequence[str]") -> bytes:
    if isinstance(told, bool):
        return _BOOL_TAG + varint(told)
    if isinstance(told, float):
        return _DOUBLE_TAG + _DOUBLE.pack(told)
    if isinstance(told, int):
        return _INT_TAG + varint(told & _UINT64)
    if isinstance(told, str):
        return field(_STRING_VALUE, told.encode())
    return field(_ARRAY_VALUE, b"".join(field(1, field(_STRING_VALUE, one.encode())) for one in told))
