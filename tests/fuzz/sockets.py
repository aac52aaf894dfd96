# SPDX-License-Identifier: Apache-2.0
"""Whatever comes over a socket, both servers answer, and go on."""

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import grpc

from agent.receivers.otlp import Signal
from tests.fuzz.mutate import Mutator
from tests.receivers.serving import EXPORT, JSON, PROTOBUF, SPAN, Served, channel, request

_STATUS = {200, 400, 401, 403, 404, 405, 408, 413, 415, 429}
_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.CANCELLED,
}
_TIMEOUT = 10.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Sending:
    """Sends cases to running servers."""

    def __init__(self, random: Random, bodies: Mapping[Signal, Sequence[bytes]], served: Served) -> None:
        """Begin with these requests."""
        self._random = random
        self._mutator = Mutator(random, bodies)
        self._served = served
        self._channel = channel(served.grpc.port)

    def close(self) -> None:
        """Close what is open."""
        self._channel.close()

    def case(self) -> dict[str, Any]:
        """Make a case: what is sent, and to whom."""
        random = self._random
        signal, body = self._mutator.body()
        encoding = "identity"
        if random.random() < 0.3:
            encoding, body = self._mutator.packed(body)
        case = {"signal": signal.name, "encoding": encoding, "body": body.hex()}
        case["way"] = random.choice(("post", "grpc", "http bytes", "grpc bytes"))
        case["kind"] = random.choice((PROTOBUF, PROTOBUF, JSON, "text/plain"))
        if case["way"].endswith("bytes"):
            case["body"] = self._raw(case["way"], case["kind"], signal, body).hex()
        return case

    def run(self, case: Mapping[str, Any]) -> None:
        """Send it, and see what is answered."""
        body, signal = bytes.fromhex(case["body"]), Signal[case["signal"]]
        match case["way"]:
            case "post":
                status, _, _ = self._served.post(body, signal.value, case["kind"], content_encoding=case["encoding"])
                assert status in _STATUS, status
            case "grpc":
                self._export(signal, body)
            case "http bytes":
                _send(self._served.http.port, body)
            case _:
                _send(self._served.grpc.port, body)

    def settle(self) -> None:
        """See that good requests are taken, and that nothing went wrong inside."""
        assert self._served.post(request(SPAN))[0] == 200
        assert self._served.export(request(SPAN)) == b""
        for name in ("otlp_http", "otlp_grpc"):
            assert not self._served.refused(name).get("internal"), "an error of ours; see the log"
        self._served.consumer.received.clear()
        self._served.consumer.sent.clear()

    def _export(self, signal: Signal, body: bytes) -> None:
        compression = self._random.choice((grpc.Compression.NoCompression, grpc.Compression.Gzip))
        try:
            self._channel.unary_unary(EXPORT[signal])(body, timeout=_TIMEOUT, compression=compression)
        except grpc.RpcError as error:
            if error.code() not in _CODES:
                raise

    def _raw(self, way: str, kind: str, signal: Signal, body: bytes) -> bytes:
        if way == "grpc bytes":
            frames = self._random.randbytes(self._random.randrange(1, 200))
            settings = b"\0\0\0\4\0\0\0\0\0"
            return self._mutator.damaged(_PREFACE + settings + frames) if self._random.random() < 0.9 else frames
        length = self._random.choice((len(body), len(body), 0, 1 << 40, len(body) + 1))
        head = f"POST {signal.value} HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        return self._mutator.damaged(head.encode()) + body


def _send(port: int, data: bytes) -> None:
    """Send bytes, look at what comes at once, and go."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
        connection.sendall(data)
        connection.recv(1000)
