# SPDX-License-Identifier: Apache-2.0
"""Takes OTLP over HTTP: POST /v1/traces, /v1/metrics and /v1/logs, as protobuf or JSON, plain or compressed.

https://opentelemetry.io/docs/specs/otlp/#otlphttp. Bodies are read on the event loop and decoded in two threads.
"""

import asyncio
import logging
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2

from agent.config import Web
from agent.config_values import Address
from agent.otlp.json_form import to_json, to_protobuf
from agent.otlp.protobuf import Malformed
from agent.receivers.compression import decompress
from agent.receivers.otlp import OtlpReceiver, Refusal, Refused, Signal
from agent.receivers.status import authorize, status
from agent.spans import Peer
from agent.system.http_server import HttpServer, Place
from agent.system.memory import give_back

NAME = "otlp_http"

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

_PLACE = Place(
    "receivers.otlp.http",
    "receivers.otlp.security",
    logging.getLogger("joulespan.otlp_http"),
    'is a collector running? set another address, or "" to switch it off',
)
_THREADS = 2
_PATIENCE = 30.0
"""Seconds for a body to come."""
_BODIES = 2
"""Bodies of the largest size that may wait at the same time, or their like in smaller ones."""
_JSON_SHARE = 8
"""JSON may be an eighth of what protobuf may: its text can take four bytes a character once decoded, and is copied."""
_BUSY = 1.0
"""Seconds after which to try again, when too many send at once."""
_STATUS: Mapping[Refusal, int] = {
    Refusal.MALFORMED: 400,
    Refusal.TOO_LARGE: 413,
    Refusal.BUSY: 429,
    Refusal.UNSUPPORTED: 415,
    Refusal.UNAUTHENTICATED: 401,
    Refusal.INCOMPLETE: 408,
    Refusal.CROSS_SITE: 403,
    Refusal.INTERNAL: 500,
}
_PATHS: Mapping[str, Signal] = {signal.value: signal for signal in Signal}
_KINDS: Mapping[Signal, tuple[type[Message], type[Message]]] = {
    Signal.TRACES: (trace_pb2.ExportTraceServiceRequest, trace_pb2.ExportTraceServiceResponse),
    Signal.METRICS: (metrics_pb2.ExportMetricsServiceRequest, metrics_pb2.ExportMetricsServiceResponse),
    Signal.LOGS: (logs_pb2.ExportLogsServiceRequest, logs_pb2.ExportLogsServiceResponse),
}
"""The messages that ask and that answer."""


