# SPDX-License-Identifier: Apache-2.0
"""OTLP over gRPC, from real exporters and over real sockets."""

import asyncio
import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from agent.config import Web
from agent.config_values import Address
from agent.errors import ConfigError
from agent.receivers.grpc import GrpcServer
from agent.receivers.otlp import OtlpReceiver, Signal
from agent.spans import Peer
from tests.receivers.certificates import Certificates
from tests.receivers.serving import EXPORT, SPAN, Kept, Served, channel, recordings, request, serving, until
from tests.receivers.test_otlp import raw_spans

NONE, GZIP, DEFLATE = grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate


def refusal(served: Served, body: bytes, **options: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        served.export(body, **options)
    return caught.value


def details(error: Any) -> Status:
    return Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])


@pytest.mark.parametrize("compression", [NONE, GZIP, DEFLATE])
def test_every_span_that_engines_sent_arrives_once_byte_for_byte(compression: grpc.Compression) -> None:
    expected = []
    with serving() as served:
        for body in recordings(Signal.TRACES).values():
            assert served.export(body, compression=compression) == b""
            expected += raw_spans(body)
        for body in recordings(Signal.METRICS).values():
            served.export(body, Signal.METRICS, compression=compression)
    assert sorted(served.consumer.spans()) == sorted(expected)
    assert [one.body for one in served.consumer.sent] == list(recordings(Signal.METRICS).values())


@pytest.mark.parametrize("compression", [NONE, GZIP, DEFLATE])
def test_opentelemetrys_own_exporter_delivers(compression: grpc.Compression) -> None:
    with serving() as served:
        tracer = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"127.0.0.1:{served.grpc.port}", insecure=True, compression=compression)
        with tracer.get_tracer("test").start_as_current_span("chat", attributes={"a": "b" * 2000}) as span:
            pass
        assert exporter.export([span]) is SpanExportResult.SUCCESS  # type: ignore[list-item] # the SDK's spans can be read
        exporter.shutdown()
    (traces,) = served.consumer.received
    assert traces.placed[0].span.name == "chat"
    assert traces.placed[0].span.scope == "test"
    assert traces.receiver == "otlp_grpc"


def test_opentelemetrys_own_metrics_exporter_delivers() -> None:
    with serving() as served:
        exporter = OTLPMetricExporter(f"127.0.0.1:{served.grpc.port}", insecure=True)
        provider = MeterProvider([PeriodicExportingMetricReader(exporter)], shutdown_on_exit=False)
        provider.get_meter("test").create_counter("tokens").add(3)
        provider.shutdown()
    assert sum(one.items for one in served.consumer.sent) == 1


def test_an_exporter_that_finds_no_room_comes_again_and_delivers() -> None:
    with serving() as served:
        served.consumer.busy = 0.2
        exporter = OTLPSpanExporter(f"127.0.0.1:{served.grpc.port}", insecure=True, timeout=10)
        with TracerProvider(shutdown_on_exit=False).get_tracer("test").start_as_current_span("chat") as span:
            pass
        room = threading.Timer(0.5, lambda: setattr(served.consumer, "busy", None))
        room.start()
        assert exporter.export([span]) is SpanExportResult.SUCCESS  # type: ignore[list-item] # as above
        room.join()
        exporter.shutdown()
        assert served.refused("otlp_grpc")["busy"] >= 2, "it came when it was told to"
    assert len(served.consumer.spans()) == 1


