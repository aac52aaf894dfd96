# SPDX-License-Identifier: Apache-2.0
"""Takes OTLP over gRPC: the Export methods of the trace, metrics and logs services, as bytes.

A synchronous server with raw handlers took twice as many requests a second as grpc.aio. gRPC itself uncompresses,
and bounds what comes out (from grpcio 1.84 on). A message waits in HTTP/2's flow control, 16 KiB of it here and the
rest at its sender, until a thread takes it. So memory is bounded: by what the threads hold, each up to three copies of
the largest message while gRPC puts it together.
"""

import asyncio
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import grpc

from agent.config import Web
from agent.config_values import Address
from agent.errors import ConfigError
from agent.receivers.otlp import OtlpReceiver, Refusal, Refused, Signal
from agent.receivers.status import authorize, retry_info, status
from agent.spans import Peer
from agent.system.http_server import Place, listen
from agent.system.memory import give_back

LOG = logging.getLogger("joulespan.otlp_grpc")
NAME = "otlp_grpc"

_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}
_PLACE = Place(
    "receivers.otlp.grpc",
    "receivers.otlp.security",
    LOG,
    'is a collector running? set another address, or "" to switch it off',
)
_THREADS = 4
_CONNECTIONS = 64
_STREAMS = 100
"""Requests that one connection may send at a time. With fewer, clients that begin with more get errors."""
_WINDOW = 16 << 10
"""Bytes of a message that gRPC takes in before a thread does; it would let the window grow to 8 MiB by itself."""
_METADATA = 16 << 10
_PING = 10_000
"""ms: clients that ping more often than this are closed. Exporters ping every 10 s at the most."""
_PATIENCE = 10.0
"""Seconds for a message to come, once a thread waits for it. Exporters give up after 10 s by default."""
_LOOK = 0.5
_GRACE = 0.5
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class _Ending(NamedTuple):
    """A status to end a call with: what gRPC takes for one."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


class GrpcServer:
    """The server. It listens from the moment it is made, so that a taken port is an error at start."""

    def __init__(
        self,
        receiver: OtlpReceiver,
        address: Address,
        security: Web,
        token: str | None = None,
        *,
        patience: float = _PATIENCE,
    ) -> None:
        """Bind `address`. With a token, requests must bring it. `patience` is in seconds. Raises ConfigError."""
        self._receiver = receiver
        self._token = token
        self._patience = _Patience(patience)
        self._watch: asyncio.Task[None] | None = None
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, NAME),
            handlers=tuple(self._handler(signal) for signal in Signal),
            options=_options(receiver.most_bytes),
        )
        self.port = self._bind(address, security)
        self._address = f"{address.rpartition(':')[0]}:{self.port}"

    async def start(self) -> None:
        """Serve from now on."""
        self._server.start()
        self._watch = asyncio.get_running_loop().create_task(self._patience.run())
        LOG.info("listening on %s", self._address)

    async def stop(self) -> None:
        """Let the requests under way end, within about a second."""
        if self._watch:
            self._watch.cancel()
        await asyncio.to_thread(self._server.stop(_GRACE).wait, 2 * _GRACE)

    def _bind(self, address: Address, security: Web) -> int:
        credentials = _credentials(security) if security.certificate else None
        # gRPC does not say why it cannot have an address.
        listen(address, _PLACE).close()
        try:
            if credentials is not None:
                return int(self._server.add_secure_port(address, credentials))
            return int(self._server.add_insecure_port(address))
        except RuntimeError as error:
            message = f"{_PLACE.address}: {address} cannot be had; {_PLACE.advice}"
            raise ConfigError(message) from error

    def _handler(self, signal: Signal) -> Any:
        # As a stream of one message, which is the same on the wire: a handler of a single message is called when it is
        # there, and nothing would end the wait for one that never comes.
        export = grpc.stream_unary_rpc_method_handler(partial(self._export, signal))
        return grpc.method_handlers_generic_handler(_SERVICES[signal], {"Export": export})

    def _export(self, signal: Signal, messages: Iterator[bytes], context: Any) -> bytes:
        try:
            authorize(_given(context), self._token)
            return self._take(signal, messages, context)
        except grpc.RpcError:
            # The call is over: cancelled, late, or its message was too large for gRPC.
            self._receiver.refuse(NAME, signal, Refused(Refusal.INCOMPLETE, "the message did not come"))
            raise
        # The errors themselves are not kept: they hold the message, and whoever holds them makes a circle.
        except Refused as refused:
            self._receiver.refuse(NAME, signal, refused)
            ending = _ending(refused)
        except Exception as error:  # noqa: BLE001 - one request must not end another
            ending = _ending(self._receiver.failed(NAME, signal, error))
        context.abort_with_status(ending)
        raise AssertionError  # It has raised.

    def _take(self, signal: Signal, messages: Iterator[bytes], context: Any) -> bytes:
        body = self._read(messages, context)
        size = len(body)
        try:
            return self._receiver.take(NAME, signal, body, _peer(context.peer(), self.port))
        finally:
            del body
            give_back(size)

    def _read(self, messages: Iterator[bytes], context: Any) -> bytes:
        with self._patience.limit(context.cancel):
            for message in messages:
                return message
        # What is cancelled may look like this too, depending on which of the two is heard of first.
        raise Refused(Refusal.INCOMPLETE, "a call without a message")


class _Patience:
    """Ends waits that take too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._guard = threading.Lock()
        self._waits: dict[object, tuple[float, Callable[[], object]]] = {}

    def limit(self, end: Callable[[], object]) -> "_Wait":
        """Call `end` when the block takes too long."""
        return _Wait(self, end)

    def begin(self, wait: object, end: Callable[[], object]) -> None:
        with self._guard:
            self._waits[wait] = time.monotonic() + self._seconds, end

    def over(self, wait: object) -> None:
        with self._guard:
            self._waits.pop(wait, None)

    async def run(self) -> None:
        """Look at the waits from time to time."""
        while True:
            await asyncio.sleep(min(_LOOK, self._seconds))
            now = time.monotonic()
            with self._guard:
                late = [end for until, end in self._waits.values() if until < now]
            for end in late:
                end()


