# SPDX-License-Identifier: Apache-2.0
"""The ledger: divides what the GPUs' counters grew by among idling, the requests, and what no request explains.

Time is cut into steps. A step is closed once: then its energy is divided among the sequences that were in the batches,
those not known included, and what falls to known ones is charged to them at once. What falls to the others is held
back at the prices of then: it is paid out to requests that come later, as long as the step is remembered, and ends
as unattributed. So at any time, for every GPU,

    energy of the closed steps  =  attributed + idle + unattributed + held back
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.entities import Gpu
from agent.processors.ledger.book import NOBODY, Book, Costs, EngineKey, Open, joined, together_costs
from agent.processors.ledger.cache import found_in_cache
from agent.processors.ledger.calibration import Calibration, Fit
from agent.processors.ledger.claims import Claims
from agent.processors.ledger.device import Accounts, Device, busy, quiet
from agent.processors.ledger.division import WINDOW, Part, Run, divide, window_begins, windowed
from agent.processors.ledger.load import Load, load
from agent.processors.ledger.meters import Meter, Metered
from agent.processors.ledger.pages import pages_of
from agent.processors.ledger.payment import Charge, Shares, costs_of, pay, settled
from agent.processors.ledger.steps import Numbers, Steps, idle_seconds
from agent.processors.ledger.work import Work, resolved, timed, together
from agent.timeline import Timeline

_MARGIN = 3.0
"""Seconds around the steps to close whose requests and pages are looked at: pages are read each second."""
_LATELY = 15.0
"""Seconds around first tokens in which the engine's page is asked what was found in the cache."""
_LEAST = 1e-9
"""Iterations that a step has at least, so that they are an axis; and seconds below which a sequence was not there."""
_WHOLE = 0.9
"""Share of a window's length from which on it is whole, rounding aside."""
_RESTING = 0.2
"""Share of its mean power under load that a GPU is taken to draw when idle, where nothing is known: an assumption."""
_POOL = 4.0
"""Seconds over which what is held back is one pool."""
Known: TypeAlias = tuple[Numbers, Numbers, Numbers, Numbers]
"""Of each step, by known sequences: seconds in the batch, tokens computed, decoded, and read."""


class Closed(NamedTuple):
    """What closing steps, or taking in late requests, led to."""

    charges: list[Charge]
    shares: list[Shares]


class _Closing(NamedTuple):
    """What is known of some steps when they are closed."""

    steps: Steps
    loads: dict[EngineKey, Load]
    known: dict[EngineKey, Known]
    metered: dict[Gpu, Metered]
    hidden: dict[Gpu, NDArray[np.bool_]]


