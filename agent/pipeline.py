# SPDX-License-Identifier: Apache-2.0
"""The way of the spans: read, held until their GPUs' samples are there, joined, counted, annotated, sent on.

Receivers call traces() and messages() from their threads, which read the spans. One thread of our own does the rest.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from agent.catalogue import own
from agent.catalogue.requests import REQUEST_UNMAPPED
from agent.clock import NS, Clock
from agent.dialects.reading import Reader
from agent.entities import CollectorFailure, Gpu, MigInstance, Queue, RequestGap
from agent.metric import Distribution, Sample
from agent.otlp.envelope import join
from agent.otlp.parcel import Parcel
from agent.processors.hold import Held, Hold, Place
from agent.processors.request_metrics import RequestMetrics
from agent.processors.topology import Placement, Topology
from agent.processors.traces import Traces
from agent.receivers.otlp import Messages, ReceivedTraces, Signal
from agent.requests import Part, Request, Role
from agent.timeline import Timeline

LOG = logging.getLogger("joulespan.pipeline")

_SETTLE = int(1.2 * NS)
"""After the end of a request its GPUs' samples are there: most are read each second, and sent at once."""
_PARTS = 6 * NS
"""A request told by several processes waits for them: OpenTelemetry's SDKs export every 5 s."""
_LONGEST = 15 * NS
"""No request waits longer, wherever its sender's clock is."""
_SLOT = NS // 10
"""What is due within the same tenth of a second is dealt with at once, so that each step's fixed cost is spread."""
_BATCH = 2048
"""Requests dealt with at once at the most: few enough to be over in 0.1 s."""
_RETRY = 1.0
"""Seconds after which a sender that found no room may come again."""
_LARGEST = 3 << 20
"""Bytes of a request sent on: servers refuse more than 4 MiB by default."""


class Forward(Protocol):
    """Sends requests on. put() never blocks."""

    def put(self, parcels: Sequence[Parcel]) -> None:
        """Take them."""
        ...


class Onward(NamedTuple):
    """Where each signal goes on to; None is nowhere."""

    traces: Forward | None = None
    metrics: Forward | None = None
    logs: Forward | None = None


