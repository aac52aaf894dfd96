# SPDX-License-Identifier: Apache-2.0
"""The ledger while the agent runs: requests go in as their spans come, and what they took comes out a while later.

For one thread; samples() may be called from another one that shares the guard.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import NamedTuple

import numpy as np

from agent.catalogue import energy as catalogue
from agent.clock import NS, Clock
from agent.entities import Engine, Gpu, MigInstance
from agent.metric import Distribution, Sample
from agent.processors.energy_annotation import annotations, covered
from agent.processors.hold import Divided
from agent.processors.ledger.book import EngineKey
from agent.processors.ledger.calibration import Calibration
from agent.processors.ledger.division import WINDOW
from agent.processors.ledger.ledger import Closed, Ledger
from agent.processors.ledger.payment import METHODS, Shares
from agent.processors.ledger.work import columns
from agent.processors.request_metrics import RequestMetrics, Seen
from agent.request_entities import CalibratedEngine, CalibratedMethod, CalibratedWork, LedgerGap, RequestClass
from agent.timeline import Timeline

_FUTURE = 60.0
"""Seconds by which a request may end after now: clocks differ, and by more than this they are wrong."""
_MOST = 262_144
"""Requests that may wait to be divided."""
_LEAST = 1.2
"""Seconds after which the samples of the GPUs are there."""
_EXPORT = 6.0
"""Seconds that spans take to come: OpenTelemetry's SDKs export every 5 s."""
_PATIENCE = 60.0
"""Seconds that is waited at most for the spans of an engine that does not say how many requests it runs."""
_INSTANT = 2e-3
"""Seconds, and a little more, by which the ledger takes a request to last longer whose tokens came all at once."""
_REMEMBERED = 256
"""Calibrations of engines that are gone, at the most."""
_METHODS = tuple(METHODS)


class Pace(NamedTuple):
    """Seconds: of a step, after which a step is closed, and for which requests may come late."""

    step: float
    lateness: float
    retention: float


class Learnt(NamedTuple):
    """What is to be remembered over a restart: calibrations by name, and idle W by GPU id."""

    calibrations: Mapping[str, Calibration]
    idle_watts: Mapping[str, float]


