# SPDX-License-Identifier: Apache-2.0
"""Spans for tests: put together by hand, written by OpenTelemetry's SDK, or recorded; all of them once encoded."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from agent.otlp.values import attributes
from agent.spans import INTERNAL, Source, Span

MS = 1_000_000
T0 = 1_795_418_400_000 * MS
TRACE = b"\x07" * 16
_numbers = count(1)

Told = Mapping[str, "str | bool | int | float | list[str] | AnyValue"]


def span(
    name: str,
    told: Told,
    begin: float = 0,
    end: float = 1000,
    *,
    scope: str = "",
    kind: "SpanMessage.SpanKind.ValueType" = INTERNAL,
    above: Span | None = None,
    failed: bool = False,
) -> Span:
    """Make a span that lasts from `begin` to `end`, ms after T0."""
    message = SpanMessage(
        trace_id=TRACE,
        span_id=next(_numbers).to_bytes(8, "big"),
        parent_span_id=above.span_id if above else b"",
        name=name,
        kind=kind,
        start_time_unix_nano=T0 + round(begin * MS),
        end_time_unix_nano=T0 + round(end * MS),
        attributes=pairs(told),
        status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET),
    )
    message = SpanMessage.FromString(message.SerializeToString())
    return Span(message, Source({}), scope)


def pairs(told: Told) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in told.items()]


def any_value(value: "str | bool | int | float | list[str] | AnyValue") -> AnyValue:
    if isinstance(value, AnyValue):
        return value
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(one) for one in value]))
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(double_value=value)


def decoded(message: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(span, source, scope_spans.scope.name)
        for resource_spans in message.resource_spans
        for source in [Source(attributes(resource_spans.resource.attributes))]
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def recorded(files: Sequence[Path]) -> list[Span]:
    return [span for path in sorted(files) for span in decoded(ExportTraceServiceRequest.FromString(path.read_bytes()))]


class Written(list[Span]):
    """The spans that an SDK exported, the first to end first."""

    def named(self, name: str) -> Span:
        [found] = [span for span in self if span.name == name]
        return found


@contextmanager
def sdk(scope: str) -> Iterator[tuple[Tracer, Written]]:
    """Give OpenTelemetry's SDK; what it exports is there when the block ends."""
    exporter, written = InMemorySpanExporter(), Written()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer(scope), written
    provider.shutdown()
    encoded = encode_spans(exporter.get_finished_spans()).SerializeToString()
    written.extend(decoded(ExportTraceServiceRequest.FromString(encoded)))
