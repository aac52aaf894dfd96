# SPDX-License-Identifier: Apache-2.0
"""How much a message would take once decoded, counted before it is decoded.

A field of two bytes becomes an object of up to ninety: 64 MiB of empty links would take 2.8 GB. So the parts of a
message are counted, in units of about 22 bytes of memory, without making anything of them. What is too small to
exceed a bound is not counted at all.
"""

from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agent.otlp.protobuf import LENGTH, Malformed, fields

Shape: TypeAlias = "dict[int, Shape | None]"
"""The fields of a message that take more memory than bytes, by number: a message's shape, or None for a list."""

_MESSAGE = 4
"""Units for an object. Everything else in a message is one unit, for the time it takes to look at it."""
MOST_IN_REQUEST = 4_000_000
"""Units: a million objects, 90 MB. 8192 spans of 40 attributes, a large batch of a collector, are 3.4 million."""
MOST_IN_SPAN = 400_000
_DEEPEST = 64


def shape_of(descriptor: Any, known: dict[str, Shape] | None = None) -> Shape:
    """Find the shape of a message from its descriptor."""
    found = {} if known is None else known
    if descriptor.full_name not in found:
        shape: Shape = found.setdefault(descriptor.full_name, {})
        for field in descriptor.fields:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                shape[field.number] = shape_of(field.message_type, found)
            # The default tells a repeated field in every release of protobuf.
            elif field.default_value == [] and field.type not in _FIXED:
                shape[field.number] = None
    return found[descriptor.full_name]


_FIXED = (
    FieldDescriptor.TYPE_DOUBLE,
    FieldDescriptor.TYPE_FLOAT,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED32,
    FieldDescriptor.TYPE_SFIXED64,
)
SPAN = shape_of(Span.DESCRIPTOR)
TRACES = shape_of(ExportTraceServiceRequest.DESCRIPTOR)
METRICS = shape_of(ExportMetricsServiceRequest.DESCRIPTOR)
LOGS = shape_of(ExportLogsServiceRequest.DESCRIPTOR)


def check(data: bytes, shape: Shape, most: int) -> None:
    """Raise Malformed when a message of this shape would take more than `most` units, or nests too deep."""
    # Nothing takes more than an object for each two bytes.
    if len(data) * _MESSAGE <= most * 2:
        return
    left = most
    walk = [(fields(data), shape)]
    while walk:
        parts, known = walk[-1]
        for one in parts:
            left -= 1
            if one.wire == LENGTH and one.number in known:
                inner = known[one.number]
                left -= _MESSAGE - 1 if inner is not None else one.end - one.start
                if inner:
                    walk.append((fields(data, one.start, one.end), inner))
            if left < 0:
                raise Malformed(f"more than {most // _MESSAGE} attributes and other parts")
            if walk[-1][0] is not parts:
                break
        else:
            walk.pop()
        if len(walk) > _DEEPEST:
            raise Malformed(f"nested more than {_DEEPEST} deep")