class Pipeline:
    """Consumes what the receivers take."""

    def __init__(
        self,
        reader: Reader,
        topology: Topology,
        metrics: RequestMetrics,
        timeline: Timeline,
        clock: Clock,
        *,
        onward: Onward,
        capacity: int,
        keep: Callable[[Messages], None] = lambda _: None,
    ) -> None:
        """Hold at most `capacity` bytes of spans. `keep` gets the metrics that come in."""
        self._reader = reader
        self._topology = topology
        self._metrics = metrics
        self._timeline = timeline
        self._clock = clock
        self._onward = onward
        self._keep = keep
        self._hold = Hold(capacity)
        self._traces = Traces()
        self._changed = threading.Condition()
        self._stopping = False
        self._ended: Counter[tuple[str, Signal]] = Counter()
        self._unmapped: Counter[tuple[str, str]] = Counter()
        self._failures: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Deal with everything that waits as it is, within the grace."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(grace_seconds)

    def wait(self, size: int) -> float | None:
        """See Consumer."""
        with self._changed:
            return None if self._hold.room(size) else _RETRY

    def traces(self, traces: ReceivedTraces) -> None:
        """See Consumer."""
        places: list[Place] = []
        parts = []
        for span, spans, at in traces.placed:
            try:
                reading = self._reader.read(span)
            except Exception as error:  # noqa: BLE001 - a span that cannot be read is sent on all the same
                self._failed(error)
                continue
            if isinstance(reading, Part):
                parts.append(span)
            elif reading is not None:
                places.append(Place(reading, spans, at))
                if self._reader.joins(reading):
                    parts.append(span)
        now = self._clock.monotonic_ns()
        held = Held(traces.receiver, traces.envelope, places, traces.size, self._due([p.request for p in places], now))
        with self._changed:
            for span in parts:
                self._traces.add(span, now)
            self._hold.put(held)
            self._changed.notify()

    def messages(self, messages: Messages) -> None:
        """See Consumer."""
        if messages.signal is Signal.METRICS:
            self._keep(messages)
            onward = self._onward.metrics
        else:
            onward = self._onward.logs
        if onward is not None:
            onward.put([Parcel(messages.body, {messages.receiver: messages.items})])
        else:
            with self._changed:
                self._ended[messages.receiver, messages.signal] += messages.items

    def samples(self) -> Iterator[Sample | Distribution]:
        """Say how requests went and what is held."""
        yield from self._metrics.samples()
        with self._changed:
            unmapped, failures = dict(self._unmapped), dict(self._failures)
            fill, spans = self._hold.fill, self._traces
            yield own.QUEUE_FILL(Queue("requests"), fill)
            yield own.QUEUE_FILL(Queue("trace_parts"), spans.fill)
            yield own.QUEUE_DROPPED(Queue("trace_parts"), spans.dropped)
        for (engine, reason), number in unmapped.items():
            yield REQUEST_UNMAPPED(RequestGap(engine, reason), number)
        for kind, number in failures.items():
            yield own.COLLECTOR_FAILURES(CollectorFailure("pipeline", kind), number)

    def ended(self) -> Mapping[tuple[str, Signal], int]:
        """Count the items by receiver and signal that go nowhere from here."""
        with self._changed:
            return dict(self._ended)

    def _due(self, requests: Sequence[Request], now: int) -> int:
        if not requests:
            return now
        offset = self._clock.unix_ns(now) - now
        due = max(request.end for request in requests) - offset + _SETTLE
        if any(self._reader.joins(request) for request in requests):
            due = max(due, now + _PARTS)
        due = min(max(due, now), now + _LONGEST)
        return due + -due % _SLOT

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (due := self._hold.due(self._now(), _BATCH)):
                    if self._stopping:
                        return
                    first = self._hold.next_due()
                    self._changed.wait(None if first is None else max(0.0, (first - self._now()) / NS))
            try:
                self._process(due)
            except Exception as error:  # noqa: BLE001 - one batch must not end the thread; its spans go on as they came
                self._failed(error)
            self._send(due)

    def _failed(self, error: Exception) -> None:
        """Count an error of ours, and log the first of its kind. What it was about is sent on as it came."""
        kind = type(error).__name__
        with self._changed:
            self._failures[kind] += 1
            first = self._failures[kind] == 1
        if first:
            LOG.error("spans are sent on without annotations; further failures are only counted", exc_info=error)

    def _now(self) -> int:
        """What time it is; after the end of time, when everything is due, while stopping."""
        return 1 << 62 if self._stopping else self._clock.monotonic_ns()

    def _process(self, due: Sequence[Held]) -> None:
        now = self._clock.monotonic_ns()
        recorded: list[tuple[Request, str, str | None]] = []
        groups: dict[tuple[Gpu | MigInstance, ...], list[Place]] = {}
        for held in due:
            for place in held.places:
                try:
                    request = self._complete(place.request)
                    placement = self._topology.place(request, now) if request.role is not Role.CLIENT else None
                except Exception as error:  # noqa: BLE001 - one request's failure costs that request
                    self._failed(error)
                    continue
                engine = placement.engine if placement else request.dialect
                recorded.append((request, engine, request.tenant))
                if placement and placement.gpus:
                    if request is not place.request:
                        place = place._replace(request=request)  # noqa: PLW2901 - as its parts make it
                    groups.setdefault(placement.gpus, []).append(place)
                elif placement:
                    self._count_unmapped(placement)
        self._metrics.record(recorded)
        if groups and self._onward.traces:
            self._annotate(groups, now)

    def _complete(self, request: Request) -> Request:
        if not self._reader.joins(request):
            return request
        with self._changed:
            parts = list(self._traces.of(request.span.trace_id))
        return self._reader.complete(request, parts)

    def _count_unmapped(self, placement: Placement) -> None:
        with self._changed:
            self._unmapped[placement.engine, str(placement.reason or "unknown")] += 1

    def _annotate(self, groups: Mapping[tuple[Gpu | MigInstance, ...], Sequence[Place]], now: int) -> None:
        from agent.processors.annotation import GPU_IDS, annotate  # noqa: PLC0415 - numpy, where there are requests

        offset = self._clock.unix_ns(now) - now
        for gpus, places in groups.items():
            told = annotate(self._timeline, gpus, [place.request for place in places], offset)
            for (request, spans, at), attributes in zip(places, told, strict=True):
                # An agent nearer to the GPUs has been here.
                if GPU_IDS not in request.span.attributes:
                    spans[at] += attributes

    def _send(self, due: Sequence[Held]) -> None:
        for held in due:
            if self._onward.traces:
                parcels = [Parcel(body, {held.receiver: spans}) for body, spans in join(held.envelope, _LARGEST)]
                self._onward.traces.put(parcels)
            else:
                spans = sum(len(scope.spans) for one in held.envelope.resources for scope in one.scopes)
                with self._changed:
                    self._ended[held.receiver, Signal.TRACES] += spans
