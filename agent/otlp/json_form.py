# SPDX-License-Identifier: Apache-2.0
"""OTLP over JSON, turned into the protobuf form and back.

It is protobuf's JSON form, except that trace and span ids are hex, that enums are numbers and that fields which are
not known are left out: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. Of a key that comes twice the
last counts.
"""

import base64
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message

from agent.otlp.protobuf import Malformed

MOST_PARTS = 500_000
"""Objects, lists and their elements in a body, each of which takes up to 200 bytes."""
Places: TypeAlias = "dict[str, Places | None]"
"""Where ids are: the keys that lead to them, and None for an id."""

_SPAN_CONTEXT: Places = {"traceId": None, "spanId": None}
_POINTS: Places = {"dataPoints": {"exemplars": _SPAN_CONTEXT}}
_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
_IDS: Places = {
    "resourceSpans": {"scopeSpans": {"spans": {**_SPAN_CONTEXT, "parentSpanId": None, "links": _SPAN_CONTEXT}}},
    "resourceMetrics": {"scopeMetrics": {"metrics": dict.fromkeys(_KINDS, _POINTS)}},
    "resourceLogs": {"scopeLogs": {"logRecords": _SPAN_CONTEXT}},
}
_WRONG = (json_format.Error, ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError)
"""What protobuf's parser raises, where a value is not of the kind that it takes for granted."""


def to_protobuf(kind: type[Message], body: bytes) -> bytes:
    """Encode a request that came as JSON. Raises Malformed, with the place where it can be told."""
    if sum(body.count(mark) for mark in (b"{", b"[", b",")) > MOST_PARTS:
        raise Malformed(f"more than {MOST_PARTS} objects, lists and elements")
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"no JSON: {error}") from error
    if not isinstance(tree, dict):
        raise Malformed("the JSON must be an object")
    return encoded(kind, tree)


def encoded(kind: type[Message], tree: dict[str, Any]) -> bytes:
    """Encode a request that came as JSON and was parsed; its ids are changed in place. Raises Malformed."""
    _turn_ids(tree, _IDS, "", _base64)
    try:
        message: Message = json_format.ParseDict(tree, kind(), ignore_unknown_fields=True)
        return bytes(message.SerializeToString())
    except _WRONG as error:
        raise Malformed(" ".join(str(error).split())[-200:]) from error


def to_json(message: Message) -> bytes:
    """Write an answer."""
    return bytes(json_format.MessageToJson(message, indent=None).encode())


def request_to_json(message: Message) -> bytes:
    """Write a request on one line, its ids in hex."""
    tree = json_format.MessageToDict(message, use_integers_for_enums=True)
    _turn_ids(tree, _IDS, "", _hex)
    return msgspec.json.encode(tree)


def _turn_ids(node: Any, places: Places, where: str, turn: Callable[[Any, str], str | None]) -> None:
    """Turn the ids in a tree, in place: from hex into base64, which protobuf's parser takes for bytes, or back."""
    if isinstance(node, list):
        for at, one in enumerate(node):
            if isinstance(one, dict):
                _turn_ids(one, places, f"{where}[{at}]", turn)
    elif isinstance(node, dict):
        for key in places.keys() & node.keys():
            inner = places[key]
            if inner is None:
                node[key] = turn(node[key], f"{where}.{key}")
            else:
                _turn_ids(node[key], inner, f"{where}.{key}", turn)


def _hex(told: Any, _where: str) -> str:
    return base64.b64decode(told).hex()


def _base64(told: Any, where: str) -> str | None:
    if told is None:
        return None
    try:
        found = bytes.fromhex(told)
    except (TypeError, ValueError) as error:
        raise Malformed(f"{where.lstrip('.')} is no hex") from error
    # fromhex takes spaces.
    if len(found) * 2 != len(told):
        raise Malformed(f"{where.lstrip('.')} is no hex")
    return base64.b64encode(found).decode()
