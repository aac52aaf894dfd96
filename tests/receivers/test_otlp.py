# SPDX-License-Identifier: Apache-2.0
"""A request is taken whole, in part, or not at all, and counted whichever it is."""

import logging
import threading

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.otlp.protobuf import field
from agent.receivers.otlp import OtlpReceiver, Refusal, Refused, Signal
from agent.spans import Peer
from tests.receivers.serving import SPAN, SPAN_ID, TRACE_ID, Kept, recordings, request

PEER = Peer("127.0.0.1", 40000, 4317)
IDS = field(1, TRACE_ID) + field(2, SPAN_ID)


class Bench:
    """A receiver with its consumer."""

    def __init__(self, most_bytes: int = 16 << 20) -> None:
        self.consumer = Kept()
        self.receiver = OtlpReceiver(self.consumer, most_bytes, threading.Lock)

    def take(self, body: bytes, signal: Signal = Signal.TRACES) -> bytes:
        return self.receiver.take("otlp_grpc", signal, body, PEER)

    def refused(self, body: bytes, signal: Signal = Signal.TRACES) -> Refused:
        with pytest.raises(Refused) as caught:
            self.take(body, signal)
        return caught.value

    def count(self, outcome: str, signal: Signal = Signal.TRACES, reason: str | None = None) -> int:
        return self.receiver.counts().get(("otlp_grpc", signal, outcome, reason), 0)


def raw_spans(body: bytes) -> list[bytes]:
    message = ExportTraceServiceRequest.FromString(body)
    return [
        span.SerializeToString() for one in message.resource_spans for scope in one.scope_spans for span in scope.spans
    ]


def test_every_span_that_engines_sent_is_taken_once_byte_for_byte() -> None:
    bench = Bench()
    expected = []
    for body in recordings(Signal.TRACES).values():
        assert bench.take(body) == b""
        expected += raw_spans(body)
    taken = bench.consumer.spans()
    assert len(taken) == len(expected) == bench.count("accepted")
    assert sorted(taken) == sorted(expected)
    assert all(placed.span.source.peer == PEER for traces in bench.consumer.received for placed in traces.placed)


def test_every_metrics_request_that_engines_sent_is_given_on_as_it_came() -> None:
    bench = Bench()
    bodies = list(recordings(Signal.METRICS).values())
    for body in bodies:
        bench.take(body, Signal.METRICS)
    assert [one.body for one in bench.consumer.sent] == bodies
    assert bench.count("accepted", Signal.METRICS) == sum(one.items for one in bench.consumer.sent) > 0


def test_logs_are_counted_by_their_records() -> None:
    bench = Bench()
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "a line"
    bench.take(logs.SerializeToString(), Signal.LOGS)
    assert bench.count("accepted", Signal.LOGS) == 1


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"", "trace id"),
        (field(1, bytes(16)) + field(2, SPAN_ID), "trace id"),
        (field(1, TRACE_ID[:8]) + field(2, SPAN_ID), "trace id"),
        (field(1, TRACE_ID) + field(2, bytes(8)), "span id"),
        (IDS + field(4, b"abc"), "parent span id"),
        (IDS + field(5, b"\xff\xfe"), "no message"),
        (IDS + b"\x2a\x05abc", "no message"),
        (IDS + b"\x0b", "no message"),
        (IDS + field(9, field(1, b"a")) * 100_000, "more than 100000"),
    ],
)
def test_a_span_that_is_not_valid_is_rejected_alone(bad: bytes, why: str) -> None:
    bench = Bench()
    answer = ExportTraceServiceResponse.FromString(bench.take(request(SPAN, bad, SPAN)))
    assert answer.partial_success.rejected_spans == 1
    assert why in answer.partial_success.error_message
    assert bench.consumer.spans() == [SPAN, SPAN]
    assert (bench.count("accepted"), bench.count("refused", reason="malformed")) == (2, 1)


def nested(depth: int) -> bytes:
    found = b""
    for _ in range(depth):
        found = field(5, field(1, found))
    return IDS + field(9, field(2, found))


def test_values_nested_without_end_cost_their_span_only() -> None:
    bench = Bench()
    answer = ExportTraceServiceResponse.FromString(bench.take(request(nested(10_000), SPAN)))
    assert answer.partial_success.rejected_spans == 1
    assert bench.consumer.spans() == [SPAN]


@pytest.mark.parametrize("number", [field.number for field in SpanMessage.DESCRIPTOR.fields])
@pytest.mark.parametrize("payload", [b"\x01", bytes(8), b"\x03abc", bytes(4)])
@pytest.mark.parametrize("wire", [0, 1, 2, 5])
def test_a_field_of_another_wire_type_harms_nothing(number: int, payload: bytes, wire: int) -> None:
    bench = Bench()
    tag = bytes((number << 3 | wire,)) if number < 16 else bytes((number << 3 & 0x7F | wire | 0x80, number >> 4))
    answer = ExportTraceServiceResponse.FromString(bench.take(request(IDS + tag + payload, SPAN)))
    assert len(bench.consumer.spans()) + answer.partial_success.rejected_spans == 2
    assert bench.consumer.spans()[-1] == SPAN


@pytest.mark.parametrize(
    "body", [b"garbage", b"{}", b"\x0a\x05abc", b"\0", field(1, field(1, b"\xff")), request(SPAN)[:-1]]
)
def test_what_is_no_request_is_refused_whole(body: bytes) -> None:
    bench = Bench()
    refused = bench.refused(body)
    assert refused.refusal is Refusal.MALFORMED
    assert refused.retry is None
    assert bench.consumer.received == []


@pytest.mark.parametrize("signal", [Signal.METRICS, Signal.LOGS])
def test_garbage_is_refused_for_the_other_signals_too(signal: Signal) -> None:
    assert Bench().refused(b"garbage", signal).refusal is Refusal.MALFORMED
    assert Bench().refused(field(1, b"\x12\0" * 1_500_000), signal).refusal is Refusal.MALFORMED


def test_an_empty_request_is_taken() -> None:
    assert Bench().take(b"") == b""


def test_one_byte_more_than_the_limit_is_too_large() -> None:
    assert Bench(len(request(SPAN))).take(request(SPAN)) == b""
    refused = Bench(len(request(SPAN)) - 1).refused(request(SPAN))
    assert (refused.refusal, refused.retry) == (Refusal.TOO_LARGE, None)


def test_where_there_is_no_room_the_sender_is_told_when_to_come_again() -> None:
    bench = Bench()
    bench.consumer.busy = 2.5
    refused = bench.refused(b"garbage, which nobody looks at")
    assert (refused.refusal, refused.retry) == (Refusal.BUSY, 2.5)


def test_a_refusal_is_counted_by_its_reason() -> None:
    bench = Bench()
    bench.receiver.refuse("otlp_grpc", Signal.TRACES, bench.refused(b"garbage"))
    assert bench.count("refused_requests", reason="malformed") == 1


def test_an_error_of_ours_is_logged_once_for_each_kind_and_counted_each_time(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    with caplog.at_level(logging.ERROR):
        for error in (KeyError("a"), KeyError("b"), IndexError()):
            assert bench.receiver.failed("otlp_grpc", Signal.TRACES, error).refusal is Refusal.INTERNAL
    assert len(caplog.records) == 2
    assert bench.count("refused_requests", reason="internal") == 3
