# SPDX-License-Identifier: Apache-2.0
"""A simulated engine as a process: OTLP spans of the requests that it would have served until now, and its /metrics.

python -m agent.simulation.engine --name NAME --started-ns NS [--endpoint URL] [--parent PID] [--every SECONDS]
    [--faults]

Without --endpoint it waits for a line on standard input that says where to send. It ends when its parent does.
Exports that fail are tried again as the SDK does, and not spoken of: whoever receives them says what was missing.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from wsgiref.simple_server import WSGIServer

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from agent.clock import NS, SystemClock
from agent.simulation import deployments
from agent.simulation.batching import Batching, Finished, Step
from agent.simulation.deployment import Deployment
from agent.simulation.page import EngineMetrics
from agent.simulation.spans import SCOPE, emit, resource, times
from agent.simulation.workload import Workload

_TICK = 0.1
"""Seconds between two looks at what has finished; also how late the end of the parent is noticed."""
_FLUSH = 0.4
"""Seconds that the last spans get at the end."""
_VLLM_EVERY = 5.0
"""Seconds between two exports of a vLLM without settings: the SDK's default."""
_NO_PROXY = (("grpc.enable_http_proxy", 0),)


class Server:
    """The requests of a deployment that are done, in the order of their spans' ends, and the engine's own metrics."""

    def __init__(self, deployment: Deployment) -> None:
        """Begin at time 0."""
        self.metrics = EngineMetrics(deployment)
        self._done: deque[Finished] = deque()
        self._guard = threading.Lock()
        requests = Workload(deployment.traffic, deployment.seed)
        self._batching = Batching(deployment, requests, self._finish, self._stepped)

    def until(self, now: float) -> list[Finished]:
        """List what ended since the last call and until now, s since the start."""
        found: list[Finished] = []
        with self._guard:
            self._advance(now)
            while self._done and times(self._done[0]).end <= now:
                found.append(self._done.popleft())
        return found

    @contextmanager
    def stopped(self, now: float) -> Iterator[None]:
        """Hold the engine at this time, s since the start, in any thread."""
        with self._guard:
            self._advance(now)
            yield

    def begin_again(self, now: float) -> None:
        """Count from 0 from this time on, s since the start."""
        with self._guard:
            self._advance(now)
            self.metrics = self.metrics.again()

    def _advance(self, now: float) -> None:
        self._batching.advance(now)
        self.metrics.until(now)

    def _stepped(self, step: Step) -> None:
        self.metrics.stepped(step)

    def _finish(self, finished: Finished) -> None:
        self._done.append(finished)
        self.metrics.finished(finished)


def serve(deployment: Deployment, started: int, provider: TracerProvider, alive: Callable[[], bool]) -> None:
    """Send spans as requests end and show metrics on a free port, while `alive`. `started` is ns of CLOCK_MONOTONIC."""
    clock, server, tracer = SystemClock(), Server(deployment), provider.get_tracer(SCOPE)

    def now() -> float:
        return (clock.monotonic_ns() - started) / NS

    first = server.metrics.show(lambda: server.stopped(now()))
    page: WSGIServer | None = first
    port = first.server_port
    while alive():
        for finished in server.until(now()):
            emit(tracer, finished, clock.unix_ns(started))
        there = deployment.trouble.back(now()) <= now()
        if page and not there:
            page.shutdown()
            page.server_close()
            page = None
        elif there and not page:
            server.begin_again(now())
            page = server.metrics.show(lambda: server.stopped(now()), port)
        time.sleep(_TICK)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a process: see the module."""
    given = _arguments(argv)
    endpoint = given.endpoint or sys.stdin.readline().strip()
    if not endpoint:
        return 0  # Whoever was to say where has gone.
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stopped.append(number))
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    deployment = deployments(faults=given.faults)[given.name]
    provider = TracerProvider(resource=resource(deployment.name), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint, insecure=True, channel_options=_NO_PROXY)  # type: ignore[arg-type] # gRPC takes numbers, too
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=given.every * 1000))
    serve(deployment, given.started_ns, provider, lambda: not stopped and os.getppid() == given.parent)
    flush = threading.Thread(target=provider.force_flush, daemon=True)
    flush.start()
    flush.join(_FLUSH)
    # An export that hangs would hold up the interpreter's own end by seconds.
    os._exit(0)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="agent.simulation.engine")
    parser.add_argument("--name", required=True, choices=list(deployments()))
    parser.add_argument("--started-ns", required=True, type=int)
    parser.add_argument("--endpoint")
    parser.add_argument("--parent", type=int, default=os.getppid())
    parser.add_argument("--every", type=float, default=_VLLM_EVERY)
    parser.add_argument("--faults", action="store_true", help="let things go wrong, again and again")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
