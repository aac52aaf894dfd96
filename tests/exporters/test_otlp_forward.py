# SPDX-License-Identifier: Apache-2.0
"""Forwarding: what arrives and in what order, and what is lost when the back end does not take it."""

import gzip
import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agent.clock import FakeClock
from exporters.otlp_answer import Verdict
from exporters.otlp_forward import OtlpForward, OtlpSettings, Parcel, pause, shares
from exporters.otlp_forward_http import HttpBackend, _retry_after
from exporters.otlp_parcels import ParcelQueue
from exporters.otlp_settings import Signal, target
from tests.exporters.receivers import (
    Answers,
    GrpcAnswers,
    GrpcReply,
    HttpReply,
    Pem,
    Rotel,
    free_port,
    silence,
    until,
)

PROTOCOLS = ("grpc", "http/protobuf")
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")
RECORDED = Path(__file__).parents[1] / "fixtures" / "telemetry"
VLLM = (RECORDED / "vllm" / "grpc_0004.pb").read_bytes()
VLLM_SPANS = 29
FORWARDED, REFUSED = ("otlp", "forwarded", None), ("otlp", "dropped", "refused")
FULL, STOPPED = ("otlp", "dropped", "full"), ("otlp", "dropped", "stopped")
NONE: Mapping[str, str] = {}


