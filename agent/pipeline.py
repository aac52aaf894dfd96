# SPDX-License-Identifier: Apache-2.0
"""The way of the spans: read, held until their GPUs' samples are there, placed, counted and given to the ledger; held
until the ledger has closed the time they were served in, annotated, and sent on.

Receivers call traces() and messages() from their threads, which read the spans. One thread of our own does the rest.
"""  # noqa: D205 - one sentence

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agent.catalogue import own
from agent.catalogue.requests import REQUEST_UNMAPPED
from agent.clock import NS, Clock
from agent.dialects.reading import Reader
from agent.entities import CollectorFailure, Gpu, MigInstance, Queue
from agent.metric import Distribution, Sample
from agent.otlp.envelope import join
from agent.otlp.parcel import Parcel
from agent.owner_entities import NOBODY
from agent.processors.hold import Divided, Held, Hold, Place
from agent.processors.owner_lookup import owner_attributes
from agent.processors.request_metrics import RequestMetrics
from agent.processors.topology import Placement, Topology
from agent.processors.traces import Traces
from agent.receivers.otlp import Messages, ReceivedTraces, Signal
from agent.request_entities import RequestGap
from agent.requests import Part, Request, Role
from agent.timeline import Timeline

if TYPE_CHECKING:
    from agent.processors.attribution import Attribution

