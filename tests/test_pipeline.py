# SPDX-License-Identifier: Apache-2.0
"""Spans go through the pipeline whole, whatever happens to what is said about them."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.catalogue.own import COLLECTOR_FAILURES
from agent.catalogue.requests import REQUEST_DURATION, REQUEST_UNMAPPED
from agent.clock import NS, SystemClock
from agent.config import Engine
from agent.dialects.reading import Reader
from agent.entities import Gpu
from agent.metric import Distribution, Sample
from agent.otlp.envelope import split
from agent.otlp.parcel import Parcel
from agent.otlp.values import attributes
from agent.pipeline import Onward, Pipeline
from agent.processors.attribution import Attribution, Pace
from agent.processors.request_metrics import RequestMetrics
from agent.processors.topology import Topology
from agent.receivers.otlp import Messages, OtlpReceiver, Signal
from agent.system.machine import LocalMachine
from agent.timeline import Timeline

GPU = Gpu("GPU-0", "gpu0")


class Behind:
    """Keeps what is sent on."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []

    def put(self, parcels: Sequence[Parcel]) -> None:
        self.parcels += parcels

    def raw(self) -> list[bytes]:
        return [
            span
            for parcel in self.parcels
            for one in split(parcel.body).resources
            for scope in one.scopes
            for span in scope.spans
        ]

    def spans(self) -> list[dict[str, Any]]:
        return [dict(attributes(SpanMessage.FromString(one).attributes)) for one in self.raw()]


class Room:
    """A pipeline between a receiver and what is behind it."""

    def __init__(self, capacity: int = 1 << 20) -> None:
        self.behind = Behind()
        self.metrics_behind = Behind()
        self.kept: list[Messages] = []
        self.topology = Topology([Engine(name="a", service_name="a", gpus=(0,))], LocalMachine(), dict, lambda: [GPU])
        timeline, clock, metrics = Timeline(10, 0.1), SystemClock(), RequestMetrics(guard=threading.Lock())
        pace = Pace(step=0.1, lateness=0.0, retention=10.0)
        since = clock.monotonic_ns()
        self.pipeline = Pipeline(
            Reader(["tenant.id"]),
            self.topology,
            metrics,
            timeline,
            clock,
            attribution=lambda: Attribution(timeline, metrics, clock, pace, since, guard=threading.RLock()),
            onward=Onward(self.behind, self.metrics_behind, kept=self.kept.append),
            capacity=capacity,
        )
        self.receiver = OtlpReceiver(self.pipeline, 1 << 20, threading.Lock)

    def take(self, *spans: SpanMessage, service: str = "a", scope: str = "vllm.tracing.otel") -> bytes:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        inner = resource.scope_spans.add()
        inner.scope.name = scope
        inner.spans.extend(spans)
        return self.receiver.take("otlp_grpc", Signal.TRACES, request.SerializeToString(), None)

    def said(self, metric: Any) -> list[Sample | Distribution]:
        return [one for one in self.pipeline.samples() if one.series.metric is metric]


def llm_request(number: int, ago: float = 5.0, **more: str) -> SpanMessage:
    now = time.time_ns() - int(ago * NS)
    span = SpanMessage(
        trace_id=b"t" * 16, span_id=number.to_bytes(8), name="llm_request", kind=SpanMessage.SPAN_KIND_SERVER
    )
    span.start_time_unix_nano, span.end_time_unix_nano = now - NS, now
    span.attributes.add(key="gen_ai.latency.time_in_model_prefill").value.double_value = 0.1
    for key, value in more.items():
        span.attributes.add(key=key.replace("_", ".")).value.string_value = value
    return span