def spans(*names: str, receiver: str = "otlp", padding: int = 0) -> Parcel:
    """Make a parcel with spans of these names, larger by `padding` bytes."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.spans.extend(Span(name=name, trace_state="x" * padding) for name in names)
    return Parcel(request.SerializeToString(), {receiver: len(names)})


def names(body: bytes) -> list[str]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span.name for of in request.resource_spans for scope in of.scope_spans for span in scope.spans]


def rejecting(rejected: int, message: str = "") -> bytes:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


@contextmanager
def silence_that_counts() -> Iterator[tuple[str, list[int]]]:
    """Accept connections and say nothing on them; gives the address and the ports of those who came."""
    came: list[int] = []
    held: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, (_, port) = listener.accept()
                held.append(connection)
                came.append(port)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", came
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    for connection in held:
        connection.close()


@contextmanager
def forwarding(
    endpoint: str, *parcels: Parcel, environ: Mapping[str, str] = NONE, signal: Signal = "traces", **settings: object
) -> Iterator[OtlpForward]:
    """Forward these parcels, which wait already when the sender starts."""
    chosen = {"endpoint": endpoint, "protocol": "grpc", "timeout": 2.0} | settings
    forward = OtlpForward(signal, OtlpSettings(**chosen), FakeClock(), environ)  # type: ignore[arg-type]
    forward.put(parcels)
    forward.start()
    try:
        yield forward
    finally:
        forward.stop(1)


def settled(forward: OtlpForward, items: int) -> bool:
    return sum(forward.tally().values()) == items


def own(forward: OtlpForward) -> dict[str, float]:
    return {
        f"{sample.series.metric.name} {' '.join(sample.series.entity)}".removeprefix("joulespan."): sample.value
        for sample in forward.samples()
    }


def says(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


@pytest.mark.parametrize("compression", ["", "gzip"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_recorded_spans_arrive_whole_at_an_independent_receiver(
    tmp_path: Path, protocol: str, compression: str
) -> None:
    rotel = Rotel(tmp_path, "traces")
    environ = {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": compression}
    with (
        rotel.running(),
        forwarding(rotel.endpoints[protocol], Parcel(VLLM, {"otlp": VLLM_SPANS}), environ=environ, protocol=protocol),
    ):
        until(lambda: len(rotel.spans()) == VLLM_SPANS)
    sent = ExportTraceServiceRequest.FromString(VLLM).resource_spans[0].scope_spans[0].spans
    assert [(span.trace_id, span.span_id, span.name, span.start, span.end) for span in rotel.spans()] == [
        (one.trace_id.hex(), one.span_id.hex(), one.name, one.start_time_unix_nano, one.end_time_unix_nano)
        for one in sent
    ]
    assert {span.resource for span in rotel.spans()} == {"vllm-tiny"}
    assert [set(span.attributes) for span in rotel.spans()[:-1]] == [
        {pair.key for pair in one.attributes} for one in sent[:-1]
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_metrics_that_came_in_arrive_whole(tmp_path: Path, protocol: str) -> None:
    body = (RECORDED / "dynamo-aggregated" / "otlpmetrics_0003.pb").read_bytes()
    sent = {
        metric.name
        for of in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in of.scope_metrics
        for metric in scope.metrics
        if metric.HasField("gauge") or metric.HasField("sum")
    }
    rotel = Rotel(tmp_path)
    with (
        rotel.running(),
        forwarding(rotel.endpoints[protocol], Parcel(body, {"otlp": 1}), signal="metrics", protocol=protocol),
    ):
        until(lambda: {point.name for push in rotel.pushes() for point in push.points} >= sent)
    assert sent


@pytest.mark.parametrize("signal", SIGNALS)
def test_each_signal_goes_to_its_own_service(signal: Signal) -> None:
    service = {"traces": "trace.v1.TraceService", "metrics": "metrics.v1.MetricsService", "logs": "logs.v1.LogsService"}
    with GrpcAnswers().running() as grpc, forwarding(grpc.endpoint, spans("a"), signal=signal):
        until(lambda: grpc.requests)
    assert grpc.requests[0].method == f"/opentelemetry.proto.collector.{service[signal]}/Export"
    with Answers(200).running() as http, forwarding(http.endpoint, spans("a"), signal=signal, protocol="http/protobuf"):
        until(lambda: http.requests)
    assert http.requests[0].path == f"/v1/{signal}"
    assert http.requests[0].headers["content-type"] == "application/x-protobuf"


def test_what_waits_is_joined_up_to_two_mebibytes_and_what_is_larger_goes_alone() -> None:
    parcels = [spans(name, padding=700_000) for name in "abcd"] + [spans("large", padding=3 << 20), spans("e")]
    with GrpcAnswers().running() as server, forwarding(server.endpoint, *parcels) as forward:
        until(lambda: settled(forward, 6))
        assert own(forward)["exporter.requests traces exported"] == 4
        assert own(forward)["exporter.points traces exported"] == 6
    assert [names(request.body) for request in server.requests] == [["a", "b"], ["c", "d"], ["large"], ["e"]]


def test_after_a_retryable_code_the_same_is_sent_again_when_the_server_said() -> None:
    script = GrpcReply(StatusCode.UNAVAILABLE, 0.2), GrpcReply(StatusCode.RESOURCE_EXHAUSTED, 0.1)
    with GrpcAnswers(*script).running() as server:
        before = time.monotonic()
        with forwarding(server.endpoint, spans("a")) as forward:
            until(lambda: settled(forward, 1))
            took = time.monotonic() - before
    assert [names(request.body) for request in server.requests] == [["a"]] * 3
    assert forward.tally() == {FORWARDED: 1}
    assert 0.3 <= took < 0.9


@pytest.mark.parametrize(
    "code",
    [StatusCode.INVALID_ARGUMENT, StatusCode.INTERNAL, StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNAUTHENTICATED],
)
def test_what_is_refused_for_good_is_dropped_and_not_sent_again(code: StatusCode) -> None:
    with GrpcAnswers(GrpcReply(code)).running() as server, forwarding(server.endpoint, spans("a", "b")) as forward:
        until(lambda: settled(forward, 2))
        forward.put([spans("c")])
        until(lambda: settled(forward, 3))
        counted = own(forward)
    assert [names(request.body) for request in server.requests] == [["a", "b"], ["c"]]
    assert forward.tally() == {REFUSED: 2, FORWARDED: 1}
    assert (counted["exporter.points traces dropped"], counted["exporter.requests traces dropped"]) == (2, 1)
    assert counted["queue.dropped traces"] == 0
    assert counted["exporter.last_success traces"] > 1.7e9


def test_one_bad_parcel_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    server = GrpcAnswers()
    server.judge = lambda body: GrpcReply(StatusCode.INVALID_ARGUMENT) if "bad" in names(body) else None
    told = [*(f"{number}" for number in range(20)), "bad", *(f"{number}" for number in range(20, 50))]
    with server.running(), forwarding(server.endpoint, *(spans(name) for name in told)) as forward:
        until(lambda: settled(forward, 51))
    assert forward.tally() == {FORWARDED: 50, REFUSED: 1}
    taken = [name for request in server.requests if "bad" not in names(request.body) for name in names(request.body)]
    assert taken == [f"{number}" for number in range(50)]
    assert len(server.requests) < 15
    assert [line for line in says(caplog) if "refuses" in line] == [
        f"ERROR otlp: {server.endpoint} refuses traces, they are dropped: INVALID_ARGUMENT: as the script says"
    ]


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_of_everything_is_not_tried_parcel_by_parcel(status: int) -> None:
    with (
        Answers(status).running() as server,
        forwarding(server.endpoint, *(spans("a") for _ in range(9)), protocol="http/protobuf") as forward,
    ):
        until(lambda: settled(forward, 9))
    assert forward.tally() == {REFUSED: 9}
    assert len(server.requests) == 1


def test_over_http_the_same_is_sent_again_when_the_server_said() -> None:
    with Answers(200).running() as server:
        server.script.append(HttpReply(429, {"Retry-After": "1"}))
        with forwarding(server.endpoint, spans("a"), protocol="http/protobuf") as forward:
            until(lambda: len(server.requests) == 1)
            before = time.monotonic()
            until(lambda: settled(forward, 1))
            assert 0.9 < time.monotonic() - before < 1.6
    assert [names(request.body) for request in server.requests] == [["a"]] * 2


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.TAKEN),
        (202, Verdict.TAKEN),
        (302, Verdict.BARRED),
        (400, Verdict.REFUSED),
        (403, Verdict.BARRED),
        (413, Verdict.REFUSED),
        (429, Verdict.AWAY),
        (500, Verdict.REFUSED),
        (501, Verdict.BARRED),
        (502, Verdict.AWAY),
        (503, Verdict.AWAY),
        (504, Verdict.AWAY),
    ],
)
def test_every_status_has_a_verdict(status: int, verdict: Verdict) -> None:
    with Answers(status).running() as server:
        to = target(OtlpSettings(endpoint=server.endpoint, protocol="http/protobuf"), NONE, "traces")
        backend = HttpBackend(to, "traces")
        assert backend.send(b"").verdict is verdict
        backend.close()


def test_a_bad_parcel_over_http_costs_only_itself() -> None:
    with Answers(200).running() as server:
        server.script.extend([HttpReply(status) for status in (400, 200, 400, 200, 413)])
        with forwarding(server.endpoint, spans("a"), spans("b"), spans("c"), protocol="http/protobuf") as forward:
            until(lambda: settled(forward, 3))
    assert [names(one.body) for one in server.requests] == [["a", "b", "c"], ["a"], ["b", "c"], ["b"], ["c"]]
    assert forward.tally() == {FORWARDED: 2, REFUSED: 1}


def test_a_redirect_is_not_followed_and_its_target_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with (
        Answers(200).running() as elsewhere,
        Answers(307, Location=f"{elsewhere.endpoint}/v1/traces").running() as server,
        forwarding(server.endpoint, spans("a"), protocol="http/protobuf") as forward,
    ):
        until(lambda: settled(forward, 1))
    assert forward.tally() == {REFUSED: 1}
    assert not elsewhere.requests
    assert f"moved to {elsewhere.endpoint}/v1/traces" in caplog.text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_server_rejects_of_a_request_that_it_takes_is_counted(
    protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    http, grpc = Answers(200), GrpcAnswers(GrpcReply(body=rejecting(1, "too old")), GrpcReply(body=rejecting(2)))
    http.script.extend([HttpReply(200, {}, rejecting(1, "too old")), HttpReply(200, {}, rejecting(2))])
    server: Answers | GrpcAnswers = grpc if protocol == "grpc" else http
    with http.running(), grpc.running(), forwarding(server.endpoint, spans("a", "b"), protocol=protocol) as forward:
        until(lambda: settled(forward, 2))
        forward.put([spans("c", "d", "e")])
        until(lambda: settled(forward, 5))
    assert forward.tally() == {FORWARDED: 2, REFUSED: 3}
    assert own(forward)["exporter.requests traces exported"] == 2
    assert says(caplog) == [f"WARNING otlp: {server.endpoint} takes traces, 1 of 2 spans rejected: too old"]


def test_an_answer_that_cannot_be_read_is_a_success() -> None:
    with Answers(200).running() as server:
        server.script.append(HttpReply(200, {}, b"<html>"))
        with forwarding(server.endpoint, spans("a"), protocol="http/protobuf") as forward:
            until(lambda: settled(forward, 1))
    assert forward.tally() == {FORWARDED: 1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_back_end_missed_while_it_was_away_arrives_in_order(
    tmp_path: Path, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rotel = Rotel(tmp_path, "traces")
    endpoint = rotel.endpoints[protocol]
    told = [f"span {number}" for number in range(12)]
    with forwarding(endpoint, *(spans(name) for name in told[:6]), protocol=protocol) as forward:
        until(lambda: caplog.records)
        forward.put([spans(name) for name in told[6:]])
        assert "exporter.last_success traces" not in own(forward)
        assert own(forward)["queue.utilization traces"] > 0
        with rotel.running():
            until(lambda: settled(forward, 12))
            until(lambda: len(rotel.spans()) == 12)
        counted = own(forward)
    assert [span.name for span in rotel.spans()] == told
    assert counted["queue.utilization traces"] == counted["queue.dropped traces"] == 0
    away, back = says(caplog)
    assert away.startswith(f"WARNING otlp: {endpoint} cannot be reached, traces wait: ")
    assert "refused" in away
    assert back == f"INFO otlp: {endpoint} takes traces"


def test_a_request_that_fails_for_its_size_gets_smaller() -> None:
    server = GrpcAnswers()
    server.judge = lambda body: GrpcReply(StatusCode.UNAVAILABLE, 0.1) if len(body) > 600_000 else None
    parcels = [spans(f"{number}", padding=250_000) for number in range(8)]
    with server.running(), forwarding(server.endpoint, *parcels) as forward:
        until(lambda: settled(forward, 8))
    assert forward.tally() == {FORWARDED: 8}
    taken = [name for request in server.requests if len(request.body) <= 600_000 for name in names(request.body)]
    assert taken == [f"{number}" for number in range(8)]


def test_a_full_queue_drops_the_oldest_and_counts_them() -> None:
    parcels = [spans(f"{number}", receiver="a" if number < 3 else "b", padding=1000) for number in range(8)]
    size = len(parcels[0].body) + 512
    settings = OtlpSettings(endpoint=f"http://127.0.0.1:{free_port()}")
    forward = OtlpForward("traces", settings, FakeClock(), NONE, capacity=4 * size)
    forward.put(parcels)
    assert forward.tally() == {("a", "dropped", "full"): 3, ("b", "dropped", "full"): 1}
    assert own(forward)["queue.utilization traces"] == 1
    assert own(forward)["queue.dropped traces"] == own(forward)["exporter.points traces dropped"] == 4
    forward.stop(0)


def test_what_is_in_flight_is_never_dropped_by_the_queue() -> None:
    queue = ParcelQueue(3000)
    one, two, three = (spans(name, padding=400) for name in "abc")
    queue.put([one, two])
    assert queue.next(1) == [one]
    assert list(queue.put([three]).parcels) == []
    assert list(queue.put([spans("d", padding=400)]).parcels) == [two]
    queue.put_back()
    assert queue.next(1) == [one]


def test_a_parcel_that_finds_no_room_at_all_costs_no_other() -> None:
    queue = ParcelQueue(3000)
    small, large = spans("a"), spans("b", padding=3000)
    assert list(queue.put([small, large]).parcels) == [large]
    assert queue.next(1) == [small]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_back_end_that_never_answers_does_not_delay_the_stop(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    with silence() as endpoint:
        settings = OtlpSettings(endpoint=endpoint, protocol=protocol, timeout=1.5)
        forward = OtlpForward("traces", settings, FakeClock(), NONE)
        forward.put([spans("a", "b")])
        forward.start()
        before = time.monotonic()
        forward.stop(0.3)
        assert time.monotonic() - before < 1
        forward.put([spans("c")])
    assert forward.tally() == {STOPPED: 3}
    assert says(caplog) == [f"WARNING otlp: stopped, spans not sent to {endpoint}: 2"]


def test_after_a_timeout_the_next_try_is_made_on_a_new_connection() -> None:
    with silence_that_counts() as (endpoint, came), forwarding(endpoint, spans("a"), timeout=0.2) as forward:
        until(lambda: len(came) == 2, 5)
        assert not forward.tally()


def test_what_waits_is_sent_on_the_way_out() -> None:
    with GrpcAnswers().running() as server, forwarding(server.endpoint, spans("a"), spans("b")):
        pass
    assert [names(request.body) for request in server.requests] == [["a", "b"]]


def test_a_back_end_that_comes_back_during_the_grace_gets_everything() -> None:
    script = GrpcReply(StatusCode.UNAVAILABLE, 30), GrpcReply(StatusCode.UNAVAILABLE)
    with GrpcAnswers(*script).running() as server, forwarding(server.endpoint, spans("a")) as forward:
        until(lambda: len(server.requests) == 1)
        forward.stop(5)
    assert forward.tally() == {FORWARDED: 1}
    assert len(server.requests) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls_and_a_client_certificate_are_used(tmp_path: Path, protocol: str) -> None:
    pem = Pem.made(tmp_path)
    files: dict[str, Any] = {
        "certificate": str(pem.certificate),
        "client_certificate": str(pem.certificate),
        "client_key": str(pem.key),
    }
    environ = {f"OTEL_EXPORTER_OTLP_{name.upper()}": value for name, value in files.items()}
    server = GrpcAnswers(pem=pem) if protocol == "grpc" else Answers(200, pem)
    with server.running(), forwarding(server.endpoint, spans("a"), protocol=protocol, **files) as forward:
        until(lambda: settled(forward, 1))
        with forwarding(server.endpoint, spans("b"), protocol=protocol, environ=environ) as other:
            until(lambda: settled(other, 1))
    assert [names(request.body) for request in server.requests] == [["a"], ["b"]]


def test_a_server_whose_certificate_is_not_trusted_gets_nothing(tmp_path: Path) -> None:
    server = Answers(200, Pem.made(tmp_path))
    with server.running(), forwarding(server.endpoint, spans("a"), protocol="http/protobuf") as forward:
        until(lambda: own(forward)["queue.utilization traces"] > 0)
        forward.stop(0.2)
    assert forward.tally() == {STOPPED: 1}
    assert not server.requests


def test_opentelemetry_variables_fill_in_what_is_not_configured() -> None:
    with Answers(200).running() as server:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{server.endpoint}/base/",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_HEADERS": "X-Scope=a%20b,authorization=none",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        }
        token = {"Authorization": "Bearer t"}
        with forwarding("", spans("a"), environ=environ, protocol="", headers=token) as forward:
            until(lambda: settled(forward, 1))
        environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{server.endpoint}/exactly/this"
        environ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"] = "none"
        with forwarding("", spans("b"), environ=environ, protocol="") as forward:
            until(lambda: settled(forward, 1))
    first, second = server.requests
    assert (first.path, second.path) == ("/base/v1/traces", "/exactly/this")
    assert (first.headers["x-scope"], first.headers["authorization"]) == ("a b", "Bearer t")
    assert names(gzip.decompress(first.body)) == ["a"]
    assert names(second.body) == ["b"]


def test_headers_are_sent_over_grpc_in_lower_case() -> None:
    with GrpcAnswers().running() as server, forwarding(server.endpoint, spans("a"), headers={"X-Scope": "one"}):
        until(lambda: server.requests)
    assert server.requests[0].metadata["x-scope"] == "one"
    assert server.requests[0].metadata["user-agent"].startswith("joulespan/")


def test_the_pause_doubles_up_to_half_a_minute_and_obeys_the_server_up_to_a_minute() -> None:
    def longest(_: float, most: float) -> float:
        return most

    def least(least: float, _: float) -> float:
        return least

    assert [pause(failures, None, longest) for failures in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert pause(1000, None, least) == 15
    assert pause(5, 7, least) == 7
    assert pause(5, 3600, longest) == 60
    assert pause(0, 0.0, longest) == 1
    assert pause(0, 1e-6, least) == 0.1


def test_a_date_in_retry_after_is_understood() -> None:
    found = _retry_after(formatdate(time.time() + 30, usegmt=True))
    assert found is not None
    assert 27 < found <= 30
    assert _retry_after("soon") is _retry_after(None) is None


@given(st.integers(0, 10**6), st.dictionaries(st.sampled_from("abcde"), st.integers(0, 10**5)))
def test_rejected_items_are_shared_without_rest(rejected: int, items: dict[str, int]) -> None:
    found = shares(rejected, items)
    assert sum(found.values()) == min(rejected, sum(items.values()))
    assert all(0 <= found[receiver] <= number for receiver, number in items.items())


def test_a_back_end_that_flaps_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    script = [GrpcReply(), GrpcReply(StatusCode.INTERNAL)] * 15
    with GrpcAnswers(*script).running() as server, forwarding(server.endpoint) as forward:
        for number in range(1, 31):
            forward.put([spans("a")])
            until(partial(settled, forward, number))
    assert len(caplog.records) == 10
