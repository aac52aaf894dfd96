# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP, from real exporters and over real sockets."""

import asyncio
import gzip
import http.client
import json
import logging
import socket
import ssl
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from agent.config import Web
from agent.config_values import Address
from agent.errors import ConfigError
from agent.otlp.protobuf import field
from agent.receivers.http import HttpReceiver
from agent.receivers.otlp import OtlpReceiver, Signal
from tests.receivers.certificates import Certificates
from tests.receivers.serving import JSON, PROTOBUF, SPAN, Kept, Served, recordings, request, serving, until
from tests.receivers.test_compression import raw_deflate
from tests.receivers.test_otlp import raw_spans

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKERS: dict[str, Any] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "zstd": zstd.compress,
}
IDS = b'{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202"}'
JSON_SPAN = b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + IDS + b"]}]}]}"


@pytest.mark.parametrize("encoding", PACKERS)
def test_every_span_that_engines_sent_arrives_once_byte_for_byte(encoding: str) -> None:
    expected = []
    with serving() as served:
        for body in recordings(Signal.TRACES).values():
            assert served.post(PACKERS[encoding](body), content_encoding=encoding)[0] == 200
            expected += raw_spans(body)
        for body in recordings(Signal.METRICS).values():
            assert served.post(PACKERS[encoding](body), "/v1/metrics", content_encoding=encoding)[0] == 200
    assert sorted(served.consumer.spans()) == sorted(expected)
    assert [one.body for one in served.consumer.sent] == list(recordings(Signal.METRICS).values())


def exporter(served: Served, **options: Any) -> OTLPSpanExporter:
    return OTLPSpanExporter(f"{served.http.url}/v1/traces", **options)


@pytest.mark.parametrize("compression", list(Compression))
def test_opentelemetrys_own_exporter_delivers(compression: Compression) -> None:
    with serving() as served:
        sender = exporter(served, compression=compression)
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
        with tracer.start_as_current_span("chat", attributes={"a": "b" * 2000}) as span:
            pass
        assert sender.export([span]) is SpanExportResult.SUCCESS  # type: ignore[list-item] # the SDK's spans can be read
        sender.shutdown()  # type: ignore[no-untyped-call] # the SDK does not say
    (traces,) = served.consumer.received
    found = traces.placed[0].span
    assert (found.name, found.scope, traces.receiver) == ("chat", "test", "otlp_http")
    assert found.source.peer is not None
    assert (found.source.peer.host, found.source.peer.local_port) == ("127.0.0.1", served.http.port)


def test_opentelemetrys_own_metrics_exporter_delivers() -> None:
    with serving() as served:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{served.http.url}/v1/metrics"))
        provider = MeterProvider([reader], shutdown_on_exit=False)
        provider.get_meter("test").create_counter("tokens").add(3)
        provider.shutdown()
    assert sum(one.items for one in served.consumer.sent) == 1


def test_an_exporter_that_finds_no_room_comes_again_and_delivers() -> None:
    with serving() as served:
        served.consumer.busy = 0.2
        sender = exporter(served, timeout=10)
        with TracerProvider(shutdown_on_exit=False).get_tracer("test").start_as_current_span("chat") as span:
            pass
        room = threading.Timer(0.5, lambda: setattr(served.consumer, "busy", None))
        room.start()
        assert sender.export([span]) is SpanExportResult.SUCCESS  # type: ignore[list-item] # as above
        room.join()
        sender.shutdown()  # type: ignore[no-untyped-call] # the SDK does not say
        assert served.refused("otlp_http")["busy"] >= 1
    assert len(served.consumer.spans()) == 1


def test_json_is_taken_and_answered_in_json() -> None:
    with serving() as served:
        status, headers, body = served.post(JSON_SPAN, kind="application/json; charset=utf-8")
        assert (status, headers["content-type"], json.loads(body)) == (200, JSON, {})
        bad = JSON_SPAN.replace(b"0202020202020202", b"")
        status, _, body = served.post(bad, kind="Application/JSON")
        assert status == 200
        assert json.loads(body)["partialSuccess"]["rejectedSpans"] == "1"
        packed = served.post(gzip.compress(JSON_SPAN), kind=JSON, content_encoding="gzip")
        assert packed[0] == 200
    assert len(served.consumer.spans()) == 2


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    ("body", "headers", "expected", "code"),
    [
        (b"garbage", {}, 400, code_pb2.INVALID_ARGUMENT),
        (b"garbage", {"content_encoding": "gzip"}, 400, code_pb2.INVALID_ARGUMENT),
        (gzip.compress(request(SPAN))[:-1], {"content_encoding": "gzip"}, 400, code_pb2.INVALID_ARGUMENT),
        (b"x", {"content_encoding": "br"}, 415, code_pb2.UNIMPLEMENTED),
        (b"", {"origin": "https://example.com"}, 403, code_pb2.PERMISSION_DENIED),
        (bytes(5 << 20), {}, 413, code_pb2.RESOURCE_EXHAUSTED),
        (gzip.compress(bytes(5 << 20)), {"content_encoding": "gzip"}, 413, code_pb2.RESOURCE_EXHAUSTED),
    ],
)
def test_what_is_refused_is_told_in_the_form_it_came_in(
    kind: str, body: bytes, headers: dict[str, str], expected: int, code: int
) -> None:
    with serving() as served:
        status, found, told = served.post(body, kind=kind, **headers)
        assert (status, found["content-type"]) == (expected, kind)
        message = Status.FromString(told) if kind == PROTOBUF else Status(**json.loads(told))
        assert message.code == code
        assert message.message
        assert served.post(request(SPAN))[0] == 200, "the next good request is taken"


