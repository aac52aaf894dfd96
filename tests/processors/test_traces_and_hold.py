# SPDX-License-Identifier: Apache-2.0
"""What waits is bounded in bytes, spans and time, and comes out when it is due."""

from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.clock import NS
from agent.otlp.envelope import Envelope
from agent.processors.hold import Held, Hold
from agent.processors.traces import Traces
from agent.spans import Source, Span


def span(trace: int, number: int = 1) -> Span:
    message = SpanMessage(trace_id=trace.to_bytes(16), span_id=number.to_bytes(8), name="x")
    return Span(message, Source({}), "scope")


def held(size: int, due: int) -> Held:
    return Held("otlp_grpc", Envelope(b"", []), [], size, due)


def test_spans_of_a_trace_are_found_together_whatever_their_ids() -> None:
    traces = Traces()
    for number in (1, 1, 2):
        traces.add(span(7, number), 0)
    traces.add(span(8), 0)
    assert [one.span_id[-1] for one in traces.of(span(7).trace_id)] == [1, 1, 2]
    assert len(traces) == 4


def test_the_oldest_traces_go_first_and_are_counted() -> None:
    traces = Traces(capacity=3)
    for trace in (1, 1, 2, 3):
        traces.add(span(trace), 0)
    assert traces.dropped == 2
    assert len(traces) == 2
    assert not traces.of(span(1).trace_id)


def test_a_trace_is_forgotten_after_two_minutes() -> None:
    traces = Traces()
    traces.add(span(1), 0)
    traces.add(span(2), 121 * NS)
    assert not traces.of(span(1).trace_id)
    assert traces.dropped == 0


def test_what_is_held_comes_out_by_its_time() -> None:
    hold = Hold()
    hold.put(held(1, 30))
    hold.put(held(2, 10))
    hold.put(held(3, 20))
    assert hold.next_due() == 10
    assert [one.size for one in hold.due(20, 10)] == [2, 3]
    assert hold.weight == 1


def test_no_more_is_taken_at_once_than_asked_for() -> None:
    hold = Hold()
    for _ in range(5):
        hold.put(held(1, 1))
    assert len(hold.due(1, 2)) == 2
    assert len(hold.due(1, 99)) == 3
