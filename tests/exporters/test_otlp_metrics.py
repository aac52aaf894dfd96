# SPDX-License-Identifier: Apache-2.0
"""The OTLP push: what arrives, in what order, and what happens when the back end does not take it."""

import gzip
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from operator import length_hint
from pathlib import Path

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from agent.catalogue import brief_of
from agent.catalogue.cpu_power import CPU_POWER
from agent.catalogue.engine import REQUEST_DURATION as ENGINE_DURATION
from agent.catalogue.gpu import CLOCK, POWER
from agent.catalogue.links import NVLINK_IO
from agent.catalogue.own import BUILD_INFO, MEMORY
from agent.catalogue.requests import REQUEST_DURATION
from agent.clock import NS, FakeClock
from agent.entities import BuildInfo, EngineModel, Gpu, GpuClock, NvLinkIo, Process
from agent.errors import ConfigError
from agent.host_entities import CpuMeter
from agent.metric import Distribution, Exemplar, Sample
from agent.request_entities import RequestClass
from agent.snapshot import EMPTY, Snapshot, Snapshots, Source
from exporters import otlp_sdk
from exporters.otlp_metrics import OtlpMetrics, OtlpSettings, enabled
from exporters.otlp_points import Observer
from tests.exporters.receivers import Answers, Push, Received, Rotel, free_port, silence, until

PROTOCOLS = ("grpc", "http/protobuf")
GPU = Gpu("GPU-1", "gpu0")
GPU_ATTRIBUTES = {"hw.id": "GPU-1", "hw.type": "gpu", "hw.name": "gpu0"}
LINK = NvLinkIo(GPU, 3, "transmit")
RESOURCE = {"service.name": "joulespan", "host.name": "node-7"}
SUM, UP_DOWN = (f"Sum {monotonic} AGGREGATION_TEMPORALITY_CUMULATIVE" for monotonic in ("true", "false"))


class Node:
    """A node whose clock moves a second with each snapshot, for as many snapshots as it has values of its counter."""

    def __init__(self, values: Sequence[float]) -> None:
        self.clock = FakeClock()
        self._snapshots = Snapshots()
        self._values = iter(values)

    @property
    def left(self) -> int:
        return length_hint(self._values)

    def snapshot(self) -> Snapshot:
        value = next(self._values, None)
        if value is None:
            return EMPTY
        self.clock.advance(1)
        return self.say(NVLINK_IO(LINK, value))

    def say(self, *samples: Sample | Distribution, source: str = "nvlink") -> Snapshot:
        self._snapshots.put_samples(Source(source), samples, self.clock.now)
        return self._snapshots.current


@contextmanager
def pushing(node: Node, endpoint: str, capacity: int = 64 << 20, **settings: object) -> Iterator[OtlpMetrics]:
    chosen = OtlpSettings(**({"endpoint": endpoint, "interval": 0.05, "timeout": 0.5} | settings))  # type: ignore[arg-type]
    exporter = OtlpMetrics(chosen, RESOURCE, node.clock, node.snapshot, capacity=capacity)
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.stop(1)


@contextmanager
def received(protocol: str) -> Iterator[tuple[str, Callable[[], list[ExportMetricsServiceRequest]]]]:
    """A back end that keeps the messages it gets: its address, and what they were."""
    if protocol == "grpc":
        with keeping() as (endpoint, messages):
            yield endpoint, lambda: messages
    else:
        with Answers(200).running() as server:
            yield server.endpoint, lambda: [message(one.body) for one in server.requests]


@contextmanager
def keeping() -> Iterator[tuple[str, list[ExportMetricsServiceRequest]]]:
    messages: list[ExportMetricsServiceRequest] = []

    def export(request: ExportMetricsServiceRequest, _: object) -> ExportMetricsServiceResponse:
        messages.append(request)
        return ExportMetricsServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export, ExportMetricsServiceRequest.FromString, ExportMetricsServiceResponse.SerializeToString
    )
    service = "opentelemetry.proto.collector.metrics.v1.MetricsService"
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", messages
    finally:
        server.stop(None).wait()


