# SPDX-License-Identifier: Apache-2.0
"""Trace requests cut into their spans and put together again, each span byte for byte as it came.

ExportTraceServiceRequest (repeated ResourceSpans = 1), ResourceSpans (Resource = 1, repeated ScopeSpans = 2,
schema_url = 3) and ScopeSpans (InstrumentationScope = 1, repeated Span = 2, schema_url = 3) are taken apart by hand,
so that what this release does not know stays where it was. Only the order of the fields around the spans is ours.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.otlp.protobuf import LENGTH, Field, Malformed, field, fields
from agent.otlp.values import Value, attributes

MOST_SPANS = 262_144
"""Spans in one request: 64 MiB of spans of 256 bytes. What has more is no telemetry."""
_MOST_RESOURCE = 1 << 20
_INNER = 1
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
    return Envelope(b"".join(head), resources)


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
    head, inner, scopes = [], [], []
    for one in fields(body, whole.start, whole.end):
        if one.number == _REPEATED and one.wire == LENGTH:
            scope = _one_scope(body, one, left)
            left -= len(scope.spans) + 1
            scopes.append(scope)
        else:
            head.append(body[one.begin : one.end])
            left -= 1
            if one.number == _INNER and one.wire == LENGTH:
                inner.append(body[one.start : one.end])
        if left < 0:
            raise Malformed(f"more than {MOST_SPANS} spans in one request")
    return ResourceSpans(b"".join(head), _attributes(b"".join(inner)), scopes)


def _one_scope(body: bytes, whole: Field, left: int) -> ScopeSpans:
    head, inner, spans = [], [], []
    for one in fields(body, whole.start, whole.end):
        if one.number == _REPEATED and one.wire == LENGTH:
            spans.append(body[one.start : one.end])
        else:
            head.append(body[one.begin : one.end])
            if one.number == _INNER and one.wire == LENGTH:
                inner.append(body[one.start : one.end])
        left -= 1
        if left < 0:
            raise Malformed(f"more than {MOST_SPANS} spans in one request")
    return ScopeSpans(b"".join(head), _name(b"".join(inner)), spans)


def _attributes(resource: bytes) -> Mapping[str, Value]:
    if len(resource) > _MOST_RESOURCE:
        raise Malformed(f"a resource of more than {_MOST_RESOURCE} bytes")
    try:
        return attributes(Resource.FromString(resource).attributes)
    except DecodeError as error:
        raise Malformed("a resource that is no message") from error


def _name(scope: bytes) -> str:
    if len(scope) > _MOST_RESOURCE:
        raise Malformed(f"an instrumentation scope of more than {_MOST_RESOURCE} bytes")
    try:
        return str(InstrumentationScope.FromString(scope).name)
    except DecodeError as error:
        raise Malformed("an instrumentation scope that is no message") from error
