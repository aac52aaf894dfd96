# SPDX-License-Identifier: Apache-2.0
"""Other rules of dividing energy, to compare with: equal shares of time, and shares by tokens."""

import numpy as np

from agent.processors.ledger.steps import Axis, Numbers, Steps, between
from agent.processors.ledger.work import place
from tests.accuracy.replay import STEP, work
from tests.accuracy.simulated import Observed


def by_time(seen: Observed) -> Numbers:
    """Divide the energy of each step equally among those that were in the batch."""
    steps, joules = _joules(seen)
    at = place(work(seen), steps)
    time = Axis(np.full(steps.length, STEP))
    there = time.spread(at.begin, at.end, np.ones(len(at.begin.step)))
    price = np.divide(joules * STEP, there, out=np.zeros(steps.length), where=there > 1e-9)
    return between(price, at.begin, at.end)


def by_tokens(seen: Observed) -> Numbers:
    """Divide the energy of each step by the tokens, prompt and output alike, that went through meanwhile."""
    steps, joules = _joules(seen)
    rows = work(seen)
    at = place(rows, steps)
    time = Axis(np.full(steps.length, STEP))
    prefill = (rows.computed + rows.cached) / np.maximum(rows.first - rows.begin, 1e-3)
    decode = rows.decoded / np.maximum(rows.end - rows.first, 1e-3)
    tokens = time.spread(at.begin, at.first, prefill) + time.spread(at.first, at.end, decode)
    price = np.divide(joules * STEP, tokens, out=np.zeros(steps.length), where=tokens > 1e-6)
    return prefill * between(price, at.begin, at.first) + decode * between(price, at.first, at.end)


def _joules(seen: Observed) -> tuple[Steps, Numbers]:
    steps = Steps(0, int(seen.case.seconds / STEP), STEP)
    each = [np.diff(np.interp(steps.edges, seen.times, told)) for told in seen.joules]
    return steps, np.sum(each, axis=0)
