# SPDX-License-Identifier: Apache-2.0
"""The receiving half of the agent, put together: receivers, pipeline, and what sends on."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec

from agent.catalogue import own, requests
from agent.catalogue.owners import ENGINE_OWNER
from agent.clock import NS, Clock
from agent.commands.dividing import Dividing
from agent.config import Config, ForwardExporter, OtlpExporter
from agent.dialects.reading import Reader
from agent.entities import Queue, Receiver, ReceiverRefusal
from agent.errors import ConfigError
from agent.metric import Counter, Distribution, Sample
from agent.owner_entities import EngineOwner
from agent.pipeline import Onward, Pipeline
from agent.processors.clues import Clues
from agent.processors.owner_lookup import OwnerLookup
from agent.processors.request_metrics import RequestMetrics
from agent.processors.topology import Topology, gpus_of, holders_of
from agent.receivers.kept import KeptMetrics
from agent.receivers.otlp import Consumer, Messages, OtlpReceiver, Signal
from agent.request_entities import EngineGpu
from agent.requests import Request
from agent.scraping.collector import Served
from agent.scraping.search import Feeds
from agent.service import Server
from agent.snapshot import Snapshot, Snapshots
from agent.system import state
from agent.system.machine import LocalMachine
from agent.timeline import Timeline
from exporters.otlp_forward import OtlpForward
from exporters.otlp_settings import OtlpSettings, enabled, target
from exporters.spool import Spool

if TYPE_CHECKING:
    from agent.recording.recorder import Recorder

# numpy's linear algebra, which nothing here uses, would start a thread for every core when it is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

PROCESSES = "gpu_processes"
"""The collector that reads who holds memory of GPUs."""
_GRACE = 1.0
"""Seconds that spans on their way get at the end: to be joined, and again to be sent."""
_REBALANCE = 600 * NS
"""Time between two decisions on which tenants, models and engines are named."""
_SOURCES = ("config", "attribute", "pid", "socket", "process", "container", "pod", "unknown")
"""How the GPUs of an engine can be known, the surest first."""
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_COUNTERS: Mapping[Signal, Counter[Receiver]] = {
    Signal.TRACES: own.RECEIVER_SPANS,
    Signal.METRICS: own.RECEIVER_POINTS,
    Signal.LOGS: own.RECEIVER_LOG_RECORDS,
}


class Receiving:
    """Everything that OTLP which comes in goes through. Starts and stops like a server."""

    def __init__(
        self,
        config: Config,
        snapshots: Snapshots,
        timeline: Timeline,
        clock: Clock,
        token: str | None,
        told: Callable[[Request], Request] = lambda request: request,
        *,
        demo: bool = False,
        recorder: "Recorder | None" = None,
    ) -> None:
        """Bind the receivers' addresses. `told` adds to requests what others than spans tell. Raises ConfigError.

        Nothing that is learnt of a `demo` is kept. What comes in goes to `recorder` too.
        """
        self._clock = clock
        self._forwards = _forwards(config, clock, demo=demo)
        self._kept = KeptMetrics(threading.Lock())
        limits = config.requests
        self._owners = (
            OwnerLookup(lambda: snapshots.current, config.owners.labels) if config.collectors.owners.enabled else None
        )
        self._topology = Topology(
            config.engines,
            LocalMachine(),
            lambda: holders_of(snapshots.current),
            lambda: gpus_of(snapshots.current),
            self._owners,
        )
        self._metrics = RequestMetrics(
            limits.max_engines,
            limits.max_models,
            limits.max_tenants,
            owners=config.owners.max,
            guard=threading.Lock(),
        )
        self._rebalanced = clock.monotonic_ns()
        self._dividing = Dividing(config, snapshots, timeline, self._metrics, clock, keep=not demo)
        forwards = {signal.name.lower(): forward for signal, forward in self._forwards.items()}
        self._pipeline = Pipeline(
            Reader(limits.tenant_attributes, told),
            self._topology,
            self._metrics,
            timeline,
            clock,
            attribution=self._dividing.make,
            onward=Onward(forwards.get("traces"), forwards.get("metrics"), forwards.get("logs"), self._keep),
            capacity=config.receivers.otlp.queue,
        )
        self._recorder = recorder
        consumer = _recorded(self._pipeline, recorder, snapshots)
        self._receiver = OtlpReceiver(consumer, config.receivers.otlp.max_message, threading.Lock)
        self.engines: Callable[[], Mapping[str, Served]] = dict
        """Gives the engines that are scraped, by name."""
        self.switches: Callable[[Any], bool] = lambda _: False
        """Takes in metrics of switches; returns whether all that a request has are theirs."""
        self.feeds = Feeds(
            lambda: holders_of(_processes(snapshots.current)),
            lambda: gpus_of(snapshots.current),
            self._topology.senders,
            lambda: self._topology.news,
            lambda: {os.getpid()},
        )
        self.grpc: str | None = None
        """Address of the gRPC receiver, HOST:PORT."""
        self._servers = self._bound(config, token)

    async def start(self) -> None:
        """Serve from now on."""
        for forward in self._forwards.values():
            forward.start()
        self._pipeline.start()
        for server in self._servers:
            await server.start()

    async def stop(self) -> None:
        """Take nothing more, then send on what is here, within about three seconds."""
        await asyncio.gather(*(server.stop() for server in self._servers))
        await asyncio.to_thread(self._pipeline.stop, _GRACE)
        await asyncio.to_thread(self._dividing.keep)
        await asyncio.gather(*(asyncio.to_thread(forward.stop, _GRACE) for forward in self._forwards.values()))

    def request_samples(self) -> Iterator[Sample | Distribution]:
        """Say how the requests went, and which engines run where."""
        now = self._clock.monotonic_ns()
        if now - self._rebalanced > _REBALANCE:
            self._rebalanced = now
            self._metrics.rebalance()
        self._dividing.tick()
        yield from self._pipeline.samples()
        yield own.QUEUE_DROPPED(Queue("placements"), self._topology.forgotten)
        # One series for an engine on a GPU, however many of its processes tell of it in different ways.
        served: dict[tuple[str, str], str] = {}
        whose: dict[tuple[str, str], None] = {}
        for placement in self._topology.placements(now):
            if placement.owner:
                whose[placement.engine, placement.owner.key] = None
            for gpu in placement.gpus:
                known, source = (placement.engine, gpu.id), placement.source or "unknown"
                served[known] = min(source, served.get(known, source), key=_SOURCES.index)
        for engine, one in self.engines().items():
            if self._owners and (owner := self._owners.of(one.gpus, Clues())):
                whose[engine, owner.key] = None
            for gpu in one.gpus:
                known = (engine, gpu.id)
                served[known] = min("process", served.get(known, "process"), key=_SOURCES.index)
        for (engine, uuid), source in sorted(served.items()):
            yield requests.ENGINE_GPU(EngineGpu(engine, uuid, source), 1)
        for engine, key in whose:
            yield ENGINE_OWNER(EngineOwner(engine, key), 1)

    def samples(self) -> Iterator[Sample]:
        """Say what came in and what became of it."""
        for (receiver, signal, outcome, reason), number in self._receiver.counts().items():
            if outcome == "refused_requests":
                yield own.RECEIVER_REFUSALS(ReceiverRefusal(receiver, signal.name.lower(), reason or ""), number)
            else:
                yield _COUNTERS[signal](Receiver(receiver, outcome, reason), number)
        for (receiver, signal), number in self._pipeline.ended().items():
            yield _COUNTERS[signal](Receiver(receiver, "not_forwarded"), number)
        for signal, forward in self._forwards.items():
            yield from forward.samples()
            for (receiver, outcome, reason), number in forward.tally().items():
                yield _COUNTERS[signal](Receiver(receiver, outcome, reason), number)
        yield from self._dividing.samples()
        if self._recorder is not None:
            yield from self._recorder.samples()
        yield own.QUEUE_FILL(Queue("received_metrics"), self._kept.fill)
        yield own.QUEUE_DROPPED(Queue("received_metrics"), self._kept.dropped)

    def _bound(self, config: Config, token: str | None) -> list[Server]:
        otlp = config.receivers.otlp
        found: list[Server] = []
        if otlp.grpc:
            from agent.receivers.grpc import GrpcServer  # noqa: PLC0415 - only what is switched on

            grpc = GrpcServer(self._receiver, otlp.grpc, otlp.security, token)
            self.grpc = f"{otlp.grpc.rpartition(':')[0]}:{grpc.port}"
            found.append(grpc)
        if otlp.http:
            from agent.receivers.http import HttpReceiver  # noqa: PLC0415 - as above

            found.append(HttpReceiver(self._receiver, otlp.http, otlp.security, token))
        return found

    def _keep(self, messages: Messages) -> None:
        if not self.switches(messages.decoded):
            self._kept.put(messages.decoded, self._clock.monotonic_ns())


def _processes(snapshot: Snapshot) -> Snapshot:
    """Leave of a snapshot what is said of processes: it is looked at each second."""
    return Snapshot({source: batch for source, batch in snapshot.batches.items() if source.collector == PROCESSES})


def _recorded(consumer: Consumer, recorder: "Recorder | None", snapshots: Snapshots) -> Consumer:
    if recorder is None:
        return consumer
    from agent.recording.recorder import RecordedConsumer  # noqa: PLC0415 - only who records

    recorder.snapshot = lambda: snapshots.current
    return RecordedConsumer(consumer, recorder)


def _forwards(config: Config, clock: Clock, *, demo: bool) -> dict[Signal, OtlpForward]:
    """Make what sends on, of each signal that has somewhere to go, and keeps what waits. Raises ConfigError."""
    found: dict[Signal, OtlpForward] = {}
    for signal, name, section in (
        (Signal.TRACES, "traces", config.exporters.traces),
        (Signal.LOGS, "logs", config.exporters.logs),
    ):
        _add(found, signal, otlp_settings(section, name), section.queue, config, clock, demo=demo)
    push = otlp_settings(config.exporters.otlp, "otlp")
    _add(found, Signal.METRICS, push, config.exporters.traces.queue, config, clock, demo=demo)
    return found


def _add(
    found: dict[Signal, OtlpForward],
    signal: Signal,
    settings: OtlpSettings,
    capacity: int,
    config: Config,
    clock: Clock,
    *,
    demo: bool,
) -> None:
    name: Literal["traces", "metrics", "logs"] = signal.name.lower()  # type: ignore[assignment]
    if not enabled(settings.endpoint, os.environ, name):
        return
    to = urlsplit(target(settings, os.environ, name).url)
    otlp = config.receivers.otlp
    if to.hostname in _HERE and to.port in {one.port for one in (otlp.grpc, otlp.http) if one}:
        message = f"{settings.key}: {to.netloc} is this agent's own receiver; name what comes after it"
        raise ConfigError(message)
    spool = spool_of(name, config, demo=demo)
    found[signal] = OtlpForward(name, settings, clock, capacity=capacity, spool=spool)


def otlp_settings(section: OtlpExporter | ForwardExporter, name: str) -> OtlpSettings:
    """Give what is configured for an exporter, but for how much of it may wait."""
    told: dict[str, Any] = msgspec.structs.asdict(section)
    del told["queue"]
    return OtlpSettings(**told, key=f"exporters.{name}")


def spool_of(name: str, config: Config, *, demo: bool) -> Spool | None:
    """Make the queue on disk of an exporter; None where there is to be none.

    A demo has one where it is told a folder: in the usual one it would find what the agent of this node left.
    """
    settings = config.exporters.spool
    if not settings.enabled or (demo and not config.state_directory):
        return None
    return Spool(state.directory(config.state_directory, os.environ) / "spool" / name, settings.size)
