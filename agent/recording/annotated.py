# SPDX-License-Identifier: Apache-2.0
"""The lines of a recording's spans written back, with attributes appended to those that were divided."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.otlp.values import Value, attributes
from agent.processors.annotation import GPU_IDS
from agent.processors.energy_annotation import ATTRIBUTES

_OURS = (GPU_IDS, *ATTRIBUTES)
"""What an earlier attribution may have said, which this one replaces."""


def annotated(body: bytes, told: Mapping[int, bytes]) -> bytes:
    """Write a line again. `told` are encoded attributes of its spans, by their number in the line."""
    tree = msgspec.json.decode(body)
    tree.pop("resourceMetrics", None)
    for number, span in enumerate(_spans(tree)):
        if number in told:
            kept = [one for one in span.get("attributes") or [] if not _ours(one)]
            span["attributes"] = kept + _attributes(told[number])
    return msgspec.json.encode(tree)


def _spans(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in tree.get("resourceSpans") or []:
        for scope in resource.get("scopeSpans") or []:
            yield from scope.get("spans") or []


def _ours(pair: Any) -> bool:
    return isinstance(pair, dict) and pair.get("key") in _OURS


def _attributes(encoded: bytes) -> list[dict[str, Any]]:
    told = attributes(SpanMessage.FromString(encoded).attributes)
    return [{"key": key, "value": _value(value)} for key, value in told.items()]


def _value(told: Value) -> dict[str, Any]:
    """Write one of the values that annotations have: a number, a truth, a text or a list of these."""
    if isinstance(told, list):
        return {"arrayValue": {"values": [_value(one) for one in told]}}
    if isinstance(told, bool):
        return {"boolValue": told}
    if isinstance(told, int):
        return {"intValue": str(told)}
    return {"doubleValue": told} if isinstance(told, float) else {"stringValue": told}
