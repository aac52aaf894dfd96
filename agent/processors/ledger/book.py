# SPDX-License-Identifier: Apache-2.0
"""What is known of one engine: its requests that are not divided to the end, and what its steps cost.

Costs are kept for as long as requests may come late: what was held back for those that were not known is paid out to
them at the prices of then.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.entities import Gpu
from agent.processors.ledger.calibration import COLUMNS, Calibration
from agent.processors.ledger.claims import Claims, Prices
from agent.processors.ledger.division import WINDOW
from agent.processors.ledger.load import Load, Pages
from agent.processors.ledger.steps import Numbers, Steps
from agent.processors.ledger.work import EMPTY, Work, together

COUNTERS = ("energy", "busy", "nvlink", "pcie")
"""What is divided."""
_FADE = 0.5 ** (WINDOW / 300.0)
"""By which what is remembered about an engine fades in each window: half is gone after five minutes."""
_BY_SPANS, _AT_ONCE = 1, 4
"""Where spans alone tell of iterations and tokens, these are known better over longer windows: so many in one."""
_PACE = 50.0
"""Iterations a second of an engine of which nothing is known."""


class EngineKey(NamedTuple):
    """An engine, and the GPUs it runs on."""

    name: str
    gpus: tuple[Gpu, ...]


class Costs(NamedTuple):
    """What some steps cost.

    Iterations; prices of the counters in the order of COUNTERS, added up over the GPUs; the turns (iterations by
    sequence) that a sequence in the batch shares in; the seconds that the model divided, and that were divided at all;
    and J held back on each GPU, in the order of the engine's.
    """

    steps: Steps
    iterations: Numbers
    prices: tuple[Prices, ...]
    turns: Numbers
    modelled: Numbers
    covered: Numbers
    held: NDArray[np.float64]


class Open(NamedTuple):
    """Requests that are not divided to the end, as columns.

    `number` is by which whoever brought them knows them, `kind` which class of requests each belongs to. `since`, s,
    is from when on they are still to be charged; `left` are the tokens they have still to decode from there on.
    `paid` holds what each was charged, a row for each of PAID.
    """

    number: NDArray[np.int64]
    kind: NDArray[np.int64]
    work: Work
    since: Numbers
    left: Numbers
    paid: NDArray[np.float64]

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.number)

    def take(self, rows: NDArray[np.bool_]) -> "Open":
        """Give some rows."""
        return Open(
            self.number[rows],
            self.kind[rows],
            self.work.take(rows),
            self.since[rows],
            self.left[rows],
            self.paid[:, rows],
        )


PAID = ("prefill", "decode", "busy", "nvlink", "pcie", "turns", "computed", "decoded", "read", "modelled", "covered")
"""What is added up for each request: J of both phases, busy s, bytes; its turns and tokens, for the uncertainty; and
the seconds in the batch that the model divided, and that were divided at all."""
NOBODY = Open(np.empty(0, np.int64), np.empty(0, np.int64), EMPTY, np.empty(0), np.empty(0), np.empty((len(PAID), 0)))


def joined(some: Sequence[Open]) -> Open:
    """Put rows together."""
    some = [one for one in some if one.rows] or [NOBODY]
    if len(some) == 1:
        return some[0]
    return Open(
        np.concatenate([one.number for one in some]),
        np.concatenate([one.kind for one in some]),
        together([one.work for one in some]),
        np.concatenate([one.since for one in some]),
        np.concatenate([one.left for one in some]),
        np.concatenate([one.paid for one in some], axis=1),
    )


class Book:
    """One engine."""

    def __init__(self, key: EngineKey, calibration: Calibration) -> None:
        """Begin with nothing known but, perhaps, its calibration."""
        self.key = key
        self.calibration = calibration
        self.open = NOBODY
        self.done = EMPTY
        """Those that were divided to the end a moment ago: what the engine's page says is compared with them too."""
        self.costs: deque[Costs] = deque()
        self.gauged = False
        """Whether the engine says how many sequences run. Where it does not, who still runs is not known."""
        self.method = 1
        """The place of how its energy is divided in payment.METHODS, once it is calibrated."""
        self._rows = np.empty((0, len(COLUMNS) + 2))
        self.longest = 0.0
        """Seconds that its longest requests last, fading."""
        self.above = np.zeros(len(key.gpus))
        """J above idling of each GPU, fading: how the engine's energy is spread over them."""
        self.late = self.known = 0.0
        """Seconds of sequences that came too late to be known, and of those that were known, fading."""

    @property
    def shares(self) -> Numbers:
        """The share of each GPU in the engine's energy above idling."""
        total = float(self.above.sum())
        count = len(self.above)
        return self.above / total if total > 0 else np.full(count, 1 / count)

    @property
    def hidden(self) -> float:
        """How many sequences there are to a known one, as it turned out before."""
        return min(10.0, self.late / self.known) if self.known > 0 else 0.0

    @property
    def work(self) -> Work:
        """All requests that matter for the steps to come."""
        return together([self.done, self.open.work])

    @property
    def pace(self) -> float:
        """Iterations a second, lately."""
        if self.costs and (ran := self.costs[-1].turns > 0).any():
            last = self.costs[-1]
            return max(1.0, float(last.iterations[ran].mean()) / last.steps.seconds)
        return _PACE

    @property
    def held(self) -> NDArray[np.float64]:
        """J that are held back, of each GPU."""
        found = np.zeros(len(self.key.gpus))
        for one in self.costs:
            found += one.held.sum(axis=1)
        return found

    @property
    def gone(self) -> bool:
        """Nothing of it is left."""
        return not self.open.rows and not any((one.turns > 0).any() for one in self.costs)

    def looked(self, pages: Pages) -> None:
        """Note what the engine's page tells, as far as it is there."""
        self.gauged = pages.running is not None
        self.method = 3 if pages.iterations is not None else 2 if pages.output is not None else 1

    def claims(self, steps: Steps, load: Load) -> Claims:
        """Give what its requests claim of some steps."""
        ran = load.sequences > 0
        pace = float(load.iterations[ran].mean()) / steps.seconds if ran.any() else self.pace
        return Claims(steps, self.open.work, load.iterations, self.open.left, self.open.since, pace)

    def learn(
        self, rows: NDArray[np.float64], joules: NDArray[np.float64], trust: Numbers, idle_watts: Numbers
    ) -> None:
        """Learn from windows: rows of COLUMNS, J of each GPU (GPUs x windows), trust; W of each GPU when idle.

        Trust is NaN where the engine rested: that teaches nothing by itself.
        """
        total = joules.sum(axis=0)
        if self.method == _BY_SPANS:
            self._rows = np.concatenate((self._rows, np.column_stack((rows, total, trust))))
            groups = len(self._rows) // _AT_ONCE
            some, self._rows = self._rows[: groups * _AT_ONCE], self._rows[groups * _AT_ONCE :]
            some = some.reshape(groups, _AT_ONCE, some.shape[1])
            sums = some.sum(axis=1)
            worst = np.where(np.isnan(some[:, :, -1]), 1.0, some[:, :, -1]).min(axis=1)
            worked = some[:, :, 1:-2].any(axis=(1, 2))
            self.calibration.learn(sums[:, :-2], sums[:, -2], _AT_ONCE * WINDOW, np.where(worked, worst, 0.0))
        else:
            self.calibration.learn(rows, total, WINDOW, trust)
        above = np.maximum(0.0, joules - (idle_watts * WINDOW)[:, None])[:, trust > 0].sum(axis=1)
        self.above = self.above * _FADE ** len(trust) + above

    def note(self, costs: Costs, load: Load) -> None:
        """Remember what steps cost."""
        self.costs.append(costs)
        fade = _FADE ** (costs.steps.length * costs.steps.seconds / WINDOW)
        self.known = self.known * fade + float(load.known.sum())
        self.late *= fade
        self.longest *= fade

    def since(self, closed: int) -> int:
        """From which step on something is known, where `closed` is the first that is not closed."""
        return self.costs[0].steps.first if self.costs else closed

    def costs_since(self, first: float) -> list[Costs]:
        """Give what is kept from this step on, whole blocks, in order."""
        return [one for one in self.costs if one.steps.last > first]

    def take(self, blocks: Sequence[Costs], share: Numbers) -> list[float]:
        """Take a share of what is held back in each of these steps. Gives the J taken of each GPU."""
        taken = np.zeros(len(self.key.gpus))
        place = 0
        for block in blocks:
            joules = block.held * share[place : place + block.steps.length]
            np.maximum(0.0, block.held - joules, out=block.held)
            taken += joules.sum(axis=1)
            place += block.steps.length
        return [float(one) for one in taken]

    def finish(self, edge: float, margin: float) -> Open:
        """Take out the requests that ended until `edge`, s; those of the last `margin` seconds stay in `work`."""
        ended = self.open.work.end <= edge
        lately = ended & (self.open.work.end > edge - margin)
        self.done = together([self.done.take(self.done.end > edge - margin), self.open.work.take(lately)])
        done = self.open if ended.all() else self.open.take(ended)
        if done.rows:
            self.longest = max(self.longest, float((done.work.end - done.work.begin).max()))
            self.open = self.open.take(~ended)
        return done

    def forget(self, first: int) -> NDArray[np.float64]:
        """Drop what lies before this step: nobody can claim it any more. Gives the J of each GPU that ended so."""
        ended = np.zeros(len(self.key.gpus))
        while self.costs and self.costs[0].steps.last <= first:
            ended += self.costs.popleft().held.sum(axis=1)
        return ended


def together_costs(some: Sequence[Costs]) -> Costs:
    """Put blocks that follow each other into one; its `held` is a copy."""
    steps = Steps(some[0].steps.first, some[-1].steps.last, some[0].steps.seconds)
    prices = tuple(
        Prices(*(np.concatenate(parts) for parts in zip(*each, strict=True)))
        for each in zip(*(one.prices for one in some), strict=True)
    )
    return Costs(
        steps,
        np.concatenate([one.iterations for one in some]),
        prices,
        np.concatenate([one.turns for one in some]),
        np.concatenate([one.modelled for one in some]),
        np.concatenate([one.covered for one in some]),
        np.concatenate([one.held for one in some], axis=1),
    )