def wait(true: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def room() -> Iterator[Room]:
    found = Room()
    found.pipeline.start()
    yield found
    found.pipeline.stop(2)


def test_a_request_is_placed_counted_and_sent_on_with_its_gpus(room: Room) -> None:
    room.take(llm_request(1), llm_request(2, tenant_id="x"))
    wait(lambda: len(room.behind.raw()) == 2)
    assert [one["joulespan.gpu.ids"] for one in room.behind.spans()] == [["GPU-0"]] * 2
    told = room.said(REQUEST_DURATION)
    assert {one.series.entity[2] for one in told} == {None, "x"}


def test_a_span_that_is_no_request_passes_byte_for_byte(room: Room) -> None:
    other = SpanMessage(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET /")
    other.attributes.add(key="joulespan.gpu.ids")
    odd = other.SerializeToString() + b"\xfa\x3f\x03odd"
    room.take(SpanMessage.FromString(odd))
    wait(room.behind.raw)
    assert room.behind.raw() == [odd]


def test_what_an_agent_nearer_to_the_gpus_said_stands(room: Room) -> None:
    span = llm_request(1)
    span.attributes.add(key="joulespan.gpu.ids").value.array_value.values.add(string_value="GPU-9")
    room.take(span)
    wait(room.behind.raw)
    assert room.behind.raw() == [span.SerializeToString()]


def test_a_request_of_an_unknown_engine_is_counted_with_the_reason(room: Room) -> None:
    room.take(llm_request(1), service="b")
    wait(lambda: room.said(REQUEST_UNMAPPED))
    (told,) = room.said(REQUEST_UNMAPPED)
    assert told.series.entity == ("b", "no_process_id")
    assert "joulespan.gpu.ids" not in room.behind.spans()[0]


def test_a_request_waits_until_its_gpus_have_been_read(room: Room) -> None:
    room.take(llm_request(1, ago=0.0))
    time.sleep(0.3)
    assert not room.behind.raw()
    wait(room.behind.raw, 15)


def test_the_end_sends_on_what_waits() -> None:
    room = Room()
    room.pipeline.start()
    room.take(llm_request(1, ago=-5.0))
    room.pipeline.stop(2)
    assert len(room.behind.raw()) == 1


def test_a_fault_in_what_is_said_costs_no_span(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(room.topology, "place", fail)
    with caplog.at_level(logging.ERROR):
        for number in (1, 2):
            room.take(llm_request(number))
            wait(lambda: len(room.behind.raw()) == number)  # noqa: B023 - it is called at once
    assert len(caplog.records) == 1
    assert [(one.series.entity, one.value) for one in room.said(COLLECTOR_FAILURES) if isinstance(one, Sample)] == [
        (("pipeline", "ZeroDivisionError"), 2)
    ]


def test_a_span_that_cannot_be_read_is_sent_on_all_the_same(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(room.pipeline._reader, "read", fail)
    room.take(llm_request(1))
    wait(room.behind.raw)
    assert len(room.said(COLLECTOR_FAILURES)) == 1


def test_a_request_that_cannot_be_dealt_with_costs_no_other_one(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    place = room.topology.place

    def fail_once(request: Any, now: int) -> Any:
        if request.span.span_id == (1).to_bytes(8):
            raise ZeroDivisionError("broken")
        return place(request, now)

    monkeypatch.setattr(room.topology, "place", fail_once)
    room.take(llm_request(1), llm_request(2))
    wait(lambda: len(room.behind.raw()) == 2)
    assert ["joulespan.gpu.ids" in one for one in room.behind.spans()] == [False, True]
    assert len(room.said(REQUEST_DURATION)) == 1


def test_a_full_pipeline_says_when_to_come_again() -> None:
    room = Room(capacity=4000)
    assert room.pipeline.wait(1 << 20) is None
    room.take(llm_request(1, ago=-5.0), llm_request(2, ago=-5.0))
    assert room.pipeline.wait(2000) == 1.0
    assert room.pipeline.wait(100) is None


def test_metrics_that_come_in_are_kept_and_sent_on_as_they_came(room: Room) -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="x")
    metric.gauge.data_points.add(as_int=1)
    body = request.SerializeToString()
    room.receiver.take("otlp_http", Signal.METRICS, body, None)
    assert room.metrics_behind.parcels == [Parcel(body, {"otlp_http": 1})]
    assert room.kept[0].decoded == request