def test_where_there_is_no_room_the_answer_says_when_to_come_again_in_whole_seconds() -> None:
    with serving() as served:
        for wait, expected in ((0.1, "1"), (1.0, "1"), (1.2, "2")):
            served.consumer.busy = wait
            status, headers, body = served.post(request(SPAN))
            assert (status, headers["retry-after"]) == (429, expected)
            assert Status.FromString(body).details


def test_protobuf_that_says_it_is_json_and_json_that_says_it_is_protobuf_are_refused() -> None:
    with serving() as served:
        assert served.post(request(SPAN), kind=JSON)[0] == 400
        assert served.post(JSON_SPAN, kind=PROTOBUF)[0] == 400
        assert served.post(request(SPAN), kind="text/plain")[0] == 415
        assert served.post(request(SPAN), kind="")[0] == 415
        assert served.refused("otlp_http") == {"malformed": 2, "unsupported": 2}


def test_an_empty_body_is_an_empty_request() -> None:
    with serving() as served:
        assert served.post(b"")[::2] == (200, b"")
        assert served.post(b"{}", kind=JSON)[::2] == (200, b"{}")
        assert served.post(b"", kind=JSON)[0] == 400


def test_other_paths_and_methods_are_told_what_there_is() -> None:
    with serving() as served:
        status, _, body = served.post(b"", "/v1/profiles")
        assert (status, "/v1/traces" in Status.FromString(body).message) == (404, True)
        for method in ("GET", "PUT", "OPTIONS"):
            status, headers, _ = served.post(b"", method=method)
            assert (status, headers["allow"]) == (405, "POST")
            assert not any(name.startswith("access-control") for name in headers)


def test_a_token_is_asked_for() -> None:
    with serving(token="secret") as served:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}):
            status, found, _ = served.post(request(SPAN), **headers)
            assert (status, found["www-authenticate"]) == (401, "Bearer")
        assert served.post(request(SPAN), authorization="Bearer secret")[0] == 200
        assert served.refused("otlp_http") == {"unauthenticated": 3}


def test_an_error_of_ours_is_told_as_one_and_the_next_request_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as served, caplog.at_level(logging.ERROR):
        served.consumer.error = KeyError("a fault")
        assert [served.post(request(SPAN))[0] for _ in range(2)] == [500, 500]
        served.consumer.error = None
        assert served.post(request(SPAN))[0] == 200
    assert len([record for record in caplog.records if record.name.startswith("joulespan")]) == 1


def send(served: Served, data: bytes, wait: float = 10.0) -> bytes:
    """Send bytes and read until the connection ends."""
    with socket.create_connection(("127.0.0.1", served.http.port), timeout=wait) as connection:
        connection.sendall(data)
        found = b""
        while piece := connection.recv(65536):
            found += piece
        return found


HEAD = b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n"


def test_a_length_over_the_limit_is_refused_before_the_body_is_read() -> None:
    with serving() as served, socket.create_connection(("127.0.0.1", served.http.port), timeout=5) as connection:
        connection.sendall(HEAD + b"content-length: 99999999999\r\nexpect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_is_cut_at_the_limit() -> None:
    with serving() as served:
        assert served.post(request(SPAN))[0] == 200
        connection = http.client.HTTPConnection("127.0.0.1", served.http.port, timeout=10)
        for size, expected in ((1 << 20, 400), (5 << 20, 413)):
            chunks = iter([bytes(64 << 10)] * (size >> 16))
            connection.request("POST", "/v1/traces", chunks, {"content-type": PROTOBUF}, encode_chunked=True)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == expected
        connection.close()


def test_a_chunked_body_is_taken() -> None:
    with serving() as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.http.port, timeout=10)
        body = request(SPAN)
        pieces = iter([body[:3], body[3:]])
        connection.request("POST", "/v1/traces", pieces, {"content-type": PROTOBUF}, encode_chunked=True)
        assert connection.getresponse().status == 200
        connection.close()
    assert served.consumer.spans() == [SPAN]


def test_a_body_that_does_not_come_is_a_timeout_and_ends_the_connection() -> None:
    with serving(patience=0.3) as served:
        answer = send(served, HEAD + b"content-length: 100\r\n\r\nabc")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert served.refused("otlp_http") == {"incomplete": 1}
        assert served.post(request(SPAN))[0] == 200