def test_two_clients_at_once_lose_nothing() -> None:
    bodies = list(recordings(Signal.TRACES).values())
    with serving() as served:

        def send() -> None:
            with channel(served.grpc.port) as opened:
                for call in [opened.unary_unary(EXPORT[Signal.TRACES]).future(body, timeout=30) for body in bodies]:
                    call.result()

        threads = [threading.Thread(target=send) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = [span for body in bodies for span in raw_spans(body)]
    assert sorted(served.consumer.spans()) == sorted(expected * 2)


def test_the_peer_is_where_the_connection_comes_from() -> None:
    with serving() as served:
        served.export(request(SPAN))
    peer = served.consumer.received[0].placed[0].span.source.peer
    assert isinstance(peer, Peer)
    assert (peer.host, peer.local_port) == ("127.0.0.1", served.grpc.port)
    assert peer.port not in (0, served.grpc.port)


def test_the_peer_may_have_an_ipv6_address() -> None:
    receiver = OtlpReceiver(kept := Kept(), 1 << 20, threading.Lock)

    async def run() -> None:
        server = GrpcServer(receiver, Address("[::1]:0"), Web())
        await server.start()
        await asyncio.to_thread(send, server.port)
        await server.stop()

    def send(port: int) -> None:
        with grpc.insecure_channel(f"[::1]:{port}") as opened:
            opened.unary_unary(EXPORT[Signal.TRACES])(request(SPAN), timeout=10)

    asyncio.run(run())
    peer = kept.received[0].placed[0].span.source.peer
    assert peer is not None
    assert peer.host == "::1"


def test_a_request_that_cannot_be_decoded_is_an_invalid_argument() -> None:
    with serving() as served:
        error = refusal(served, b"garbage")
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert not details(error).details, "there is no point in sending it again"
        assert served.export(request(SPAN)) == b""
        assert served.refused("otlp_grpc") == {"malformed": 1}


@pytest.mark.parametrize("compression", [NONE, GZIP, DEFLATE])
def test_a_request_that_is_too_large_is_refused_for_good(compression: grpc.Compression) -> None:
    with serving(most_bytes=1 << 20) as served:
        error = refusal(served, bytes(2 << 20), compression=compression)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc-status-details-bin" not in dict(error.trailing_metadata())
        assert served.export(request(SPAN)) == b""
        until(lambda: served.refused("otlp_grpc") == {"incomplete": 1})


def test_where_there_is_no_room_the_answer_says_when_to_come_again() -> None:
    with serving() as served:
        served.consumer.busy = 1.25
        error = refusal(served, request(SPAN))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        (detail,) = details(error).details
        info = RetryInfo()
        assert detail.Unpack(info)
        assert info.retry_delay.ToTimedelta().total_seconds() == 1.25


def test_a_method_that_is_not_there_is_unimplemented() -> None:
    with serving() as served, channel(served.grpc.port) as opened, pytest.raises(grpc.RpcError) as caught:
        opened.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Import")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_call_without_a_message_is_an_error_of_its_sender() -> None:
    with serving() as served, channel(served.grpc.port) as opened:
        with pytest.raises(grpc.RpcError) as caught:
            opened.stream_unary(EXPORT[Signal.TRACES])(iter(()), timeout=10)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_senders_that_never_send_their_message_hold_nobody_up() -> None:
    with serving(patience=0.5) as served, channel(served.grpc.port) as opened:
        gone = threading.Event()

        def nothing() -> Any:
            gone.wait(20)
            yield request(SPAN)

        waiting = [opened.stream_unary(EXPORT[Signal.TRACES]).future(nothing(), timeout=30) for _ in range(8)]
        assert served.export(request(SPAN)) == b""
        codes = {call.code() for call in waiting}
        gone.set()
        assert codes == {grpc.StatusCode.CANCELLED}
        until(lambda: served.refused("otlp_grpc") == {"incomplete": 8})


def test_an_error_of_ours_is_internal_and_the_next_request_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as served, caplog.at_level(logging.ERROR):
        served.consumer.error = KeyError("a fault")
        assert refusal(served, request(SPAN)).code() is grpc.StatusCode.INTERNAL
        assert refusal(served, request(SPAN)).code() is grpc.StatusCode.INTERNAL
        served.consumer.error = None
        assert served.export(request(SPAN)) == b""
    assert len([record for record in caplog.records if record.name.startswith("joulespan")]) == 1


def test_a_token_is_asked_for() -> None:
    with serving(token="secret") as served:
        for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", "secret"),)):
            error = refusal(served, request(SPAN), metadata=metadata)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert served.export(request(SPAN), metadata=(("authorization", "Bearer secret"),)) == b""
        assert served.refused("otlp_grpc") == {"unauthenticated": 3}


def test_tls_asks_for_a_certificate_where_it_is_told_to(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    with serving(security=made.web()) as served:
        address = f"localhost:{served.grpc.port}"
        authority, key, certificate = (path.read_bytes() for path in (made.authority, made.key, made.certificate))
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(authority, key, certificate)) as opened:
            assert opened.unary_unary(EXPORT[Signal.TRACES])(request(SPAN), timeout=10) == b""
        for credentials in (grpc.ssl_channel_credentials(authority), None):
            plain = grpc.insecure_channel(address) if credentials is None else grpc.secure_channel(address, credentials)
            with plain as opened, pytest.raises(grpc.RpcError):
                opened.unary_unary(EXPORT[Signal.TRACES])(request(SPAN), timeout=3)


def test_a_port_that_is_taken_is_an_error_at_start() -> None:
    receiver = OtlpReceiver(Kept(), 1 << 20, threading.Lock)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(
            ConfigError, match=r"receivers.otlp.grpc: 127.0.0.1:\d+ cannot be had: Address already in use"
        ):
            GrpcServer(receiver, address, Web())
    with serving() as served, pytest.raises(ConfigError, match="is a collector running"):
        GrpcServer(receiver, Address(f"127.0.0.1:{served.grpc.port}"), Web())


def test_certificates_that_are_none_are_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    web = Web(certificate=str(tmp_path / "empty"), key=str(tmp_path / "missing"))
    receiver = OtlpReceiver(Kept(), 1 << 20, threading.Lock)
    with pytest.raises(ConfigError, match=r"receivers\.otlp\.security: certificate, key or client_ca cannot be used"):
        GrpcServer(receiver, Address("127.0.0.1:0"), web)


def test_it_stops_within_about_a_second_whoever_is_connected() -> None:
    receiver = OtlpReceiver(Kept(), 1 << 20, threading.Lock)

    async def run() -> float:
        server = GrpcServer(receiver, Address("127.0.0.1:0"), Web())
        await server.start()
        with channel(server.port) as opened:
            blocked = threading.Event()
            stream = opened.stream_unary(EXPORT[Signal.TRACES]).future(iter(blocked.wait, 1), timeout=30)
            await asyncio.sleep(0.3)
            began = time.monotonic()
            await server.stop()
            took = time.monotonic() - began
            blocked.set()
            stream.cancel()
            return took

    assert asyncio.run(run()) < 2