class Ledger:
    """Divides, for one thread. `calibration` gives what was learnt before of an engine that is new to it."""

    def __init__(
        self,
        timeline: Timeline,
        origin: int,
        step: float,
        calibration: Callable[[EngineKey], Calibration] = lambda _: Calibration(),
    ) -> None:
        """Begin at `origin`, monotonic ns, with steps of `step` seconds."""
        self.origin = origin
        self.step = step
        self.closed = 0
        """The first step that is not closed."""
        self.books: dict[EngineKey, Book] = {}
        self.unattributed: dict[str, float] = {}
        """J of each engine's work that nobody claimed in time."""
        self._timeline = timeline
        self._calibration = calibration
        self._devices: dict[Gpu, Device] = {}

    @property
    def rows(self) -> int:
        """Requests that are not divided to the end."""
        return sum(book.open.rows for book in self.books.values())

    def accounts(self) -> Iterator[tuple[Gpu, Accounts]]:
        """Say what became of the energy of each GPU."""
        held = dict.fromkeys(self._devices, 0.0)
        for key, book in self.books.items():
            for gpu, joules in zip(key.gpus, book.held.tolist(), strict=True):
                held[gpu] += joules
        for gpu, one in self._devices.items():
            yield gpu, Accounts(one.measured, one.attributed, one.idle, one.unattributed, held[gpu])

    def idle_watts(self, gpu: Gpu) -> float | None:
        """What a GPU draws when idle, W, where that was seen."""
        device = self._devices.get(gpu)
        return device.idle_watts if device else None

    def fit(self, key: EngineKey) -> Fit | None:
        """What the work of an engine costs."""
        return self.books[key].calibration.fit(sum(self._resting(gpu) for gpu in key.gpus))

    def watch(self, gpus: Iterable[Gpu], idle_watts: float | None = None) -> None:
        """Divide the energy of these GPUs from now on, whether or not an engine is known to run on them.

        `idle_watts` is what they are known to draw when idle.
        """
        for gpu in gpus:
            if gpu not in self._devices:
                self._devices[gpu] = Device(Meter(self._timeline, gpu, self.origin), idle_watts)

    def add(self, key: EngineKey, number: NDArray[np.int64], kind: NDArray[np.int64], work: Work) -> Closed:
        """Take in requests of an engine. What they claim of closed steps is paid out of what was held back.

        `number` and `kind` come back in shares and charges.
        """
        self.watch(key.gpus)
        book = self.books.get(key)
        if book is None:
            book = self.books[key] = Book(key, self._calibration(key))
        work = timed(work, 1 / book.pace)
        work = resolved(work, self._found_in_cache(book, work))
        fresh = _fresh(number, kind, work, book.since(self.closed) * self.step)
        charges: list[Charge] = []
        if (work.begin < self.closed * self.step).any() and (blocks := book.costs_since(fresh.since.min() / self.step)):
            charges = self._pay_late(book, fresh, blocks)
        book.open = joined([book.open, fresh])
        return Closed(charges, self._finish(book))

    def close(self, last: int) -> Closed:
        """Close the steps before number `last`."""
        steps = Steps(self.closed, last, self.step)
        if steps.length <= 0:
            return Closed([], [])
        loads = {key: self._load(book, steps) for key, book in self.books.items()}
        claims = {key: book.claims(steps, loads[key]) for key, book in self.books.items()}
        known = {key: one.spread() for key, one in claims.items()}
        metered = {gpu: device.meter.read(steps) for gpu, device in self._devices.items()}
        hidden = self._hidden(steps, loads, metered)
        closing = _Closing(steps, loads, known, metered, hidden)
        for gpu, device in self._devices.items():
            device.rest(steps, metered[gpu], quiet(steps, _sequences(steps, loads, gpu)) & ~hidden[gpu])
        for key in self.books:
            self._learn(key, closing)
        costs = self._divide(closing)
        self.closed = last
        found = Closed([], [])
        for key, book in self.books.items():
            book.note(costs[key][0], loads[key])
            found.charges.extend(pay(book.open, claims[key], *costs[key]))
            found.shares.extend(self._finish(book))
        return found

    def forget(self, first: int) -> None:
        """Give up what is held back in steps before `first`: it is unattributed. Engines that are long gone go."""
        for key, book in list(self.books.items()):
            ended = book.forget(first).tolist()
            self.unattributed[key.name] = self.unattributed.get(key.name, 0.0) + sum(ended)
            for gpu, joules in zip(key.gpus, ended, strict=True):
                self._devices[gpu].unattributed += joules
            if book.gone:
                del self.books[key]

    def _found_in_cache(self, book: Book, work: Work) -> Numbers:
        """Estimate what was found in a cache, where requests do not say."""
        unknown = np.isnan(work.cached)
        if not unknown.any():
            return work.cached
        first, last = float(work.first[unknown].min()) - _LATELY, float(work.first[unknown].max()) + _LATELY
        around = Steps(int(first / self.step), int(last / self.step), self.step)
        pages = pages_of(self._timeline, book.key.name, self.origin, around)
        cached = work.cached.copy()
        cached[unknown] = found_in_cache(work.take(unknown), pages)
        return cached

    def _load(self, book: Book, steps: Steps) -> Load:
        margin = max(1, round(_MARGIN / self.step))
        wide = Steps(steps.first - margin, steps.last + margin, self.step)
        pages = pages_of(self._timeline, book.key.name, self.origin, wide)
        book.looked(pages)
        found = load(wide, book.work, pages, book.hidden).cut(margin, margin + steps.length)
        return found._replace(iterations=found.iterations + _LEAST)

    def _hidden(
        self, steps: Steps, loads: dict[EngineKey, Load], metered: dict[Gpu, Metered]
    ) -> dict[Gpu, NDArray[np.bool_]]:
        """Find the windows in which a GPU worked and no sequence is known of. They are its engine's, if it has one."""
        found = {gpu: quiet(steps, _sequences(steps, loads, gpu)) & busy(steps, told) for gpu, told in metered.items()}
        for key, told in list(loads.items()):
            everywhere = np.logical_and.reduce([found[gpu] for gpu in key.gpus])
            alone = not any(other != key and set(other.gpus) & set(key.gpus) for other in loads)
            if alone and everywhere.any():
                loads[key] = told._replace(unknown=np.where(everywhere, self.step, told.unknown))
        return found

    def _learn(self, key: EngineKey, closing: _Closing) -> None:
        """Learn what the work of an engine costs, from the windows in which it was alone on its GPUs."""
        steps, loads, told = closing.steps, closing.loads, closing.loads[key]
        _, computed, decoded, read = closing.known[key]
        begins = window_begins(steps)

        def sums(amounts: Numbers) -> Numbers:
            return windowed(steps, amounts)[begins]

        rows = np.stack(
            [
                sums(np.full(steps.length, self.step)),
                sums(np.where(told.sequences > _LEAST, told.iterations, 0.0)),
                sums(computed + told.more_computed),
                sums(decoded + told.more_decoded),
                sums(read + told.more_read),
            ],
            axis=1,
        )
        others = [one.sequences for other, one in loads.items() if other != key and set(other.gpus) & set(key.gpus)]
        ran, foreign = sums(told.sequences), sums(np.sum([np.zeros(steps.length), *others], axis=0))
        joules = np.array([sums(closing.metered[gpu].joules) for gpu in key.gpus])
        whole = (rows[:, 0] > _WHOLE * WINDOW) & (joules > 0).all(axis=0)
        seen = 1 - sums(told.unknown) / np.maximum(ran, _LEAST)
        alone = whole & (foreign <= _LEAST)
        trust = np.where(alone & (ran > _LEAST), np.maximum(0.02, seen) ** 2, np.where(alone, np.nan, 0.0))
        idle = np.array([self._resting(gpu) for gpu in key.gpus])
        self.books[key].learn(rows, joules, trust, idle)

    def _divide(self, closing: _Closing) -> dict[EngineKey, tuple[Costs, float]]:
        """Divide each GPU, and add up for each engine: what it costs, and the J of its known requests."""
        steps = closing.steps
        parts: dict[EngineKey, list[Part]] = {key: [] for key in self.books}
        read: dict[Gpu, bool] = {}
        free = self._free(steps)
        for gpu, device in self._devices.items():
            keys = [key for key in self.books if gpu in key.gpus]
            runs, watts = [self._run(key, gpu, closing) for key in keys], device.idle_watts
            if watts is None and any(run.coefficients for run in runs):
                watts = self._resting(gpu)
            unknown = np.sum([np.zeros(steps.length), *(run.load.unknown for run in runs)], axis=0)
            told = closing.metered[gpu]
            divided = divide(steps, told, runs, np.maximum(0.0, free[gpu] - unknown), watts, closing.hidden[gpu])
            device.note(told, divided)
            read[gpu] = bool((windowed(steps, told.joules) > 0).all())
            for key, part in zip(keys, divided.parts, strict=True):
                parts[key].append(part)
        found = {}
        for key, some in parts.items():
            costs = costs_of(steps, closing.loads[key], some, all(read[gpu] for gpu in key.gpus))
            found[key] = costs, sum(float(part.known.sum()) for part in some)
        return found

    def _free(self, steps: Steps) -> dict[Gpu, Numbers]:
        """Give the seconds of each step in which none of the known requests was on each GPU."""
        found: dict[tuple[EngineKey, ...], Numbers] = {}
        free: dict[Gpu, Numbers] = {}
        for gpu in self._devices:
            keys = tuple(key for key in self.books if gpu in key.gpus)
            if keys not in found:
                works = together([self.books[key].work for key in keys])
                found[keys] = idle_seconds(steps, works.begin, works.end)
            free[gpu] = found[keys]
        return free

    def _run(self, key: EngineKey, gpu: Gpu, closing: _Closing) -> Run:
        seconds, computed, decoded, read = closing.known[key]
        fit, share = self.fit(key), float(self.books[key].shares[key.gpus.index(gpu)])
        good = fit.coefficients if fit is not None and fit.good else None
        return Run(closing.loads[key]._replace(known=seconds), computed, decoded, read, good, share)

    def _resting(self, gpu: Gpu) -> float:
        """What a GPU draws when idle, W. Of one that never rested, what the most frugal of the others does, or a fifth.

        An engine that always works gives no way to tell idling from iterations: they take all of its time together.
        """
        if (watts := self._devices[gpu].idle_watts) is not None:
            return watts
        others = [one.idle_watts for one in self._devices.values() if one.idle_watts is not None]
        return min(others, default=_RESTING * self._devices[gpu].mean_watts)

    def _pay_late(self, book: Book, fresh: Open, blocks: Sequence[Costs]) -> list[Charge]:
        """Charge requests for steps that were closed before they were known, out of what was held back there."""
        costs = together_costs(blocks)
        claims = Claims(costs.steps, fresh.work, costs.iterations, fresh.left, fresh.since, book.pace)
        seconds, computed, decoded, read = claims.spread()
        price, iterations = costs.prices[0], costs.iterations
        asked = (price.computed * computed + price.shared * seconds) / self.step
        asked += (price.decoded * decoded + price.read * read) / iterations
        there = costs.held.sum(axis=0)
        # What the others did is known less exactly in time than in amount: it is paid out of the pool of some seconds.
        pool, wanted = windowed(costs.steps, there, _POOL), windowed(costs.steps, asked, _POOL)
        share = np.divide(pool, wanted, out=np.ones_like(pool), where=wanted > pool)
        taken = book.take(blocks, np.divide(wanted * share, pool, out=np.zeros_like(pool), where=pool > 0))
        for gpu, joules in zip(book.key.gpus, taken, strict=True):
            self._devices[gpu].attributed += joules
        book.late += float(seconds.sum())
        scaled = costs._replace(prices=tuple(one.scaled(share) for one in costs.prices))
        return pay(fresh, claims, scaled, sum(taken))

    def _finish(self, book: Book) -> list[Shares]:
        """Take out the requests that are divided to the end."""
        done = book.finish(self.closed * self.step, _MARGIN)
        return [settled(done, self.fit(book.key), book.method)] if done.rows else []


def _fresh(number: NDArray[np.int64], kind: NDArray[np.int64], work: Work, known_since: float) -> Open:
    """Begin with requests. What they did before anything is known of the engine is left out."""
    before = np.maximum(0.0, np.minimum(work.end, known_since) - work.first)
    length = np.maximum(work.end - work.first, _LEAST)
    left = work.decoded * (1 - np.minimum(1.0, before / length))
    paid = np.zeros((len(NOBODY.paid), len(number)))
    return Open(number, kind, work, np.maximum(work.begin, known_since), left, paid)


def _sequences(steps: Steps, loads: dict[EngineKey, Load], gpu: Gpu) -> Numbers:
    """Seconds of sequences on a GPU in each step."""
    here = [told.sequences for key, told in loads.items() if gpu in key.gpus]
    found: Numbers = np.sum([np.zeros(steps.length), *here], axis=0)
    return found
