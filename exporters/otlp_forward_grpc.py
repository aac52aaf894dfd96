# SPDX-License-Identifier: Apache-2.0
"""OTLP over gRPC, of requests that are encoded already."""

import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from agent.version import VERSION
from exporters.otlp_answer import Outcome, Verdict, accepted, line
from exporters.otlp_settings import Signal, Target

_METHODS: dict[Signal, str] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RETRYABLE = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
"""Codes after which the OTLP specification has a client try again. RESOURCE_EXHAUSTED is one only with a RetryInfo."""
_BARRING = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "NOT_FOUND"})
_RECONNECT_MS = 500
_OPTIONS = (
    ("grpc.primary_user_agent", f"joulespan/{VERSION}"),
    ("grpc.max_send_message_length", -1),
    # How long to wait between tries is decided by who sends; a channel's own back-off grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
    ("grpc.use_local_subchannel_pool", 1),
)


class GrpcBackend:
    """A server of OTLP over gRPC."""

    def __init__(self, target: Target, signal: Signal) -> None:
        """Prepare to send; nothing is connected yet."""
        self._target = target
        self._signal = signal
        self._credentials = None if target.insecure else _credentials(target)
        self._headers = tuple(target.headers.items())
        self._changing = threading.Lock()
        self._closed = False
        self._open()

    def send(self, body: bytes) -> Outcome:
        """Send, and wait for the answer, at most for the timeout. From one thread only."""
        try:
            answer = self._call(body, timeout=self._target.timeout, metadata=self._headers)
        except grpc.RpcError as error:
            outcome = _failed(error)
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self._reopen()
            return outcome
        return accepted(self._signal, answer)

    def close(self) -> None:
        """Give up what is in flight, from any thread."""
        with self._changing:
            self._closed = True
            self._channel.close()

    def _open(self) -> None:
        place = urlsplit(self._target.url).netloc or self._target.url
        compression = grpc.Compression.Gzip if self._target.gzip else grpc.Compression.NoCompression
        if self._credentials is None:
            self._channel = grpc.insecure_channel(place, _OPTIONS, compression)
        else:
            self._channel = grpc.secure_channel(place, self._credentials, _OPTIONS, compression)
        self._call: Callable[..., bytes] = self._channel.unary_unary(_METHODS[self._signal])

    def _reopen(self) -> None:
        """Connect anew: a connection that a router has forgotten stays silent for many minutes before it fails."""
        with self._changing:
            if not self._closed:
                self._channel.close()
                self._open()


def _failed(error: grpc.RpcError) -> Outcome:
    name = error.code().name
    cause = line(f"{name}: {error.details()}")
    pause = _retry_delay(error)
    if name in _RETRYABLE or (name == "RESOURCE_EXHAUSTED" and pause is not None):
        return Outcome(Verdict.AWAY, cause, pause)
    return Outcome(Verdict.BARRED if name in _BARRING else Verdict.REFUSED, cause)


def _retry_delay(error: grpc.RpcError) -> float | None:
    """Find the RetryInfo in the details of an error, in seconds."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return _retry_info(value)
    return None


def _retry_info(details: bytes) -> float | None:
    info = RetryInfo()
    try:
        if any(detail.Unpack(info) for detail in Status.FromString(details).details):
            return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    except DecodeError:
        pass
    return None


def _credentials(target: Target) -> grpc.ChannelCredentials:
    files = (target.certificate, target.client_key, target.client_certificate)
    return grpc.ssl_channel_credentials(*(Path(one).read_bytes() if one else None for one in files))
