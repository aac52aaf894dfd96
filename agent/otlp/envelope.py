# SPDX-License-Identifier: Apache-2.0
"""Trace requests cut into their spans and put together again, each span byte for byte as it came.

ExportTraceServiceRequest (repeated ResourceSpans = 1), ResourceSpans (Resource = 1, repeated ScopeSpans = 2,
schema_url = 3) and ScopeSpans (InstrumentationScope = 1, repeated Span = 2, schema_url = 3) are taken apart by hand,
so that what this release does not know stays where it was. Only the order of the fields around the spans is ours.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans as ScopeMessage

from agent.otlp.protobuf import LENGTH, Field, Malformed, field, fields
from agent.otlp.values import Value, attributes

MOST_SPANS = 131_072
"""Spans in one request: 64 MiB of spans of 512 bytes. What has more is no telemetry."""
_MOST_HEAD = 1 << 20
_REPEATED = 2
_TOP = 1


class ScopeSpans(NamedTuple):
    """The spans of one instrumentation scope: its name, its other fields as they came, and each span as bytes."""

    head: bytes
    name: str
    spans: list[bytes]


class ResourceSpans(NamedTuple):
    """What one resource sent: its attributes, its other fields as they came, and its scopes."""

    head: bytes
    attributes: Mapping[str, Value]
    scopes: list[ScopeSpans]


class Envelope(NamedTuple):
    """A trace request, taken apart."""

    head: bytes
    resources: list[ResourceSpans]


def split(body: bytes) -> Envelope:
    """Take a request apart. Raises Malformed."""
    head, resources, left = [], [], MOST_SPANS
    for one in fields(body):
        if one.number == _TOP and one.wire == LENGTH:
            resource = _resource(body, one, left)
            left -= sum(len(scope.spans) + 1 for scope in resource.scopes) + 1
            resources.append(resource)
        else:
            head.append(body[one.begin : one.end])
            left -= 1
        if left < 0:
            raise Malformed(f"more than {MOST_SPANS} spans in one request")
    around = b"".join(head)
    _read(around, ExportTraceServiceRequest())
    return Envelope(around, resources)


def join(envelope: Envelope, most: int) -> Iterator[tuple[bytes, int]]:
    """Give requests of about `most` bytes at most, and how many spans are in each. A span is never cut."""
    whole = envelope.head + b"".join([_encoded(one, one.scopes) for one in envelope.resources])
    if len(whole) <= most:
        yield whole, count(envelope)
        return
    body, size, spans = [envelope.head], len(envelope.head), 0
    for part, more in _parts(envelope, most):
        if size + len(part) > most and spans:
            yield b"".join(body), spans
            body, size, spans = [], 0, 0
        body.append(part)
        size += len(part)
        spans += more
    yield b"".join(body), spans


def count(envelope: Envelope) -> int:
    """Count the spans."""
    return sum(len(scope.spans) for resource in envelope.resources for scope in resource.scopes)


def _parts(envelope: Envelope, most: int) -> Iterator[tuple[bytes, int]]:
    """Cut into resources with one scope each, of `most` bytes of spans at most."""
    for resource in envelope.resources:
        for scope in resource.scopes:
            for chunk in _chunks(scope.spans, most):
                yield _encoded(resource, [scope._replace(spans=chunk)]), len(chunk)


def _encoded(resource: ResourceSpans, scopes: list[ScopeSpans]) -> bytes:
    inner = [
        field(_REPEATED, scope.head + b"".join([field(_REPEATED, span) for span in scope.spans])) for scope in scopes
    ]
    return field(_TOP, resource.head + b"".join(inner))


def _chunks(spans: list[bytes], most: int) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for span in spans:
        if size + len(span) > most and chunk:
            yield chunk
            chunk, size = [], 0
        chunk.append(span)
        size += len(span)
    yield chunk


def _resource(body: bytes, whole: Field, left: int) -> ResourceSpans:
    head, scopes = [], []
    for one in fields(body, whole.start, whole.end):
        if one.number == _REPEATED and one.wire == LENGTH:
            scope = _scope(body, one, left)
            left -= len(scope.spans) + 1
            scopes.append(scope)
        else:
            head.append(body[one.begin : one.end])
            left -= 1
        if left < 0:
            raise Malformed(f"more than {MOST_SPANS} spans in one request")
    around = b"".join(head)
    message = ResourceMessage()
    _read(around, message)
    return ResourceSpans(around, attributes(message.resource.attributes), scopes)


def _scope(body: bytes, whole: Field, left: int) -> ScopeSpans:
    head, spans = [], []
    for one in fields(body, whole.start, whole.end):
        if one.number == _REPEATED and one.wire == LENGTH:
            spans.append(body[one.start : one.end])
        else:
            head.append(body[one.begin : one.end])
        left -= 1
        if left < 0:
            raise Malformed(f"more than {MOST_SPANS} spans in one request")
    around = b"".join(head)
    message = ScopeMessage()
    _read(around, message)
    return ScopeSpans(around, message.scope.name, spans)


def _read(around: bytes, message: Message) -> None:
    """Decode what is around the spans. It is sent on together with what others sent, which it must not spoil."""
    if len(around) > _MOST_HEAD:
        raise Malformed(f"more than {_MOST_HEAD} bytes beside the spans of a resource or scope")
    try:
        message.ParseFromString(around)
    except DecodeError as error:
        raise Malformed("a resource or an instrumentation scope that is no message") from error