class Form(Enum):
    """What a body is written in. The value is its content type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


class _Answer(NamedTuple):
    status: int
    body: bytes
    form: Form
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _Body:
    """A body on its way in, and how much of the room for all of them it takes."""

    def __init__(self) -> None:
        # It gives its bytes without a copy, which a list of chunks would not.
        self.read = BytesIO()
        self.size = 0


class HttpReceiver:
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
        self._patience = patience
        self._waiting = 0
        self._one_json = threading.Lock()
        self._server = HttpServer(self, address, security, _PLACE, patience=patience)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=NAME)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where it is."""
        return self._server.url

    async def start(self) -> None:
        """Serve from now on."""
        await self._server.start()

    async def stop(self) -> None:
        """Stop within about a second."""
        await self._server.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request: the ASGI interface."""
        headers = dict(scope["headers"])
        signal = _PATHS.get(scope["path"])
        form = _form(headers)
        answer: _Answer | None
        if signal is None:
            answer = _other(404, code_pb2.NOT_FOUND, f"there is {', '.join(_PATHS)}", form)
        elif scope["method"] != "POST":
            self._receiver.refuse(NAME, signal, Refused(Refusal.UNSUPPORTED, ""))
            answer = _other(405, code_pb2.UNIMPLEMENTED, "only POST", form)._replace(headers=((b"allow", b"POST"),))
        else:
            answer = await self._answer(signal, form, headers, scope, receive)
        if answer is not None:
            await _send(answer, send)

    async def _answer(
        self,
        signal: Signal,
        form: Form | None,
        headers: Mapping[bytes, bytes],
        scope: Mapping[str, Any],
        receive: Receive,
    ) -> _Answer | None:
        """Take a request; give None when its sender is gone."""
        body = _Body()
        try:
            read = self._check(form, headers)
            await self._read(body, receive)
            return await self._decoded(signal, read, headers, scope, body)
        except _Gone as refused:
            self._receiver.refuse(NAME, signal, refused)
            return None
        except Refused as refused:
            self._receiver.refuse(NAME, signal, refused)
            return _refusal(refused, form)
        except Exception as error:  # noqa: BLE001 - one request must not end another
            return _refusal(self._receiver.failed(NAME, signal, error), form)
        finally:
            self._waiting -= body.size

    def _check(self, form: Form | None, headers: Mapping[bytes, bytes]) -> Form:
        """Refuse what can be refused before it is read."""
        # Browsers name the page that sends; no exporter of a service does. A page that a person here happens to look
        # at could write telemetry otherwise, in the simple requests that browsers make without asking.
        if b"origin" in headers:
            raise Refused(Refusal.CROSS_SITE, "requests of web pages are not taken")
        authorize(headers.get(b"authorization", b""), self._token)
        if form is None:
            raise Refused(Refusal.UNSUPPORTED, f"content-type must be {' or '.join(one.value for one in Form)}")
        self._receiver.admit(int(headers.get(b"content-length", b"0")))
        return form

    async def _read(self, body: _Body, receive: Receive) -> None:
        try:
            async with asyncio.timeout(self._patience):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    self._add(body, message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise Refused(Refusal.INCOMPLETE, f"the body did not come in {self._patience:g} s") from error

    def _add(self, body: _Body, chunk: bytes) -> None:
        body.size += len(chunk)
        self._waiting += len(chunk)
        if body.size > self._receiver.most_bytes:
            raise Refused(Refusal.TOO_LARGE, f"a request of more than {self._receiver.most_bytes} bytes")
        if self._waiting > self._receiver.most_bytes * _BODIES:
            raise Refused(Refusal.BUSY, "too many send at once; send it again later", _BUSY)
        body.read.write(chunk)

    async def _decoded(
        self, signal: Signal, form: Form, headers: Mapping[bytes, bytes], scope: Mapping[str, Any], body: _Body
    ) -> _Answer:
        encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
        client = scope["client"]
        peer = Peer(client[0], client[1], self.port) if client else None
        work = partial(self._work, signal, form, encoding, body, peer)
        return _Answer(200, await asyncio.get_running_loop().run_in_executor(self._threads, work), form)

    def _work(self, signal: Signal, form: Form, encoding: str, body: _Body, peer: Peer | None) -> bytes:
        try:
            return self._take(signal, form, encoding, body, peer)
        finally:
            give_back(body.size)

    def _take(self, signal: Signal, form: Form, encoding: str, body: _Body, peer: Peer | None) -> bytes:
        packed = body.read.getvalue()
        body.read.close()
        asked, answered = _KINDS[signal]
        try:
            plain = decompress(packed, encoding, self._receiver.most_bytes)
            del packed
            if form is Form.PROTOBUF:
                return self._receiver.take(NAME, signal, plain, peer)
            if len(plain) > (most := self._receiver.most_bytes // _JSON_SHARE):
                raise Refused(Refusal.TOO_LARGE, f"more than {most} bytes of JSON")
            with self._one_json:
                plain = to_protobuf(asked, plain)
        except Malformed as error:
            raise Refused(Refusal.MALFORMED, f"this request cannot be decoded: {error}") from error
        return to_json(answered.FromString(self._receiver.take(NAME, signal, plain, peer)))


class _Gone(Refused):
    """The sender has closed the connection."""

    def __init__(self) -> None:
        super().__init__(Refusal.INCOMPLETE, "the sender is gone")


def _form(headers: Mapping[bytes, bytes]) -> Form | None:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    return next((form for form in Form if form.value == kind), None)


def _refusal(refused: Refused, form: Form | None) -> _Answer:
    headers = []
    if refused.retry is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(refused.retry))).encode()))
    if refused.refusal is Refusal.UNAUTHENTICATED:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.refusal is Refusal.INCOMPLETE:
        headers.append((b"connection", b"close"))
    found = _told(_STATUS[refused.refusal], status(refused), form)
    return found._replace(headers=tuple(headers))


def _other(number: int, code: int, message: str, form: Form | None) -> _Answer:
    return _told(number, Status(code=code, message=message), form)


def _told(number: int, told: Status, form: Form | None) -> _Answer:
    """Answer in the form of the request, and in JSON where that is neither: people can read it."""
    if form is Form.PROTOBUF:
        return _Answer(number, bytes(told.SerializeToString()), form)
    return _Answer(number, to_json(told), Form.JSON)


async def _send(answer: _Answer, send: Send) -> None:
    headers = [
        (b"content-type", answer.form.value.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
