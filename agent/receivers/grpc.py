# SPDX-License-Identifier: Apache-2.0
"""OTLP over gRPC: traces, metrics and logs, as bytes.

A synchronous server with raw handlers took twice as many requests a second as grpc.aio. A message stays in HTTP/2's
flow control until a thread takes it, so that memory is bounded by threads and size.
"""

import asyncio
import hmac
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from agent.config import Address, Web
from agent.errors import ConfigError
from agent.receivers.otlp import OtlpReceiver, Refusal, Refused, Signal
from agent.spans import Peer

LOG = logging.getLogger("joulespan.otlp_grpc")
NAME = "otlp_grpc"

_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}
_CODES = {
    Refusal.MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    Refusal.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
    Refusal.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Refusal.BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Refusal.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
}
_THREADS = 4
_MAX_METADATA = 16 << 10
_GRACE = 0.5


class GrpcServer:
    """Listens from the moment it is made, so that a taken port is an error at start."""

    def __init__(self, receiver: OtlpReceiver, address: Address, security: Web, token: str | None) -> None:
        """Bind `address`. Raises ConfigError."""
        self._receiver = receiver
        self._token = token
        self._failing: set[str] = set()
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, "otlp_grpc"),
            handlers=tuple(self._handler(signal) for signal in Signal),
            options=[
                # Else two receivers on one port would share the traffic, and neither would say so.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", receiver.most_bytes),
                ("grpc.max_metadata_size", _MAX_METADATA),
            ],
        )
        self.port = self._bind(address, security)
        self._address = f"{address.rpartition(':')[0]}:{self.port}"

    async def start(self) -> None:
        """Serve from now on."""
        self._server.start()
        LOG.info("otlp_grpc: taking OTLP on %s", self._address)

    async def stop(self) -> None:
        """Let the requests under way end, within half a second."""
        await asyncio.to_thread(self._server.stop(_GRACE).wait)

    def _bind(self, address: Address, security: Web) -> int:
        try:
            if security.certificate:
                return int(self._server.add_secure_port(address, _credentials(security)))
            return int(self._server.add_insecure_port(address))
        except OSError as error:
            message = f"receivers.otlp.security: a file cannot be read: {error}"
            raise ConfigError(message) from error
        except RuntimeError as error:
            message = (
                f"receivers.otlp.grpc: {address} cannot be had; is a collector or another agent running? "
                'Set another address, or "" to switch it off'
            )
            raise ConfigError(message) from error

    def _handler(self, signal: Signal) -> grpc.GenericRpcHandler:
        export = grpc.unary_unary_rpc_method_handler(partial(self._export, signal))
        return grpc.method_handlers_generic_handler(_SERVICES[signal], {"Export": export})

    def _export(self, signal: Signal, body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            self._authenticate(context)
            return self._receiver.take(NAME, signal, body, _peer(context.peer(), self.port))
        except Refused as refused:
            self._receiver.refuse(NAME, signal, refused)
            _refuse(context, refused)
        except Exception as error:
            if repr(error) not in self._failing:
                self._failing.add(repr(error))
                LOG.exception("otlp_grpc: a request could not be dealt with")
            context.abort(grpc.StatusCode.INTERNAL, "joulespan failed; its log says why")
        raise AssertionError  # abort() raises.

    def _authenticate(self, context: grpc.ServicerContext) -> None:
        if self._token is None:
            return
        told = dict(context.invocation_metadata()).get("authorization", "")
        if not hmac.compare_digest(str(told).encode(), b"Bearer " + self._token.encode()):
            raise Refused(Refusal.UNAUTHENTICATED, "no valid bearer token")


def _refuse(context: grpc.ServicerContext, refused: Refused) -> None:
    """Answer as the OTLP specification asks: what may be tried again says so by RetryInfo."""
    code = _CODES[refused.refusal]
    if refused.retry is not None:
        delay = Duration()
        delay.FromMilliseconds(int(refused.retry * 1000))
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=delay))
        status = Status(code=code.value[0], message=refused.message, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, refused.message)


def _peer(text: str, local_port: int) -> Peer | None:
    """Read gRPC's name of a peer, as in ipv4:127.0.0.1:40000 and ipv6:%5B::1%5D:40000."""
    family, _, rest = unquote(text).partition(":")
    host, _, port = rest.rpartition(":")
    if family not in ("ipv4", "ipv6") or not port.isdigit():
        return None
    return Peer(host.strip("[]"), int(port), local_port)


def _credentials(security: Web) -> grpc.ServerCredentials:
    pair = (Path(security.key).read_bytes(), Path(security.certificate).read_bytes())
    client_ca = Path(security.client_ca).read_bytes() if security.client_ca else None
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)
