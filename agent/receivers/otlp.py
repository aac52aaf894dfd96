# SPDX-License-Identifier: Apache-2.0
"""OTLP requests, whatever carried them: checked, decoded, counted, given on, and answered.

Everything here is called from many threads. A request is refused as a whole when it cannot be decoded or there is no
room; a span that the specification forbids is rejected alone, in a partial success, and the rest is taken.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.otlp import bounds
from agent.otlp.envelope import Envelope, split
from agent.otlp.protobuf import Malformed
from agent.spans import Peer, Source, Span

LOG = logging.getLogger("joulespan.receivers")

_LARGE = 2 << 20
"""Bytes of a request from which on it is out of the ordinary: SDKs send 512 spans at a time, collectors 8192."""


class Signal(Enum):
    """What a request carries. The value is its path over HTTP."""

    TRACES = "/v1/traces"
    METRICS = "/v1/metrics"
    LOGS = "/v1/logs"


class Refusal(Enum):
    """Why a whole request is refused; the reason in the counters."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    UNSUPPORTED = "unsupported"
    UNAUTHENTICATED = "unauthenticated"
    INCOMPLETE = "incomplete"
    """It did not come whole, or not in time. Over gRPC also what gRPC itself found too large."""
    CROSS_SITE = "cross_site"
    """A web page wanted to send it."""
    INTERNAL = "internal"
    """An error of ours."""


class Refused(Exception):
    """A whole request is refused. `retry` is in seconds, where the sender may try again."""

    def __init__(self, refusal: Refusal, message: str, retry: float | None = None) -> None:
        """Say why, in one line for the sender."""
        super().__init__(message)
        self.refusal = refusal
        self.message = message
        self.retry = retry


class Placed(NamedTuple):
    """A span, and where its bytes are in the envelope: spans[at]."""

    span: Span
    spans: list[bytes]
    at: int


class ReceivedTraces(NamedTuple):
    """A trace request that was taken."""

    receiver: str
    envelope: Envelope
    placed: list[Placed]
    size: int


class Messages(NamedTuple):
    """A metrics or logs request that was taken: as it came, decoded, and the points or log records in it."""

    receiver: str
    signal: Signal
    body: bytes
    decoded: Any
    items: int


class Consumer(Protocol):
    """Who takes what was received. Called from many threads; must not block."""

    def wait(self, size: int) -> float | None:
        """Tell after how many seconds there may be room for a request of this size; None when there is now."""
        ...

    def traces(self, traces: ReceivedTraces) -> None:
        """Take spans."""
        ...

    def messages(self, messages: Messages) -> None:
        """Take metrics or logs."""
        ...


_SHAPES = {Signal.TRACES: bounds.TRACES, Signal.METRICS: bounds.METRICS, Signal.LOGS: bounds.LOGS}


