# SPDX-License-Identifier: Apache-2.0
"""The requests of a recording: what the ledger needs of each, and where its span is.

A request that one span tells is read and let go at once. Those of a dialect whose traces tell of a request with
several spans are kept until all lines were read.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.dialects.reading import Reader
from agent.otlp import bounds
from agent.otlp.envelope import split
from agent.otlp.json_form import encoded
from agent.otlp.protobuf import Malformed
from agent.processors.charging import Charged, front_ends, sender_of
from agent.processors.ledger.work import Work, columns, together
from agent.requests import Part, Request, Role
from agent.spans import Source, Span

_AT_ONCE = 512
"""Spans that are decoded at a time."""


class At(NamedTuple):
    """Where a span is: the number of its line, as whoever takes in the lines counts them, and its own in that."""

    line: int
    span: int


class Found(NamedTuple):
    """The requests that are to be charged, in the order of `charged`; and how many others there were.

    Times of `work` are s since `origin`, unix ns. `first` and `last` are when the first of all spans that are requests
    began and the last ended. `fronts` are requests that workers tell of too, and which these are charged with.
    """

    charged: list[Charged]
    places: list[At]
    work: Work
    origin: int
    first: int
    last: int
    spans: int
    clients: int
    fronts: int
    repeated: int


class Requests:
    """Takes in lines; found() then says which requests were in them."""

    def __init__(self, reader: Reader) -> None:
        """Read spans with this reader."""
        self.spans = 0
        self._reader = reader
        self._clients = self._repeated = 0
        self._origin: int | None = None
        self._first, self._last = 1 << 64, 0
        self._charged: list[Charged] = []
        self._places: list[At] = []
        self._work: list[Work] = []
        self._joining: list[tuple[Request, At]] = []
        self._traces: dict[bytes, list[Span]] = {}
        self._seen: set[int] = set()

    def take(self, resources: Sequence[msgspec.Raw], line: int) -> None:
        """Take in the ResourceSpans of a line. Raises ValueError where they are none; then nothing of it counts."""
        spans = list(_spans(resources))
        self.spans += len(spans)
        alone: list[tuple[Request, At]] = []
        for number, span in enumerate(spans):
            if span is None or span.problem():
                continue
            reading = self._reader.read(span)
            if isinstance(reading, Part):
                self._traces.setdefault(span.trace_id, []).append(span)
            elif reading is not None and self._counts(reading):
                if self._reader.joins(reading):
                    self._traces.setdefault(span.trace_id, []).append(span)
                    self._joining.append((reading, At(line, number)))
                else:
                    alone.append((reading, At(line, number)))
        self._add(alone)

    def found(self) -> Found:
        """Say what there was, once all lines were taken in."""
        whole = [
            (self._reader.complete(request, self._traces.get(request.span.trace_id, ())), at)
            for request, at in self._joining
        ]
        fronts = front_ends([request for request, _ in whole])
        self._add([one for one, front in zip(whole, fronts, strict=True) if not front])
        self._joining, self._traces = [], {}
        work = together(self._work)
        rest = (self.spans, self._clients, sum(fronts), self._repeated)
        return Found(self._charged, self._places, work, self._origin or 0, self._first, self._last, *rest)

    def _counts(self, request: Request) -> bool:
        """Tell whether it is to be charged: an engine's word, heard for the first time."""
        span = request.span
        if request.role is Role.CLIENT:
            self._clients += 1
            return False
        known = hash((span.trace_id, span.span_id, span.start, span.end, span.name))
        self._repeated += known in self._seen
        new = known not in self._seen
        self._seen.add(known)
        return new

    def _add(self, some: Sequence[tuple[Request, At]]) -> None:
        if not some:
            return
        requests = [request for request, _ in some]
        if self._origin is None:
            self._origin = requests[0].arrival
        self._first = min(self._first, *(one.arrival for one in requests))
        self._last = max(self._last, *(one.end for one in requests))
        self._work.append(columns(requests, self._origin))
        self._charged += [Charged(sender_of(one), one.model, one.output_tokens or 0) for one in requests]
        self._places += [at for _, at in some]


def _spans(resources: Sequence[msgspec.Raw]) -> Iterator[Span | None]:
    """Decode every span, in the order of the line; None for one that is too much for a span."""
    try:
        for raw in resources:
            resource = msgspec.json.decode(raw)
            for scope in _lists(resource, "scopeSpans") or [{}]:
                spans = _lists(scope, "spans")
                for begin in range(0, max(1, len(spans)), _AT_ONCE):
                    some = spans[begin : begin + _AT_ONCE]
                    tree = {"resourceSpans": [{**resource, "scopeSpans": [{**scope, "spans": some}]}]}
                    yield from _decoded(encoded(ExportTraceServiceRequest, tree), len(some))
    except (msgspec.DecodeError, DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _lists(node: Any, key: str) -> list[Any]:
    """Give the objects of a list in an object; what is null counts as not there."""
    if not isinstance(node, dict):
        raise Malformed(f"{key} are in what is no object")
    found = node.get(key)
    if not isinstance(found, list | None) or not all(isinstance(one, dict) for one in found or ()):
        raise Malformed(f"{key} is no list of objects")
    return found or []


def _decoded(body: bytes, count: int) -> Iterator[Span | None]:
    found: list[Span | None] = []
    for resource in split(body).resources:
        source = Source(resource.attributes)
        for scope in resource.scopes:
            found.extend(_span(raw, source, scope.name) for raw in scope.spans)
    if len(found) != count:
        raise Malformed("spans that are no objects")
    yield from found


def _span(raw: bytes, source: Source, scope: str) -> Span | None:
    try:
        bounds.check(raw, bounds.SPAN, bounds.MOST_IN_SPAN)
    except Malformed:
        return None
    return Span(SpanMessage.FromString(raw), source, scope)