GPU_IDS = "joulespan.gpu.ids"
"""The attribute by which a span is known to be annotated."""
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
_CLOSE_EVERY = NS // 2
"""Time between two closings of the ledger."""
_TICK = 1.0
"""Seconds between two looks at what the ledger can close."""
_GIVE_UP = 120 * NS
"""No span waits longer for the ledger."""
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
    kept: Callable[[Messages], None] = lambda _: None
    """Gets the metrics that come in, beside."""


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
        attribution: Callable[[], "Attribution"],
        onward: Onward,
        capacity: int,
    ) -> None:
        """Hold at most `capacity` bytes of spans.

        `attribution` makes what divides energy, when the first request comes whose GPUs are known: it takes memory.
        """
        self._reader = reader
        self._topology = topology
        self._metrics = metrics
        self._timeline = timeline
        self._clock = clock
        self._onward = onward
        self._make_attribution = attribution
        self._attribution: Attribution | None = None
        self._capacity = capacity
        self._hold = Hold()
        self._placed = Hold()
        self._advanced = 0
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
            held = self._hold.weight + self._placed.weight
            # One request always finds room, however large: its receiver has its own limit.
            return _RETRY if held and held + size > self._capacity else None

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
            self._onward.kept(messages)
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
        if self._attribution:
            yield from self._attribution.samples(self._metrics.samples)
        else:
            yield from self._metrics.samples()
        with self._changed:
            unmapped, failures = dict(self._unmapped), dict(self._failures)
            spans = self._traces
            yield own.QUEUE_FILL(Queue("requests"), self._fill())
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

    def _fill(self) -> float:
        return (self._hold.weight + self._placed.weight) / self._capacity

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._hold.due(self._now(), _BATCH)
                if not due and not self._stopping:
                    self._changed.wait(self._pause())
                    due = self._hold.due(self._now(), _BATCH)
            if due:
                self._guarded(partial(self._process, due))
            self._guarded(self._advance)
            for ready in iter(self._ready, []):
                self._guarded(partial(self._annotate, ready))
                self._send(ready)
            if self._stopping and not due:
                return

    def _pause(self) -> float:
        first = self._hold.next_due()
        return _TICK if first is None else min(_TICK, max(0.0, (first - self._now()) / NS))

    def _advance(self) -> None:
        """Let the ledger close what is due; everything at the end. When half the room is used, it is closed sooner."""
        if self._attribution is None:
            return
        now = self._clock.monotonic_ns()
        if self._stopping:
            self._attribution.finish()
        elif now - self._advanced >= _CLOSE_EVERY:
            # Closing looks at every request that is not divided to the end: not after each batch.
            self._advanced = now
            self._attribution.advance(pressure=min(1.0, max(0.0, 2 * self._fill() - 1)))

    def _ready(self) -> list[Held]:
        """Take out, of those that wait for the ledger, some that it has divided, or that waited too long."""
        now = self._clock.monotonic_ns()
        closed = max(self._attribution.closed_ns if self._attribution else 0, now - _GIVE_UP)
        with self._changed:
            return self._placed.due(1 << 62 if self._stopping else closed, _BATCH)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - one batch must not end the thread; its spans go on as they came
            self._failed(error)

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
        """Place and count the requests, and give them to the ledger. Their spans wait until it has divided them."""
        now = self._clock.monotonic_ns()
        offset = self._clock.unix_ns(now) - now
        try:
            self._place(due, now, offset)
        finally:
            waiting = [self._rescheduled(held, offset, now) for held in due]
            with self._changed:
                for held in waiting:
                    self._placed.put(held)

    def _place(self, due: Sequence[Held], now: int, offset: int) -> None:
        recorded: list[tuple[Request, str, str | None]] = []
        where: list[tuple[Place, Placement | None]] = []
        for held in due:
            for place in held.places:
                try:
                    request = self._complete(place.request)
                    placement = self._topology.place(request, now) if request.role is not Role.CLIENT else None
                except Exception as error:  # noqa: BLE001 - one request's failure costs that request
                    self._failed(error)
                    continue
                recorded.append((request, placement.engine if placement else request.dialect, request.tenant))
                where.append((place, placement))
                if placement and not placement.gpus:
                    self._count_unmapped(placement)
        owners = [told.owner.labels if told and told.owner else NOBODY for _, told in where]
        kinds = self._metrics.record(recorded, owners)
        divided: list[Divided] = []
        at: list[Place] = []
        for (request, engine, _), (place, placement), kind, owner in zip(recorded, where, kinds, owners, strict=True):
            gpus = placement.gpus if placement else ()
            place.request, place.gpus, place.owner = request, gpus, owner
            # An agent nearer to the GPUs may have been here, and what came before is divided already.
            if gpus and kind is not None and GPU_IDS not in request.span.attributes:
                divided.append(Divided(request, engine, gpus, kind))
                at.append(place)
        if divided:
            self._divide(divided, at, offset)

    def _divide(self, divided: Sequence[Divided], at: Sequence[Place], offset: int) -> None:
        if self._attribution is None:
            self._attribution = self._make_attribution()
        wanted = self._onward.traces is not None
        for place, number in zip(at, self._attribution.add(divided, offset, wanted=wanted), strict=True):
            place.number = number

    def _rescheduled(self, held: Held, offset: int, now: int) -> Held:
        """Say by when, of the time that the ledger closes, everything of it is divided."""
        ends = [place.request.end - offset for place in held.places if place.number is not None]
        if not ends or self._onward.traces is None:
            return held._replace(due=0)
        return held._replace(due=min(max(ends), now + _LONGEST))

    def _complete(self, request: Request) -> Request:
        if not self._reader.joins(request):
            return request
        with self._changed:
            parts = list(self._traces.of(request.span.trace_id))
        return self._reader.complete(request, parts)

    def _count_unmapped(self, placement: Placement) -> None:
        with self._changed:
            self._unmapped[placement.engine, str(placement.reason or "unknown")] += 1

    def _annotate(self, ready: Sequence[Held]) -> None:
        if self._onward.traces is None:
            return
        from agent.processors.annotation import annotate  # noqa: PLC0415 - numpy, where there are requests

        groups: dict[tuple[Gpu | MigInstance, ...], list[Place]] = {}
        for held in ready:
            for place in held.places:
                # An agent nearer to the GPUs has been here.
                if place.gpus and GPU_IDS not in place.request.span.attributes:
                    groups.setdefault(place.gpus, []).append(place)
        now = self._clock.monotonic_ns()
        offset = self._clock.unix_ns(now) - now
        for gpus, places in groups.items():
            told = annotate(self._timeline, gpus, [place.request for place in places], offset)
            for place, attributes in zip(places, told, strict=True):
                took = self._attribution.told(place.number) if self._attribution else b""
                owner = owner_attributes(place.owner, place.request.span.attributes)
                place.spans[place.at] += attributes + owner + took

    def _send(self, due: Sequence[Held]) -> None:
        for held in due:
            if self._onward.traces:
                parcels = [Parcel(body, {held.receiver: spans}) for body, spans in join(held.envelope, _LARGEST)]
                self._onward.traces.put(parcels)
            else:
                spans = sum(len(scope.spans) for one in held.envelope.resources for scope in one.scopes)
                with self._changed:
                    self._ended[held.receiver, Signal.TRACES] += spans
