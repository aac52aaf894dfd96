# SPDX-License-Identifier: Apache-2.0
"""What is sent to do harm is refused, costs bounded memory, and the next good request is taken."""

import gzip
import http.client
import socket
import sys
import zlib
from collections.abc import Callable, Iterator

import grpc
import pytest

from agent.otlp.protobuf import field
from agent.receivers.otlp import Signal
from tests.receivers.alone import Alone, alone
from tests.receivers.serving import EXPORT, JSON, PROTOBUF, SPAN, channel, request

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_GROWTH = 300
"""MiB, with a limit of 64 MiB for a message."""
TRACES = {
    "a span of a million attributes": request(SPAN + field(9, field(1, b"a")) * 1_000_000),
    "32 million empty spans": field(1, field(2, b"\x12\0" * 33_000_000)),
    "a million spans": request(*[SPAN] * 1_000_000),
    "spans full of empty links": request(*[SPAN + b"\x6a\0" * 32_000] * 1000),
    "spans full of values": request(*[SPAN + field(9, field(2, field(6, b"\x0a\0" * 30_000)))] * 1000),
    "a million resources": b"\x0a\0" * 1_000_000,
    "a resource of 60 MiB": field(1, field(1, field(1, field(1, b"k" * (60 << 20))))),
}
METRICS = {
    "empty metrics": field(1, field(2, b"\x12\0" * 15_000)) * 2000,
    "60 million buckets of a byte each": field(
        1, field(2, field(2, field(10, field(1, field(8, field(2, b"\1" * (60 << 20)))))))
    ),
    "empty names of entities": field(1, field(1, field(3, b"\x1a\0" * 30_000_000))),
}


def json_spans(*spans: bytes) -> bytes:
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join(spans) + b"]}]}]}"


JSONS = {
    "lists nested a million deep": (400, b"[" * 1_000_000),
    "objects nested deep": (400, b'{"resourceSpans":' * 50_000),
    "two million empty spans": (400, json_spans(*[b"{}"] * 2_000_000)),
    "as many names as there may be": (400, json_spans(*[b'{"name":"a"}'] * 240_000)),
    "60 MiB of text": (413, b'{"x":"' + b"a" * (60 << 20) + b'"}'),
    "a wide character in as much text as there may be": (
        400,
        b'{"resourceSpans":"' + b"a" * (7 << 20) + "😀".encode() + b'"}',
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Alone]:
    with alone() as running:
        yield running


def post(port: int, body: bytes, path: str = "/v1/traces", kind: str = PROTOBUF, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, body, {"content-type": kind, **named})
        return connection.getresponse().status
    finally:
        connection.close()


def export(port: int, body: bytes, signal: Signal = Signal.TRACES, compression: grpc.Compression | None = None) -> str:
    with channel(port) as opened:
        try:
            opened.unary_unary(EXPORT[signal])(body, timeout=60, compression=compression)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def still_well(server: Alone) -> None:
    assert server.peak() - server.base < MOST_GROWTH
    assert post(server.http, request(SPAN)) == 200
    assert export(server.grpc, request(SPAN)) == "OK"


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_request_that_would_fill_memory_is_refused_by_both(server: Alone, name: str) -> None:
    server.forget()
    assert post(server.http, TRACES[name]) == 400
    assert export(server.grpc, TRACES[name]) == "INVALID_ARGUMENT"
    still_well(server)


@pytest.mark.parametrize("name", METRICS)
def test_a_metrics_request_that_would_fill_memory_is_refused_by_both(server: Alone, name: str) -> None:
    server.forget()
    assert post(server.http, METRICS[name], "/v1/metrics") == 400
    assert export(server.grpc, METRICS[name], Signal.METRICS) == "INVALID_ARGUMENT"
    still_well(server)


@pytest.mark.parametrize("name", JSONS)
def test_json_that_would_fill_memory_is_refused(server: Alone, name: str) -> None:
    server.forget()
    expected, body = JSONS[name]
    assert post(server.http, body, kind=JSON) == expected
    still_well(server)


def repeated(start: Callable[[bytes], bytes], end: Callable[[], bytes]) -> bytes:
    """Compress 2 GiB of zeros."""
    block = bytes(64 << 20)
    return b"".join([start(block) for _ in range(32)]) + end()


def zlib_bomb(window_bits: int) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, window_bits)
    return repeated(packer.compress, packer.flush)


def zstd_bomb() -> bytes:
    packer = zstd.ZstdCompressor(1)
    return repeated(packer.compress, packer.flush)


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip": ("gzip", lambda: zlib_bomb(31)),
    "deflate": ("deflate", lambda: zlib_bomb(15)),
    "raw deflate": ("deflate", lambda: zlib_bomb(-15)),
    "zstd": ("zstd", zstd_bomb),
    "a gzip bomb of many members": ("gzip", lambda: gzip.compress(bytes(60 << 20), 1) * 100),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_stopped_at_the_limit(server: Alone, name: str) -> None:
    encoding, bomb = BOMBS[name]
    body = bomb()
    server.forget()
    assert post(server.http, body, content_encoding=encoding) == 413
    still_well(server)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_grpc_itself_stops_a_bomb_at_the_limit(server: Alone, compression: grpc.Compression) -> None:
    server.forget()
    assert export(server.grpc, bytes(512 << 20), compression=compression) == "RESOURCE_EXHAUSTED"
    still_well(server)


def test_many_who_send_large_messages_at_once_wait_at_their_own_cost(server: Alone) -> None:
    server.forget()
    body = bytes(8 << 20)
    with channel(server.grpc) as opened:
        calls = [opened.unary_unary(EXPORT[Signal.TRACES]).future(body, timeout=60) for _ in range(32)]
        codes = {call.code().name for call in calls}
    assert codes == {"INVALID_ARGUMENT"}
    still_well(server)


@pytest.mark.parametrize("head", [b"GET /" + b"a" * (1 << 20), b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (1 << 17)])
def test_a_head_without_end_is_cut_off(server: Alone, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.http), timeout=10) as connection:
        try:
            connection.sendall(head)
            answer = connection.recv(100)
        except ConnectionError:
            answer = b""
        assert answer == b"" or b" 400 " in answer
    still_well(server)
