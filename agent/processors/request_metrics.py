# SPDX-License-Identifier: Apache-2.0
"""The request metrics: counts what finished requests took, by engine, model and tenant.

Everything is bounded: names by TopNames, their combinations by `classes`, and what is known of spans that came before
by a ring. Series of a name that lost its slot end, and what they counted is not added to `other`: a count under
`other` that suddenly grew would look like traffic.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import repeat
from typing import Any, TypeAlias

import msgspec

from agent.catalogue import energy
from agent.catalogue import requests as catalogue
from agent.metric import Distribution, Exemplar, Histogram, Sample
from agent.owner_entities import NOBODY, Owner
from agent.processors.owner_slots import NONE, OwnerSlots
from agent.processors.top_names import OTHER, TopNames
from agent.request_entities import RequestClass, RequestEngine, RequestFinish, RequestName, RequestPhase, RequestTokens
from agent.requests import Request, Role

ERROR = "error"
"""The finish reason of a request that failed and whose engine gives no other."""
_FINISHES = 16
_RING = 65_536
_TRACE_ID, _SPAN_ID = 16, 8


class Seen(msgspec.Struct, frozen=True, gc=False):
    """What an exemplar says of a span: its ids, and when it ended, unix ns."""

    trace_id: bytes
    span_id: bytes
    end: int


class RequestMetrics:
    """Counts requests, and says what it has counted. `guard` is entered by every method, so that threads can share it.

    `engines`, `models`, `tenants` and `owners` are how many of each are told, `classes` how many combinations.
    """

    def __init__(
        self,
        engines: int = 32,
        models: int = 64,
        tenants: int = 64,
        classes: int = 512,
        owners: int = 64,
        guard: AbstractContextManager[object] | None = None,
    ) -> None:
        """Start with nothing counted. Without a `guard` it is for one thread."""
        self._guard = guard or nullcontext()
        self._engines = TopNames(engines)
        self._models = TopNames(models)
        self._tenants = TopNames(tenants)
        self._finishes = TopNames(_FINISHES)
        self._capacity = classes
        self._owners = OwnerSlots(owners)
        self._classes: dict[_Key, _Class] = {}
        self._repeated: dict[str, int] = {}
        self._without_class = 0
        self._ring = _Ring(_RING)

    def record(
        self, items: Sequence[tuple[Request, str, str | None]], owners: Iterable[Owner] = repeat(NOBODY)
    ) -> list[RequestClass | None]:
        """Count requests, each with the name of its engine, its tenant and its owner. Only those of Role.SERVER count.

        A span that came before, with the same ids, times and name, is counted as repeated only. Gives the class of
        each request, whatever its role; None for one that came before.
        """
        with self._guard:
            return [self._record(*item, owner) for item, owner in zip(items, owners, strict=False)]

    def charge(self, kind: RequestClass, prefill: float, decode: float) -> None:
        """Add J to what requests of a class took."""
        with self._guard:
            found = self._of(kind)
            found.joules["prefill"] += prefill
            found.joules["decode"] += decode

    def took(self, some: Iterable[tuple[RequestClass, float, Seen]]) -> None:
        """Observe the energy of requests, J."""
        with self._guard:
            last, found = None, None
            for kind, joules, span in some:
                if found is None or kind is not last:
                    last, found = kind, self._of(kind)
                found.energy.add(joules, span)

    def samples(self) -> list[Sample | Distribution]:
        """Say what was counted. A distribution is the same object as the last time where nothing was observed."""
        with self._guard:
            return list(self._samples())

    def rebalance(self) -> None:
        """Give names that are asked for more often the slots of rarer ones, whose series end; for every 10 min."""
        with self._guard:
            gone = [set(names.rebalance()) for names in (self._engines, self._models, self._tenants)]
            finishes = self._finishes.rebalance()
            left = self._owners.keep({key[3] for key, counted in self._classes.items() if not counted.idle})
            full = len(self._classes) >= self._capacity
            for key, counted in list(self._classes.items()):
                gone_name = key[3] not in left or any(name in lost for name, lost in zip(key, gone, strict=False))
                if gone_name or (full and counted.idle):
                    del self._classes[key]
                counted.forget(finishes)
            self._repeated = {name: count for name, count in self._repeated.items() if name not in gone[0]}

    def _record(self, request: Request, engine: str, tenant: str | None, owner: Owner) -> RequestClass | None:
        span, counted = request.span, request.role is Role.SERVER
        engine_name = self._engines.name(engine) or OTHER
        if self._ring.has(hash((span.trace_id, span.span_id, span.start, span.end, span.name))):
            if counted:
                self._repeated[engine_name] = self._repeated.get(engine_name, 0) + 1
            return None
        key = (engine_name, self._models.name(request.model), self._tenants.name(tenant), self._owners.number(owner))
        if not counted and key not in self._classes:
            return RequestClass(*key[:3], self._owners.owner(key[3]))
        found = self._classes.get(key) or self._class(key)
        if counted:
            found.record(request, self._finishes.name(_finish(request)))
        return found.entity

    def _of(self, kind: RequestClass) -> "_Class":
        key = (*kind[:3], self._owners.number(kind.owner))
        return self._classes.get(key) or self._class(key)

    def _class(self, key: "_Key") -> "_Class":
        if len(self._classes) >= self._capacity and key != _ALL_OTHER:
            self._without_class += 1
            return self._classes.get(_ALL_OTHER) or self._class(_ALL_OTHER)
        found = self._classes[key] = _Class(RequestClass(*key[:3], self._owners.owner(key[3])))
        return found

    def _samples(self) -> Iterator[Sample | Distribution]:
        for counted in self._classes.values():
            yield from counted.samples()
        for engine, count in self._repeated.items():
            yield catalogue.REQUEST_REPEATED(RequestEngine(engine), count)
        dropped = {
            "engine": self._engines.dropped,
            "model": self._models.dropped,
            "tenant": self._tenants.dropped,
            "finish": self._finishes.dropped,
            "owner": self._owners.dropped,
            "class": self._without_class,
        }
        for attribute, count in dropped.items():
            yield catalogue.NAMES_DROPPED(RequestName(attribute), count)


_Key: TypeAlias = tuple[str, str | None, str | None, int]
_ALL_OTHER: _Key = (OTHER, OTHER, OTHER, NONE)


def _finish(request: Request) -> str | None:
    if request.finish is None and (request.error is not None or request.span.failed):
        return ERROR
    return request.finish


class _Class:
    """What the requests of one engine, model and tenant took. Every part of it is absent until it was observed."""

    __slots__ = ("_decode", "_duration", "_finished", "_first", "_per_token", "_prefill", "_queue",
                 "_tokens", "energy", "entity", "idle", "joules")  # fmt: skip

    def __init__(self, entity: RequestClass) -> None:
        self.entity = entity
        self.energy = _Tally(energy.REQUEST_ENERGY, entity)
        self.joules = {"prefill": 0.0, "decode": 0.0}
        self._duration = _Tally(catalogue.REQUEST_DURATION, entity)
        self._first = _Tally(catalogue.TIME_TO_FIRST_TOKEN, entity)
        self._per_token = _Tally(catalogue.TIME_PER_OUTPUT_TOKEN, entity)
        self._queue = _Tally(catalogue.QUEUE_DURATION, entity)
        self._prefill = _Tally(catalogue.PREFILL_DURATION, entity)
        self._decode = _Tally(catalogue.DECODE_DURATION, entity)
        self._tokens: dict[str, int] = {}
        self._finished: dict[str | None, int] = {}
        self.idle = True

    def record(self, request: Request, finish: str | None) -> None:
        span = request.span
        # Not the span itself: it holds its whole message.
        seen = Seen(span.trace_id, span.span_id, span.end)
        self.idle = False
        self._duration.add(request.duration, seen)
        if (value := request.time_to_first_token) is not None:
            self._first.add(value, seen)
        if (value := request.time_per_output_token) is not None:
            self._per_token.add(value, seen)
        if (value := request.queue) is not None:
            self._queue.add(value, seen)
        if (value := request.prefill) is not None:
            self._prefill.add(value, seen)
        if (value := request.decode) is not None:
            self._decode.add(value, seen)
        self._finished[finish] = self._finished.get(finish, 0) + 1
        self._count_tokens(request)

    def _count_tokens(self, request: Request) -> None:
        tokens, cached = self._tokens, request.cached_tokens
        if (prompt := request.input_tokens) is not None:
            tokens["input"] = tokens.get("input", 0) + (prompt if cached is None else max(0, prompt - cached))
        if cached is not None:
            tokens["cached"] = tokens.get("cached", 0) + cached
        if (output := request.output_tokens) is not None:
            tokens["output"] = tokens.get("output", 0) + output
        if (reasoning := request.reasoning_tokens) is not None:
            tokens["reasoning"] = tokens.get("reasoning", 0) + reasoning

    def forget(self, finishes: Sequence[str]) -> None:
        """Begin a new time between rebalances, without these finish reasons."""
        self.idle = True
        for finish in finishes:
            self._finished.pop(finish, None)

    def samples(self) -> Iterator[Sample | Distribution]:
        tallies = (self._duration, self._first, self._per_token, self._queue, self._prefill, self._decode, self.energy)
        for tally in tallies:
            if (made := tally.distribution()) is not None:
                yield made
        name, owner = self.entity[:3], self.entity.owner
        for phase, joules in self.joules.items():
            if joules:
                yield energy.ENERGY_ATTRIBUTED(RequestPhase(*name, phase, owner), joules)
        for kind, count in self._tokens.items():
            yield catalogue.REQUEST_TOKENS(RequestTokens(*name, kind, owner), count)
        for finish, count in self._finished.items():
            yield catalogue.REQUEST_FINISHED(RequestFinish(*name, finish, owner), count)


class _Tally:
    """One series of a histogram while it is counted: exemplars are made of what is noted when they are asked for."""

    __slots__ = ("_bounds", "_counts", "_entity", "_latest", "_made", "_metric", "_total")

    def __init__(self, metric: Histogram[Any], entity: RequestClass) -> None:
        self._metric = metric
        self._entity = entity
        self._bounds = metric.buckets
        self._counts = [0] * (len(metric.buckets) + 1)
        self._latest: list[Exemplar | tuple[float, Seen] | None] = [None] * len(self._counts)
        self._total = 0.0
        self._made: Distribution | None = None

    def add(self, value: float, seen: Seen) -> None:
        place = bisect_left(self._bounds, value)
        self._counts[place] += 1
        self._total += value
        self._latest[place] = value, seen
        self._made = None

    def distribution(self) -> Distribution | None:
        if self._made is None and any(self._counts):
            exemplars = tuple(map(_exemplar, self._latest))
            self._latest = list(exemplars)
            self._made = self._metric.distribution(self._entity, tuple(self._counts), self._total, exemplars)
        return self._made


def _exemplar(noted: Exemplar | tuple[float, Seen] | None) -> Exemplar | None:
    if noted is None or isinstance(noted, Exemplar):
        return noted
    value, seen = noted
    if (len(seen.trace_id), len(seen.span_id)) != (_TRACE_ID, _SPAN_ID):
        return None
    return Exemplar(value, seen.trace_id.hex(), seen.span_id.hex(), seen.end)


class _Ring:
    """The last hashes that were asked for. Two that differ are taken for one with a chance of 2**-48."""

    def __init__(self, size: int) -> None:
        self._known: set[int | None] = set()
        self._ring: list[int | None] = [None] * size
        self._next = 0

    def has(self, key: int) -> bool:
        """Say whether it was asked for before, and remember it."""
        if key in self._known:
            return True
        self._known.discard(self._ring[self._next])
        self._known.add(key)
        self._ring[self._next] = key
        self._next = (self._next + 1) % len(self._ring)
        return False