class OtlpReceiver:
    """Decodes requests for one consumer and counts what became of them."""

    def __init__(self, consumer: Consumer, most_bytes: int, guard: Callable[[], AbstractContextManager[Any]]) -> None:
        """Refuse what is larger than `most_bytes` once uncompressed. `guard` makes locks."""
        self.most_bytes = most_bytes
        self._consumer = consumer
        self._guard = guard()
        self._turn = guard()
        self._large_turn = guard()
        self._failures: set[str] = set()
        self._counts: Counter[tuple[str, Signal, str, str | None]] = Counter()

    def admit(self, size: int) -> None:
        """Refuse a request of this many bytes before it is read, when it is too large or there is no room."""
        if size > self.most_bytes:
            raise Refused(Refusal.TOO_LARGE, f"a request of more than {self.most_bytes} bytes")
        if (wait := self._consumer.wait(size)) is not None:
            raise Refused(Refusal.BUSY, "too much is waiting; send it again later", wait)

    def take(self, receiver: str, signal: Signal, body: bytes, peer: Peer | None) -> bytes:
        """Take a request and give the encoded answer. Raises Refused, which refuse() must be told.

        One is decoded at a time: threads that do it at once only fight for the interpreter, which took a tenth of the
        throughput. Large ones wait only for each other: one may take seconds and a quarter of a gigabyte.
        """
        self.admit(len(body))
        try:
            with self._turn if len(body) < _LARGE else self._large_turn:
                bounds.check(body, _SHAPES[signal], bounds.MOST_IN_REQUEST)
                if signal is Signal.TRACES:
                    return self._traces(receiver, body, peer)
                return self._messages(receiver, signal, body)
        except (Malformed, DecodeError) as error:
            text = str(error) if isinstance(error, Malformed) else "no protobuf message of this signal"
            raise Refused(Refusal.MALFORMED, f"this request cannot be decoded: {text}") from error

    def refuse(self, receiver: str, signal: Signal, refused: Refused) -> None:
        """Count a request that was refused."""
        self._count(receiver, signal, "refused_requests", refused.refusal.value, 1)

    def failed(self, receiver: str, signal: Signal, error: Exception) -> Refused:
        """Make a refusal of an error of ours, count it, and log the first of its kind."""
        kind = type(error).__name__
        with self._guard:
            first = kind not in self._failures
            self._failures.add(kind)
        if first:
            LOG.error("%s: a request failed; further ones like it are only counted", receiver, exc_info=error)
        refused = Refused(Refusal.INTERNAL, "an error of the receiver, which its log tells")
        self.refuse(receiver, signal, refused)
        return refused

    def counts(self) -> Mapping[tuple[str, Signal, str, str | None], int]:
        """Give the counts by receiver, signal, outcome and reason: items accepted and refused, requests refused."""
        with self._guard:
            return dict(self._counts)

    def _traces(self, receiver: str, body: bytes, peer: Peer | None) -> bytes:
        envelope = split(body)
        placed, rejected = _decode(envelope, peer)
        self._consumer.traces(ReceivedTraces(receiver, envelope, placed, len(body)))
        self._count(receiver, Signal.TRACES, "accepted", None, len(placed))
        self._count(receiver, Signal.TRACES, "refused", "malformed", rejected.total())
        answer = trace_pb2.ExportTraceServiceResponse()
        if rejected:
            answer.partial_success.rejected_spans = rejected.total()
            answer.partial_success.error_message = "; ".join(f"{reason}: {n}" for reason, n in rejected.items())
        return bytes(answer.SerializeToString())

    def _messages(self, receiver: str, signal: Signal, body: bytes) -> bytes:
        if signal is Signal.METRICS:
            decoded = metrics_pb2.ExportMetricsServiceRequest.FromString(body)
            items, answer = _points(decoded), metrics_pb2.ExportMetricsServiceResponse()
        else:
            decoded = logs_pb2.ExportLogsServiceRequest.FromString(body)
            items = sum(len(scope.log_records) for one in decoded.resource_logs for scope in one.scope_logs)
            answer = logs_pb2.ExportLogsServiceResponse()
        self._consumer.messages(Messages(receiver, signal, body, decoded, items))
        self._count(receiver, signal, "accepted", None, items)
        return bytes(answer.SerializeToString())

    def _count(self, receiver: str, signal: Signal, outcome: str, reason: str | None, number: int) -> None:
        if number:
            with self._guard:
                self._counts[receiver, signal, outcome, reason] += number


def _decode(envelope: Envelope, peer: Peer | None) -> tuple[list[Placed], Counter[str]]:
    """Decode every span. The ones that are not valid are taken out of the envelope and counted by their fault."""
    placed: list[Placed] = []
    rejected: Counter[str] = Counter()
    for resource in envelope.resources:
        source = Source(resource.attributes, peer)
        for scope in resource.scopes:
            spans = scope.spans
            valid: list[bytes] = []
            for raw in spans:
                try:
                    bounds.check(raw, bounds.SPAN, bounds.MOST_IN_SPAN)
                    span = Span(SpanMessage.FromString(raw), source, scope.name)
                except (Malformed, DecodeError) as error:
                    rejected[str(error) if isinstance(error, Malformed) else "a span that is no message"] += 1
                    continue
                if problem := span.problem():
                    rejected[problem] += 1
                    continue
                placed.append(Placed(span, spans, len(valid)))
                valid.append(raw)
            spans[:] = valid
    return placed, rejected


def _points(request: Any) -> int:
    found = 0
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                found += len(getattr(metric, kind).data_points) if kind else 0
    return found