def message(body: bytes) -> ExportMetricsServiceRequest:
    found = ExportMetricsServiceRequest()
    found.ParseFromString(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
    return found


def own(exporter: OtlpMetrics) -> dict[str, float]:
    return {
        f"{sample.series.metric.name} {sample.series.entity[-1]}".removeprefix("joulespan."): sample.value
        for sample in exporter.samples()
    }


def points(pushes: Sequence[Push]) -> list[Received]:
    return [point for push in pushes for point in push.points]


def says(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


@pytest.fixture
def rotel(tmp_path: Path) -> Rotel:
    return Rotel(tmp_path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_snapshot_arrives_whole_under_its_opentelemetry_names(rotel: Rotel, protocol: str) -> None:
    node = Node([])
    node.say(NVLINK_IO(LINK, 2e12), CLOCK(GpuClock(GPU, "sm"), 1.98e9))
    node.clock.advance(2)
    snapshot = node.say(MEMORY(Process("agent"), 4096), BUILD_INFO(BuildInfo("0.1", "run"), 1), source="own")
    snapshots = iter([snapshot])
    first, second = node.clock.unix_ns(1000 * NS), node.clock.unix_ns(1002 * NS)
    settings = OtlpSettings(endpoint=rotel.endpoints[protocol], protocol=protocol, interval=0.05)
    with rotel.running():
        exporter = OtlpMetrics(settings, RESOURCE, node.clock, lambda: next(snapshots, EMPTY))
        exporter.start()
        until(lambda: own(exporter)["exporter.points exported"] == 4)
        exporter.stop(1)
        until(lambda: len(points(rotel.pushes())) == 4)
    (push,) = rotel.pushes()
    assert push.resource == RESOURCE
    assert push.scope.startswith("joulespan ")
    link = GPU_ATTRIBUTES | {"link": "3", "network.io.direction": "transmit"}
    named = {"version": "0.1", "mode": "run"}
    assert push.points == [
        Received("joulespan.nvlink.io", "By", NVLINK_IO.brief, SUM, link, first, first, 2e12),
        Received(CLOCK.name, "Hz", CLOCK.brief, "Gauge", GPU_ATTRIBUTES | {"clock": "sm"}, 0, first, 1.98e9),
        Received(MEMORY.name, "By", MEMORY.brief, UP_DOWN, {"process": "agent"}, second, second, 4096),
        Received("joulespan.build.info", "", BUILD_INFO.brief, "Gauge", named, 0, second, 1),
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_metrics_that_share_a_name_arrive_as_one_that_says_what_each_of_them_is(rotel: Rotel, protocol: str) -> None:
    node = Node([])
    cpu = CPU_POWER(CpuMeter("cpu0", "package-0", "package"), 150)
    snapshots = iter([node.say(POWER(GPU, 300), cpu)])
    settings = OtlpSettings(endpoint=rotel.endpoints[protocol], protocol=protocol, interval=0.05)
    with rotel.running():
        exporter = OtlpMetrics(settings, RESOURCE, node.clock, lambda: next(snapshots, EMPTY))
        exporter.start()
        until(lambda: own(exporter)["exporter.points exported"] == 2)
        exporter.stop(1)
        until(lambda: len(points(rotel.pushes())) == 2)
    (push,) = rotel.pushes()
    assert {(point.name, point.description) for point in push.points} == {("hw.power", brief_of("hw.power"))}
    assert [(point.attributes["hw.type"], point.value) for point in push.points] == [("gpu", 300), ("cpu", 150)]


def test_a_counter_that_falls_starts_at_its_last_value_before_the_fall() -> None:
    node = Node([100, 200, 5, 6])
    observer = Observer(node.clock)
    sent = [point for _ in range(4) for point in observer.push(node.snapshot()).points()]
    at = [point.time for point in sent]
    assert [point.start for point in sent] == [at[0], at[0], at[1], at[1]]
    assert [point.value for point in sent] == [100, 200, 5, 6]


def test_what_goes_up_and_down_starts_once() -> None:
    node = Node([])
    observer = Observer(node.clock)
    starts = set()
    for value in (3, 1, 2):
        node.clock.advance(1)
        starts |= {point.start for point in observer.push(node.say(MEMORY(Process("agent"), value))).points()}
    assert len(starts) == 1


def test_what_is_absent_or_no_number_is_not_sent_and_forgets_no_start() -> None:
    node = Node([1, math.nan, 3])
    observer = Observer(node.clock)
    first, nothing, last = (list(observer.push(node.snapshot()).points()) for _ in range(3))
    assert not nothing
    assert (last[0].start, last[0].value) == (first[0].time, 3)


def test_a_series_keeps_its_start_among_new_ones_and_loses_it_when_it_vanishes() -> None:
    node = Node([])
    observer = Observer(node.clock)
    alone = next(observer.push(node.say(NVLINK_IO(LINK, 1))).points())
    node.clock.advance(1)
    other = NVLINK_IO(NvLinkIo(GPU, 4, "transmit"), 1)
    new, kept = observer.push(node.say(other, NVLINK_IO(LINK, 2))).points()
    assert (kept.start, new.start) == (alone.time, new.time)
    observer.push(node.say(other))
    node.clock.advance(1)
    back = list(observer.push(node.say(other, NVLINK_IO(LINK, 3))).points())[1]
    assert back.start == back.time


def test_a_batch_that_has_not_changed_keeps_its_time_when_the_clocks_drift() -> None:
    node = Node([])
    observer = Observer(node.clock)
    snapshot = node.say(NVLINK_IO(LINK, 1))
    before = list(observer.push(snapshot).points())
    node.clock.epoch += 17
    assert list(observer.push(snapshot).points()) == before


def test_what_something_is_has_the_time_of_the_push_although_it_is_read_once() -> None:
    node = Node([])
    observer = Observer(node.clock)
    snapshot = node.say(BUILD_INFO(BuildInfo("1", "run"), 1))
    (first,) = observer.push(snapshot).points()
    node.clock.advance(600)
    (later,) = observer.push(snapshot).points()
    assert later.time == first.time + 600 * NS


def test_no_series_starts_after_its_point_when_the_wall_clock_is_set_back() -> None:
    node = Node([1, 2])
    observer = Observer(node.clock)
    observer.push(node.snapshot())
    node.clock.epoch -= 3600 * NS
    (point,) = observer.push(node.snapshot()).points()
    assert point.start == point.time


def observed(*counts: int, tenant: str | None = None, exemplar: Exemplar | None = None) -> Distribution:
    wanted = len(REQUEST_DURATION.buckets) + 1
    exemplars = [exemplar] + [None] * (wanted - 1)
    padded = [*counts] + [0] * (wanted - len(counts))
    return REQUEST_DURATION.distribution(RequestClass("vllm", "qwen", tenant), padded, sum(counts) / 4, exemplars)


def test_a_histogram_whose_count_falls_starts_at_its_last_observation_before_the_fall() -> None:
    node = Node([])
    observer = Observer(node.clock)
    sent = []
    for counts in ((5, 5), (5, 7), (12, 0), (1, 2), (3, 2)):
        node.clock.advance(1)
        (point,) = observer.push(node.say(observed(*counts))).histograms()
        sent.append(point)
    at = [point.time for point in sent]
    assert [point.start for point in sent] == [at[0], at[0], at[0], at[2], at[2]]
    assert [list(point.distribution.counts[:2]) for point in sent] == [[5, 5], [5, 7], [12, 0], [1, 2], [3, 2]]


def test_a_histogram_keeps_its_start_among_new_ones_and_loses_it_when_it_vanishes() -> None:
    node = Node([])
    observer = Observer(node.clock)
    (alone,) = observer.push(node.say(observed(1))).histograms()
    node.clock.advance(1)
    new, kept = observer.push(node.say(observed(1, tenant="acme"), observed(2))).histograms()
    assert (kept.start, new.start) == (alone.time, new.time)
    assert new.attributes == {"engine": "vllm", "gen_ai.request.model": "qwen", "tenant": "acme"}
    assert "tenant" not in kept.attributes
    observer.push(node.say(observed(1, tenant="acme")))
    node.clock.advance(1)
    (back,) = observer.push(node.say(observed(3))).histograms()
    assert back.start == back.time


def test_what_was_not_observed_since_is_sent_again_at_its_time() -> None:
    node = Node([])
    observer = Observer(node.clock)
    snapshot = node.say(observed(3), NVLINK_IO(LINK, 1))
    push = observer.push(snapshot)
    node.clock.epoch += 17
    assert list(observer.push(snapshot).histograms()) == list(push.histograms())
    assert push.size() == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_histogram_arrives_with_its_buckets_sum_start_and_the_trace_of_its_exemplar(
    protocol: str,
) -> None:
    node = Node([])
    trace, span = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
    exemplar = Exemplar(0.005, trace, span, 1_790_000_000_123_456_789)
    snapshot = node.say(observed(1, 2, exemplar=exemplar), NVLINK_IO(LINK, 7))
    at = node.clock.unix_ns(node.clock.now)
    with received(protocol) as (endpoint, messages):
        snapshots = iter([snapshot])
        settings = OtlpSettings(endpoint=endpoint, protocol=protocol, interval=0.05)
        exporter = OtlpMetrics(settings, RESOURCE, node.clock, lambda: next(snapshots, EMPTY))
        exporter.start()
        until(lambda: own(exporter)["exporter.points exported"] == 2)
        exporter.stop(1)
    (scoped,) = messages()[0].resource_metrics[0].scope_metrics
    counter, metric = scoped.metrics
    assert counter.name == "joulespan.nvlink.io"
    assert (metric.name, metric.unit, metric.description) == (REQUEST_DURATION.name, "s", REQUEST_DURATION.brief)
    assert metric.histogram.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    (point,) = metric.histogram.data_points
    assert (point.start_time_unix_nano, point.time_unix_nano) == (at, at)
    assert (point.count, point.sum, list(point.bucket_counts)) == (3, 0.75, [1, 2] + [0] * 13)
    assert tuple(point.explicit_bounds) == REQUEST_DURATION.buckets
    assert not point.HasField("min")
    assert not point.HasField("max")
    (sent,) = point.exemplars
    assert (sent.trace_id.hex(), sent.span_id.hex(), sent.as_double) == (trace, span, 0.005)
    assert sent.time_unix_nano == exemplar.time_unix_ns


def test_bounds_that_the_source_chose_and_an_exemplar_without_span_are_sent() -> None:
    node = Node([])
    exemplar = Exemplar(0.25, "0af7651916cd43dd8448eb211c80319c", "", 0)
    told = [
        ENGINE_DURATION.distribution(
            EngineModel(engine), [1] * (len(bounds) + 1), 2.5, [exemplar, *[None] * len(bounds)], bounds
        )
        for engine, bounds in (("a", (0.3, 0.5)), ("b", (1.0,)))
    ]
    points = [otlp_sdk._histogram(point) for point in Observer(node.clock).push(node.say(*told)).histograms()]
    assert [tuple(point.explicit_bounds) for point in points] == [(0.3, 0.5), (1.0,)]
    assert [list(point.bucket_counts) for point in points] == [[1, 1, 1], [1, 1]]
    assert [(one.span_id, one.time_unix_nano) for point in points for one in point.exemplars] == [(0, 0)] * 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_back_end_missed_while_it_was_away_arrives_in_order(
    rotel: Rotel, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    node = Node(range(1, 13))
    with pushing(node, rotel.endpoints[protocol], protocol=protocol) as exporter:
        until(lambda: not node.left and own(exporter)["queue.utilization otlp"] and caplog.records)
        assert "exporter.last_success otlp" not in own(exporter)
        with rotel.running():
            until(lambda: len(points(rotel.pushes())) == 12)
            until(lambda: own(exporter)["exporter.points exported"] == 12)
        counted = own(exporter)
    assert [point.value for point in points(rotel.pushes())] == list(range(1, 13))
    assert len({point.start for point in points(rotel.pushes())}) == 1
    assert counted["exporter.points dropped"] == counted["queue.dropped otlp"] == counted["queue.utilization otlp"] == 0
    assert counted["exporter.last_success otlp"] > 1.7e9
    away, back = says(caplog)
    assert away.startswith(f"WARNING otlp: {rotel.endpoints[protocol]} cannot be reached, metrics wait: ")
    assert "refused" in away
    assert back == f"INFO otlp: {rotel.endpoints[protocol]} takes metrics"


def test_a_full_queue_drops_the_oldest_and_counts_them(rotel: Rotel) -> None:
    node = Node([0])
    (one,) = otlp_sdk.Encoder(RESOURCE, "").parcels(Observer(node.clock).push(node.snapshot()))
    room = 4 * (len(one.body) + 512)
    with pushing(Node(range(1, 13)), rotel.endpoints["grpc"], capacity=room) as exporter:
        until(lambda: own(exporter)["queue.dropped otlp"] == 8)
        assert own(exporter)["queue.utilization otlp"] == 1
        with rotel.running():
            until(lambda: own(exporter)["exporter.points exported"] == 4)
            until(lambda: len(points(rotel.pushes())) == 4)
        assert own(exporter)["exporter.points dropped"] == 8
    values = [point.value for point in points(rotel.pushes())]
    # Those in flight are not dropped, so that the first may be older than the others.
    assert values[-1] == 12
    assert all(one < other for one, other in pairwise(values))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_back_end_that_never_answers_does_not_delay_the_stop(protocol: str) -> None:
    node = Node(range(1, 1000))
    with silence() as endpoint:
        settings = OtlpSettings(endpoint=endpoint, protocol=protocol, interval=0.05)
        exporter = OtlpMetrics(settings, RESOURCE, node.clock, node.snapshot)
        exporter.start()
        until(lambda: node.left < 990)
        before = time.monotonic()
        exporter.stop(1)
        assert time.monotonic() - before < 2


def test_the_last_values_are_sent_on_the_way_out(rotel: Rotel) -> None:
    with rotel.running():
        with pushing(Node([7]), rotel.endpoints["grpc"], interval=3600):
            pass
        until(lambda: points(rotel.pushes()))
    assert [point.value for point in points(rotel.pushes())] == [7]


def test_what_is_refused_is_dropped_and_what_comes_too_early_is_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    with Answers(400).running() as server, pushing(Node([1, 2, 3]), server.endpoint, protocol="http/protobuf") as otlp:
        until(lambda: own(otlp)["exporter.points dropped"] == 3)
        assert own(otlp)["queue.dropped otlp"] == 0
        assert len(server.requests) == 3
    assert says(caplog) == [f"ERROR otlp: {server.endpoint} refuses metrics, they are dropped: 400 Bad Request:"]
    with Answers(503).running() as server, pushing(Node([1]), server.endpoint, protocol="http/protobuf") as otlp:
        until(lambda: len(server.requests) == 2)
        server.status = 200
        until(lambda: own(otlp)["exporter.points exported"] == 1)


def test_a_redirect_is_a_failure_that_names_the_new_address(caplog: pytest.LogCaptureFixture) -> None:
    there = Answers(308, Location="https://elsewhere.example/v1/metrics")
    with there.running(), pushing(Node([1]), there.endpoint, protocol="http/protobuf") as otlp:
        until(lambda: caplog.records)
        assert own(otlp)["exporter.points exported"] == 0
    assert "https://elsewhere.example/v1/metrics" in caplog.text


def test_opentelemetry_variables_fill_in_what_is_not_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    with Answers(200).running() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{server.endpoint}/base/")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=a%20b")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
        with pushing(Node([9]), "", interval=None, headers={"Authorization": "Bearer t"}):
            until(lambda: server.requests)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{server.endpoint}/exactly/this")
        with pushing(Node([9]), "", interval=None):
            until(lambda: len(server.requests) == 2)
    first, second = server.requests
    assert (first.path, second.path) == ("/base/v1/metrics", "/exactly/this")
    assert (first.headers["x-scope"], first.headers["authorization"]) == ("a b", "Bearer t")
    message = ExportMetricsServiceRequest.FromString(gzip.decompress(first.body))
    assert message.resource_metrics[0].scope_metrics[0].metrics[0].name == "joulespan.nvlink.io"


@pytest.mark.parametrize(
    ("endpoint", "environ", "expected"),
    [
        ("", {}, False),
        ("http://a:4317", {}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317"}, True),
        ("", {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a:4317"}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:4317"}, False),
    ],
)
def test_metrics_are_pushed_where_there_is_an_address(endpoint: str, environ: dict[str, str], expected: bool) -> None:
    assert enabled(endpoint, environ) is expected


@pytest.mark.parametrize(
    ("settings", "environ", "words"),
    [
        ({"protocol": "http"}, {}, "exporters.otlp.protocol: 'http'"),
        ({}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json'"),
        ({"certificate": "/no/such.pem"}, {}, "cannot read /no/such.pem"),
        ({"certificate": "/no/such.pem", "protocol": "http/protobuf"}, {}, "cannot read /no/such.pem"),
    ],
)
def test_what_cannot_work_is_a_configuration_error(
    settings: dict[str, str], environ: dict[str, str], words: str
) -> None:
    chosen = OtlpSettings(endpoint=f"https://127.0.0.1:{free_port()}", **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=words):
        OtlpMetrics(chosen, RESOURCE, FakeClock(), lambda: EMPTY, environ)


def test_an_interval_that_is_no_number_is_named_and_not_used(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"OTEL_METRIC_EXPORT_INTERVAL": "15s"}
    OtlpMetrics(OtlpSettings(endpoint="http://127.0.0.1:1"), RESOURCE, FakeClock(), lambda: EMPTY, environ)
    assert says(caplog) == ["WARNING OTEL_METRIC_EXPORT_INTERVAL: '15s' is no number of milliseconds, using 15 s"]


def test_a_sum_that_is_not_told_is_not_sent() -> None:
    node = Node([])
    told = ENGINE_DURATION.distribution(EngineModel("a"), [1, 2], None, bounds=(1.0,))
    (point,) = [otlp_sdk._histogram(one) for one in Observer(node.clock).push(node.say(told)).histograms()]
    metric = sdk.Metric("m", "", "s", sdk.Histogram([point], sdk.AggregationTemporality.CUMULATIVE))
    scoped = sdk.ScopeMetrics(InstrumentationScope("joulespan"), [metric], "")
    encoded = encode_metrics(sdk.MetricsData([sdk.ResourceMetrics(Resource({}), [scoped], "")]))
    (sent,) = encoded.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points
    assert (sent.count, list(sent.bucket_counts), sent.HasField("sum")) == (3, [1, 2], False)
