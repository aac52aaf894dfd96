# SPDX-License-Identifier: Apache-2.0
"""Receivers on real sockets with a consumer that keeps what it gets, and clients for them."""

import asyncio
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from agent.config import Web
from agent.config_values import Address
from agent.otlp.protobuf import field
from agent.receivers.grpc import GrpcServer
from agent.receivers.http import HttpReceiver
from agent.receivers.otlp import Messages, OtlpReceiver, ReceivedTraces, Signal

FREE = Address("127.0.0.1:0")
PROTOBUF, JSON = "application/x-protobuf", "application/json"
RECORDINGS = Path(__file__).parents[1] / "fixtures" / "telemetry"
EXPORT = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
TRACE_ID, SPAN_ID = b"\1" * 16, b"\2" * 8
SPAN = field(1, TRACE_ID) + field(2, SPAN_ID) + field(5, b"chat")


def request(*spans: bytes) -> bytes:
    """Encode a trace request of one scope."""
    return field(1, field(2, b"".join(field(2, span) for span in spans)))


def recordings(signal: Signal) -> dict[str, bytes]:
    """Read what real engines sent, by file."""
    metrics = signal is Signal.METRICS
    found = {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for path in sorted(RECORDINGS.glob("*/*.pb"))
        if path.name.startswith("otlpmetrics") is metrics
    }
    assert found
    return found


class Kept:
    """A consumer that keeps everything, and has no room while `busy` is a number of seconds."""

    def __init__(self) -> None:
        self.busy: float | None = None
        self.error: Exception | None = None
        self.asked = 0
        self.received: list[ReceivedTraces] = []
        self.sent: list[Messages] = []

    def wait(self, size: int) -> float | None:
        assert size >= 0
        self.asked += 1
        return self.busy

    def traces(self, traces: ReceivedTraces) -> None:
        if self.error:
            raise self.error
        self.received.append(traces)

    def messages(self, messages: Messages) -> None:
        self.sent.append(messages)

    def spans(self) -> list[bytes]:
        """Give the spans as bytes."""
        return [placed.spans[placed.at] for traces in self.received for placed in traces.placed]


class Served(NamedTuple):
    """Both receivers, running."""

    consumer: Kept
    receiver: OtlpReceiver
    grpc: GrpcServer
    http: HttpReceiver

    def refused(self, name: str) -> dict[str, int]:
        """Count the requests a receiver refused, by reason."""
        found: dict[str, int] = {}
        for (receiver, _, outcome, reason), number in self.receiver.counts().items():
            if receiver == name and outcome == "refused_requests":
                found[str(reason)] = found.get(str(reason), 0) + number
        return found

    def accepted(self) -> int:
        """Count the items accepted."""
        return sum(n for (_, _, outcome, _), n in self.receiver.counts().items() if outcome == "accepted")

    def post(
        self, body: bytes, path: str = "/v1/traces", kind: str = PROTOBUF, method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"content-type": kind, **named})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def export(self, body: bytes, signal: Signal = Signal.TRACES, **options: Any) -> bytes:
        """Make one gRPC call. Raises grpc.RpcError."""
        with channel(self.grpc.port) as open_channel:
            answer = open_channel.unary_unary(EXPORT[signal])(body, timeout=30, **options)
        assert isinstance(answer, bytes)
        return answer


def channel(port: int) -> Any:
    """Open a channel of its own connection, which sends whatever it is told."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=options)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def serving(
    *,
    most_bytes: int = 4 << 20,
    token: str | None = None,
    security: Web | None = None,
    patience: float = 30.0,
    consumer: Any = None,
) -> Iterator[Served]:
    """Run both receivers until the end of the block."""
    kept = Kept() if consumer is None else consumer
    receiver = OtlpReceiver(kept, most_bytes, threading.Lock)
    web = security or Web()
    served = Served(
        kept,
        receiver,
        GrpcServer(receiver, FREE, web, token, patience=patience),
        HttpReceiver(receiver, FREE, web, token, patience=patience),
    )
    with loop_thread() as run:
        for server in (served.grpc, served.http):
            run(server.start())
        try:
            yield served
        finally:
            for server in (served.grpc, served.http):
                run(server.stop())


@contextmanager
def loop_thread() -> Iterator[Any]:
    """Run an event loop in a thread; gives what runs a coroutine there and waits for it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, loop)
        return future.result(30)

    try:
        yield run
    finally:
        run(_cancel_rest())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_rest() -> None:
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
