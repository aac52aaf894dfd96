# SPDX-License-Identifier: Apache-2.0
"""What requests may claim of some steps: seconds in the batch and tokens, and what these come to at given prices."""

from typing import NamedTuple

import numpy as np

from agent.processors.ledger.steps import Axis, Numbers, Steps, between
from agent.processors.ledger.work import Placed, Work, place

_SHORTEST = 1e-3
"""Seconds that tokens are spread over at least: what lies denser takes the digits of all others."""
_FINEST = 1e-7
"""Share of all iterations below which a sequence is in none: finer than that, sums of all of them do not tell."""
_GROWING = 1e-3
"""Share of all iterations, but of one at least, up to which the growth of a context is left out: it evens out."""


class Prices(NamedTuple):
    """What one counter costs in each step, in its own unit, as amounts for who is there for all of the step.

    By prompt token computed and by KV-cache token read per second of a prefill; by token decoded and by KV-cache token
    read per iteration; and by sequence in the batch.
    """

    computed: Numbers
    cached: Numbers
    decoded: Numbers
    read: Numbers
    shared: Numbers

    def scaled(self, factor: Numbers) -> "Prices":
        """Scale each step."""
        return Prices(*(column * factor for column in self))


class Claims:
    """The claims of requests on some steps, between two moments of each.

    `left` are the tokens that each has still to decode from there on, `pace` how many iterations a second there will
    be after the steps: they tell how many of these tokens fall into the steps.
    """

    def __init__(
        self, steps: Steps, work: Work, iterations: Numbers, left: Numbers, since: Numbers, pace: float
    ) -> None:
        """Place the requests. Times are s; only what is after `since` of each counts."""
        self.at: Placed = place(work, steps, since)
        self._time = Axis(np.full(steps.length, steps.seconds))
        self._axis = Axis(iterations)
        length = np.maximum(work.first - work.begin, _SHORTEST)
        self._computed, self._cached = work.computed / length, work.cached / length
        inside = between(iterations, self.at.first, self.at.end)
        total = float(self._axis.edges[-1])
        inside = np.where(inside > _FINEST * total, inside, 0.0)
        later = np.maximum(0.0, work.end - np.maximum(work.first, steps.last * steps.seconds)) * pace
        self.decoded: Numbers = np.divide(left * inside, inside + later, out=np.zeros_like(inside), where=inside > 0)
        """Tokens that each decodes in these steps."""
        self._rate = np.divide(self.decoded, inside, out=np.zeros_like(inside), where=inside > 0)
        self._context = work.context + (work.decoded - left)
        self._slope = np.where(inside > max(1.0, _GROWING * total), self._rate * self._rate, 0.0)
        self._level = self._rate * np.where(
            self._slope > 0, self._context - self._rate * self._axis.at(self.at.first), self._context + self.decoded / 2
        )
        """KV-cache tokens read per iteration: level, and slope by iteration, as the context grows with its tokens."""

    def seconds(self) -> Numbers:
        """Seconds that each is in the batch."""
        return between(self._time.growth, self.at.begin, self.at.end)

    def spread(self) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Add up over all, for each step: seconds in the batch, tokens computed, decoded, and read from KV cache."""
        begin, first, end = self.at
        return (
            _positive(self._time.spread(begin, end, np.ones(len(self._rate)))),
            _positive(self._time.spread(begin, first, self._computed)),
            _positive(self._axis.spread(first, end, self._rate)),
            _positive(self._axis.spread(first, end, self._level, self._slope))
            + _positive(self._time.spread(begin, first, self._cached)),
        )

    def tokens(self) -> tuple[Numbers, Numbers]:
        """Tokens that each has computed, and read from KV cache, in these steps."""
        begin, first, end = self.at
        prefill = between(self._time.growth, begin, first)
        axis = self._axis
        x0, x1 = axis.at(first), axis.at(end)
        read = (self._level + self._slope * (x0 + x1) / 2) * between(axis.growth, first, end)
        return self._computed * prefill, self._cached * prefill + read

    def charge(self, prices: Prices) -> tuple[Numbers, Numbers]:
        """Give what each owes for its prefill and for its decode."""
        begin, first, end = self.at
        prefill = self._computed * between(prices.computed, begin, first)
        prefill += self._cached * between(prices.cached, begin, first)
        prefill += between(prices.shared, begin, first)
        decode = self._rate * between(prices.decoded, first, end)
        decode += self._level * between(prices.read, first, end)
        decode += self._slope * self._axis.moment(prices.read, first, end)
        decode += between(prices.shared, first, end)
        return prefill, decode

    def of(self, amounts: Numbers) -> Numbers:
        """Give what each has of amounts per second in the batch (times the seconds of the step)."""
        return between(amounts, self.at.begin, self.at.end)


def _positive(amounts: Numbers) -> Numbers:
    """Take away what rounding leaves below zero once every interval has ended."""
    return np.maximum(0.0, amounts)