def test_a_connection_that_says_nothing_or_half_a_head_is_ended() -> None:
    with serving(patience=0.3) as served:
        assert send(served, b"") == b""
        assert send(served, HEAD) == b""
        body = request(SPAN)
        assert b" 200 " in send(served, HEAD + b"content-length: %d\r\n\r\n" % len(body) + body + HEAD)


def test_a_sender_that_goes_on_after_its_refusal_is_cut_off() -> None:
    with serving(patience=0.3) as served:
        assert b" 413 " in send(served, HEAD + b"content-length: 99999999999\r\n\r\nabc")


def test_a_body_that_is_shorter_than_its_length_is_counted() -> None:
    with serving() as served:
        with socket.create_connection(("127.0.0.1", served.http.port)) as connection:
            connection.sendall(HEAD + b"content-length: 100\r\n\r\nabc")
        until(lambda: served.refused("otlp_http") == {"incomplete": 1})
        assert served.consumer.received == []


def test_what_comes_after_a_body_is_another_request() -> None:
    body = request(SPAN)
    head = HEAD + b"content-length: %d\r\n" % len(body)
    with serving() as served:
        answer = send(served, head + b"\r\n" + body + head + b"connection: close\r\n\r\n" + body)
        assert answer.count(b"HTTP/1.1 200 ") == 2
        answer = send(served, HEAD + b"connection: close\r\ncontent-length: 5\r\n\r\n" + b"\x0a\x05abcdefghi")
        assert answer.count(b"HTTP/1.1 400 ") == 1
        assert served.post(body)[0] == 200


@pytest.mark.parametrize(
    "head", [b"content-length: -1\r\n", b"content-length: 1e3\r\n", b"content-length: 5\r\ncontent-length: 6\r\n"]
)
def test_a_length_that_is_none_is_a_bad_request(head: bytes) -> None:
    with serving() as served:
        assert send(served, HEAD + head + b"\r\nabcdef").startswith(b"HTTP/1.1 400 ")
        assert served.post(request(SPAN))[0] == 200


def test_bodies_that_come_at_the_same_time_are_bounded_together() -> None:
    with serving(most_bytes=1 << 20) as served:
        part = HEAD + b"content-length: 1000000\r\n\r\n" + bytes(900_000)
        slow = [socket.create_connection(("127.0.0.1", served.http.port)) for _ in range(2)]
        for connection in slow:
            connection.sendall(part)
        until(lambda: served.http._waiting == 1_800_000)
        status, headers, _ = served.post(bytes(900_000))
        assert (status, headers["retry-after"]) == (429, "1")
        assert served.post(request(SPAN))[0] == 200, "small ones still find room"
        for connection in slow:
            connection.close()
        until(lambda: served.http._waiting == 0)


def test_two_clients_at_once_lose_nothing() -> None:
    bodies = list(recordings(Signal.TRACES).values())
    with serving() as served:

        def post_all() -> None:
            for body in bodies:
                assert served.post(body)[0] == 200

        threads = [threading.Thread(target=post_all) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = [span for body in bodies for span in raw_spans(body)]
    assert sorted(served.consumer.spans()) == sorted(expected * 2)


def test_tls_asks_for_a_certificate_where_it_is_told_to(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    context = ssl.create_default_context(cafile=str(made.authority))
    with serving(security=made.web()) as served:
        stranger = http.client.HTTPSConnection("127.0.0.1", served.http.port, timeout=5, context=context)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _post(stranger)
        stranger.close()
        context.load_cert_chain(made.certificate, made.key)
        known = http.client.HTTPSConnection("127.0.0.1", served.http.port, timeout=5, context=context)
        assert _post(known) == 200
        known.close()


def _post(connection: http.client.HTTPSConnection) -> int:
    connection.request("POST", "/v1/traces", request(SPAN), {"content-type": PROTOBUF})
    return connection.getresponse().status


def test_a_port_that_is_taken_is_an_error_at_start() -> None:
    receiver = OtlpReceiver(Kept(), 1 << 20, threading.Lock)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ConfigError, match=r"receivers\.otlp\.http: \S+ cannot be had: Address already in use"):
            HttpReceiver(receiver, address, Web())


def test_it_stops_within_about_a_second_whoever_is_connected() -> None:
    receiver = OtlpReceiver(Kept(), 1 << 20, threading.Lock)

    async def run() -> float:
        server = HttpReceiver(receiver, Address("127.0.0.1:0"), Web())
        await server.start()
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(HEAD + b"content-length: 100\r\n\r\nabc")
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await server.stop()
        took = time.monotonic() - began
        connection.close()
        return took

    assert asyncio.run(run()) < 2.5


def test_a_span_with_a_name_that_is_no_text_is_rejected_alone() -> None:
    with serving() as served:
        status, _, body = served.post(request(SPAN, SPAN + field(5, b"\xff")))
        assert (status, len(body) > 0) == (200, True)
    assert served.consumer.spans() == [SPAN]