class Attribution:
    """Feeds the ledger, and tells what came of it."""

    def __init__(
        self,
        timeline: Timeline,
        metrics: RequestMetrics,
        clock: Clock,
        pace: Pace,
        since: int,
        *,
        models: Callable[[], Mapping[str, str]] = dict,
        learnt: Learnt | None = None,
        guard: AbstractContextManager[object] | None = None,
    ) -> None:
        """Divide what `timeline` holds `since` then, monotonic ns.

        `models` gives the product name of each GPU by its id.
        """
        self._metrics = metrics
        self._clock = clock
        self._lateness = pace.lateness
        self._retention = pace.retention
        self._models = models
        self._learnt = learnt or Learnt({}, {})
        self._guard = guard or nullcontext()
        self._served: dict[str, str | None] = {}
        self._ledger = Ledger(timeline, since, pace.step, self._remembered)
        self._number = 0
        self._waiting: dict[int, tuple[RequestClass, Seen]] = {}
        self._unwanted: set[int] = set()
        """Of those that wait, the ones of which nobody will ask what they took."""
        self._kinds: dict[RequestClass, int] = {}
        self._classes: list[RequestClass] = []
        self._told: OrderedDict[int, bytes] = OrderedDict()
        self._left_out: Counter[str] = Counter()
        self._learnt_at: dict[EngineKey, tuple[float, float | None]] = {}

    @property
    def closed_ns(self) -> int:
        """Until when everything is divided, monotonic ns."""
        return self._ledger.origin + int((self._ledger.closed * self._ledger.step - _INSTANT) * NS)

    def watch(self, gpus: Iterable[Gpu]) -> None:
        """Divide the energy of these GPUs, whether or not requests are known to run on them."""
        with self._guard:
            for gpu in gpus:
                self._ledger.watch([gpu], self._learnt.idle_watts.get(gpu.id))

    def add(self, some: Sequence[Divided], offset: int, *, wanted: bool = True) -> list[int | None]:
        """Take in requests. `offset` is unix minus monotonic time, ns.

        Gives each the number by which told() knows it, once closed_ns has passed its end; None for what is not
        divided. Where it is not `wanted`, it is only counted.
        """
        now = self._clock.monotonic_ns() + offset
        first, last = now - int(self._retention * NS), now + int(_FUTURE * NS)
        numbers: list[int | None] = []
        groups: dict[tuple[str, tuple[Gpu | MigInstance, ...]], tuple[list[int], list[Divided]]] = {}
        waiting, number = self._waiting, self._number
        with self._guard:
            room = number + _MOST - self._ledger.rows
            for one in some:
                span, end = one.request.span, one.request.end
                if not first <= end <= last or number >= room:
                    self._left_out["future" if end > last else "past" if end < first else "full"] += 1
                    numbers.append(None)
                    continue
                numbers.append(number)
                waiting[number] = one.kind, Seen(span.trace_id, span.span_id, span.end)
                place = one.kind.engine, one.gpus
                group = groups.get(place) or groups.setdefault(place, ([], []))
                group[0].append(number)
                group[1].append(one)
                number += 1
            if not wanted:
                self._unwanted.update(range(self._number, number))
            self._number = number
            for (engine, gpus), members in groups.items():
                self._add(EngineKey(engine, _whole(gpus)), *members, offset)
        return numbers

    def advance(self, *, pressure: float = 0.0) -> None:
        """Close the steps that are due. Under `pressure`, from 0 to 1, they are closed sooner, down to 1.2 s."""
        now = (self._clock.monotonic_ns() - self._ledger.origin) / NS
        with self._guard:
            wait = max(self._lateness, self._patience())
            wait = max(_LEAST, wait * (1 - pressure))
            whole = WINDOW if pressure < 0.5 else self._ledger.step  # noqa: PLR2004 - half full
            last = int((now - wait) / whole) * round(whole / self._ledger.step)
            if last > self._ledger.closed:
                self._note(self._ledger.close(last))
                self._forget(last - int(self._retention / self._ledger.step))
                for key, book in self._ledger.books.items():
                    if book.calibration.seconds > self._learnt_at[key][0]:
                        self._learnt_at[key] = (book.calibration.seconds, self._clock.unix_ns(self.closed_ns) / NS)

    def finish(self) -> None:
        """Close everything until now: nothing more comes."""
        with self._guard:
            last = int((self._clock.monotonic_ns() - self._ledger.origin) / NS / self._ledger.step)
            self._note(self._ledger.close(last))

    def told(self, number: int | None) -> bytes:
        """Give the attributes of a request, once: if it is not divided by now, or never, there are none."""
        if number is None:
            return b""
        if number in self._waiting:
            self._unwanted.add(number)
        return self._told.pop(number, b"")

    def learnt(self) -> Learnt:
        """Give what should be remembered, that of engines which are gone included, and first. It changes no more."""
        with self._guard:
            here = {self._name(key): copy(book.calibration) for key, book in self._ledger.books.items()}
            calibrations = {name: copy(one) for name, one in self._learnt.calibrations.items() if name not in here}
            calibrations |= here
            idle = dict(self._learnt.idle_watts)
            for gpu, _ in self._ledger.accounts():
                if (watts := self._ledger.idle_watts(gpu)) is not None:
                    idle[gpu.id] = watts
        return Learnt(calibrations, idle)

    def samples(self, beside: Callable[[], Iterable[Sample | Distribution]] = tuple) -> Iterator[Sample | Distribution]:
        """Say what became of the energy, and what work costs, after what `beside` says of the same moment."""
        with self._guard:
            found = [*beside(), *self._energy_samples(), *self._calibration_samples()]
        yield from found

    def _energy_samples(self) -> Iterator[Sample]:
        for gpu, one in self._ledger.accounts():
            yield catalogue.ENERGY_MEASURED(gpu, one.attributed + one.idle + one.unattributed)
            yield catalogue.GPU_ENERGY_ATTRIBUTED(gpu, one.attributed)
            yield catalogue.ENERGY_IDLE(gpu, one.idle)
            yield catalogue.ENERGY_UNATTRIBUTED(gpu, one.unattributed)
            yield catalogue.ENERGY_HELD(gpu, one.held)
            if (watts := self._ledger.idle_watts(gpu)) is not None:
                yield catalogue.IDLE_POWER(gpu, watts)
        for engine, joules in self._ledger.unattributed.items():
            yield catalogue.ENGINE_UNATTRIBUTED(Engine(engine), joules)
        for reason, number in self._left_out.items():
            yield catalogue.REQUEST_UNDIVIDED(LedgerGap(reason), number)

    def _calibration_samples(self) -> Iterator[Sample]:
        seen = set()
        for key, book in self._ledger.books.items():
            entity = CalibratedEngine(key.name, self._served.get(key.name), self._models().get(key.gpus[0].id))
            if entity in seen:
                continue
            seen.add(entity)
            fit = self._ledger.fit(key)
            good = fit is not None and fit.good
            yield catalogue.CALIBRATION_INFO(CalibratedMethod(entity, _METHODS[book.method if good else 0]), 1)
            yield catalogue.CALIBRATION_DURATION(entity, book.calibration.seconds)
            if (learnt_at := self._learnt_at[key][1]) is not None:
                yield catalogue.CALIBRATION_LAST_LEARNT(entity, learnt_at)
            if fit is None:
                continue
            yield catalogue.CALIBRATION_R2(entity, fit.r2)
            yield catalogue.CALIBRATION_RESIDUAL(entity, fit.residual)
            yield catalogue.CALIBRATION_CONDITION(entity, fit.condition)
            for work, joules in zip(fit.coefficients._fields, fit.coefficients, strict=True):
                yield catalogue.CALIBRATION_COST(CalibratedWork(entity, work), joules)

    def _add(self, key: EngineKey, numbers: Sequence[int], members: Sequence[Divided], offset: int) -> None:
        requests = [one.request for one in members]
        models = (request.model for request in reversed(requests) if request.model is not None)
        if model := next(models, None):
            self._served[key.name] = model
        kinds = np.array([self._kind(one.kind) for one in members], np.int64)
        work = columns(requests, self._ledger.origin + offset)
        self._note(self._ledger.add(key, np.array(numbers, np.int64), kinds, work))

    def _kind(self, kind: RequestClass) -> int:
        found = self._kinds.get(kind)
        if found is None:
            found = self._kinds[kind] = len(self._classes)
            self._classes.append(kind)
        return found

    def _note(self, closed: Closed) -> None:
        for charge in closed.charges:
            self._metrics.charge(self._classes[charge.kind], charge.prefill, charge.decode)
        for shares in closed.shares:
            self._settle(shares)

    def _settle(self, shares: Shares) -> None:
        joules = (shares.prefill + shares.decode).tolist()
        rows = zip(shares.number.tolist(), joules, covered(shares), annotations(shares), strict=True)
        observed: list[tuple[RequestClass, float, Seen]] = []
        for number, took, known, told in rows:
            kind, seen = self._waiting.pop(number)
            if known:
                observed.append((kind, took, seen))
            else:
                self._left_out["uncovered"] += 1
            if number in self._unwanted:
                self._unwanted.remove(number)
                continue
            if len(self._told) >= _MOST:
                self._told.popitem(last=False)
            self._told[number] = told
        self._metrics.took(observed)

    def _patience(self) -> float:
        """Seconds to wait for the spans of engines of which nothing but their spans is known."""
        longest = max((book.longest for book in self._ledger.books.values() if not book.gauged), default=0.0)
        return min(_PATIENCE, longest + _EXPORT) if longest else 0.0

    def _remembered(self, key: EngineKey) -> Calibration:
        found = self._learnt.calibrations.get(self._name(key)) or Calibration()
        self._learnt_at[key] = found.seconds, None
        return found

    def _forget(self, first: int) -> None:
        """Give up what is held back in steps before `first`. What engines taught that go with it is remembered."""
        before = dict(self._ledger.books)
        self._ledger.forget(first)
        for key in before.keys() - self._ledger.books.keys():
            del self._learnt_at[key]
            name = self._name(key)
            others = [one for one in self._learnt.calibrations.items() if one[0] != name]
            calibrations = dict([*others, (name, before[key].calibration)][-_REMEMBERED:])
            self._learnt = self._learnt._replace(calibrations=calibrations)

    def _name(self, key: EngineKey) -> str:
        """Name a calibration: what an engine's work costs depends on its model, and on its GPUs' type and number."""
        return "|".join(
            (key.name, self._served.get(key.name) or "", self._models().get(key.gpus[0].id, ""), str(len(key.gpus)))
        )


def _whole(devices: Sequence[Gpu | MigInstance]) -> tuple[Gpu, ...]:
    """Give the GPUs of devices: the energy of a MIG instance is not measured, that of its GPU is."""
    found = {Gpu(one.parent, one.name.partition("/")[0]) if isinstance(one, MigInstance) else one for one in devices}
    return tuple(sorted(found, key=lambda gpu: (len(gpu.name), gpu.name)))