class _Wait:
    def __init__(self, patience: _Patience, end: Callable[[], object]) -> None:
        self._patience = patience
        self._end = end

    def __enter__(self) -> None:
        self._patience.begin(self, self._end)

    def __exit__(self, *_: object) -> None:
        self._patience.over(self)


def _options(most_bytes: int) -> list[tuple[str, int]]:
    return [
        # Otherwise two receivers on one port would share the traffic, and neither would say so.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", most_bytes),
        ("grpc.max_metadata_size", _METADATA),
        ("grpc.absolute_max_metadata_size", _METADATA),
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_allowed_incoming_connections", _CONNECTIONS),
        ("grpc.http2.lookahead_bytes", _WINDOW),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _given(context: Any) -> bytes:
    told = dict(context.invocation_metadata()).get("authorization", "")
    return told if isinstance(told, bytes) else str(told).encode()


def _ending(refused: Refused) -> _Ending:
    told = status(refused)
    trailing = [("grpc-status-details-bin", told.SerializeToString())]
    if refused.retry is not None:
        # Where OpenTelemetry's exporter for Python looks.
        trailing.append(("google.rpc.retryinfo-bin", retry_info(refused.retry).SerializeToString()))
    return _Ending(_CODES[told.code], told.message, tuple(trailing))


def _peer(text: str, local_port: int) -> Peer | None:
    """Read gRPC's name of a peer, as in ipv4:127.0.0.1:40000 and ipv6:%5B::1%5D:40000."""
    family, _, rest = unquote(text).partition(":")
    host, _, port = rest.rpartition(":")
    if family not in ("ipv4", "ipv6") or not port.isdigit():
        return None
    return Peer(host.strip("[]"), int(port), local_port)


def _credentials(security: Web) -> Any:
    """Read the files, which gRPC would refuse without saying why. Raises ConfigError."""
    try:
        checked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        checked.load_cert_chain(security.certificate, security.key)
        if security.client_ca:
            checked.load_verify_locations(security.client_ca)
        pair = (Path(security.key).read_bytes(), Path(security.certificate).read_bytes())
        client_ca = Path(security.client_ca).read_bytes() if security.client_ca else None
    except (OSError, ssl.SSLError) as error:
        message = f"{_PLACE.security}: certificate, key or client_ca cannot be used: {error}"
        raise ConfigError(message) from error
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)
