# SPDX-License-Identifier: Apache-2.0
"""Histories of GPUs and engines, as examples draw them."""

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from agent.entities import Gpu
from agent.processors.ledger.book import EngineKey
from agent.processors.ledger.calibration import Calibration, Coefficients, Sums

GPUS = tuple(Gpu(f"GPU-{index}", f"gpu{index}") for index in range(3))
KEYS = (EngineKey("a", GPUS[:1]), EngineKey("b", GPUS[:2]), EngineKey("c", GPUS[1:]))
"""Engines of which every two share a GPU or neighbour on one."""
COSTS = (Coefficients(3.0, 0.02, 0.05, 2e-5), Coefficients(0.0, 0.1, 0.0, 0.0), Coefficients(8.0, 0.0, 1.0, 1e-3))
IDLE = 70.0


class Metering(NamedTuple):
    """The energy counter of a GPU: W in each second, over and over; what goes wrong with it, s; utilization."""

    watts: tuple[int, ...]
    begins: int = 0
    gap: tuple[int, int] = (0, 0)
    resets: int | None = None
    utilization: float | None = None
    nvlink: bool = False


class Row(NamedTuple):
    """A request: of which engine, before which close it comes, when it was, s, and its tokens; see Work."""

    engine: int
    comes: int
    begin: float
    first: float
    end: float
    computed: float
    cached: float
    decoded: float
    context: float

    @property
    def idle(self) -> bool:
        """Whether it did nothing in no time."""
        return self.begin == self.end and not (self.computed or self.cached or self.decoded)


class Page(NamedTuple):
    """What an engine tells each second: how much of it, sequences running, and what its counters grow by."""

    detail: int
    running: tuple[int, ...]
    grows: tuple[int, ...]


class History(NamedTuple):
    """All that a ledger is given. `closes` are numbers of steps, `forgets` how many steps are remembered, if not all.

    `calibrated` says of each engine which costs are known of it, if any; `delay` is how many seconds of samples there
    are after the end of what is closed.
    """

    step: float
    meters: tuple[Metering, ...]
    rows: tuple[Row, ...]
    pages: tuple[Page | None, ...]
    closes: tuple[int, ...]
    forgets: int | None
    calibrated: tuple[int | None, ...]
    delay: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return sum(self.closes) * self.step


@cache
def sums_of(kind: int, gpus: int) -> Sums:
    """Make sums of windows of an engine whose work costs what COSTS say."""
    dice = np.random.default_rng(kind)
    count = 400
    iterations = dice.uniform(10, 80, count)
    batch, context = dice.uniform(1, 30, count), dice.uniform(100, 4000, count)
    prefill = dice.uniform(0, 8000, count)
    decoded = iterations * batch
    rows = np.stack([np.full(count, 2.0), iterations, prefill, decoded, decoded * context], axis=1)
    found = Calibration()
    found.learn(rows, rows @ np.array([IDLE * gpus, *COSTS[kind]]), 2.0, np.ones(count))
    return found.sums()


_TOKENS = (0, 0, 1, 7, 100, 3000, 131072)
_NUDGES = (0.0, 0.0, 0.0, 1.3e-9, -1.3e-9, 3e-12, 2.7e-6, 0.0377)
_LENGTHS = (0, 0, 1, 2, 3, 8, 15, 40, 100_000)
SEEDS = st.integers(0, (1 << 24) - 1)
"""One number says all of a request or a GPU: dice that are drawn one by one would take most of the time."""


def row(seed: int, engines: int, closes: int) -> Row:
    """Make a request; times are quarters of a second, give or take what rounding might."""
    dice = Random(seed)
    begin = dice.randint(-8, 90) / 4 + dice.choice(_NUDGES)
    first = begin + dice.choice(_LENGTHS) / 4
    end = max(first, first + dice.choice(_LENGTHS) / 4 + dice.choice(_NUDGES))
    return Row(
        engine=dice.randrange(engines),
        comes=dice.randint(0, closes),
        begin=begin,
        first=np.nan if dice.random() < 0.2 else first,
        end=end,
        computed=float(dice.choice(_TOKENS)),
        cached=np.nan if dice.random() < 0.2 else float(dice.choice(_TOKENS)),
        decoded=float(dice.choice(_TOKENS)),
        context=float(dice.choice(_TOKENS)),
    )


def metering(seed: int) -> Metering:
    """Make a GPU, with what may go wrong with its counter."""
    dice = Random(seed)
    return Metering(
        watts=tuple(dice.choices((0, 70, 300, 700, 1000), k=4)),
        begins=dice.choice((0, 0, 0, 3, 9)),
        gap=dice.choice(((0, 0), (0, 0), (4, 2), (3, 7), (0, 2))),
        resets=dice.choice((None, None, 5, 6)),
        utilization=dice.choice((None, None, 0.0, 0.9)),
        nvlink=dice.random() < 0.5,
    )


def page(seed: int) -> Page | None:
    """Make what an engine tells; many tell nothing."""
    dice = Random(seed)
    counts = tuple(dice.choices(range(10), k=3)), tuple(dice.choices(range(10), k=4))
    return None if seed % 2 else Page(dice.randrange(3), *counts)


def history(seed: int, rows: Sequence[int]) -> History:
    """Make anything that may happen, with a request for each of these numbers."""
    dice = Random(seed)
    engines, closes = dice.choice((1, 1, 2, 3)), tuple(dice.choices((1, 2, 7, 20, 33, 64), k=dice.randint(1, 3)))
    return History(
        step=dice.choice((0.1, 0.25, 0.5)),
        meters=tuple(metering(dice.getrandbits(24)) for _ in range(engines)),
        # Every third comes twice: the same span, sent again.
        rows=tuple(row(one, engines, len(closes)) for place, one in enumerate(rows) for _ in range(1 + place % 3 // 2)),
        pages=tuple(page(dice.getrandbits(24)) for _ in range(engines)),
        closes=closes,
        forgets=dice.choice((None, None, 0, 10, 50)),
        calibrated=tuple(dice.choice((None, 0, 1, 2)) for _ in range(3)),
        delay=dice.choice((0.0, 1.0, 3.0)),
    )


HISTORIES = st.builds(history, SEEDS, st.lists(SEEDS, max_size=9))
