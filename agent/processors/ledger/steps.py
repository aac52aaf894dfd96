# SPDX-License-Identifier: Apache-2.0
"""Rows of equal steps of time, and what many intervals come to over each of them.

An interval with a density that is linear (of a coordinate that grows evenly within each step) is put into the steps
with a few additions at its ends and one running sum for all: O(steps + intervals). Taking the integral of a price over
an interval is the same the other way round.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]


class Points(NamedTuple):
    """Moments on a row of steps: the step in which each is, and the share of it that has passed, from 0 to 1."""

    step: NDArray[np.int64]
    share: Numbers


class Steps(NamedTuple):
    """Steps number `first` to `last` - 1 of `seconds` each; step 0 begins at 0 s."""

    first: int
    last: int
    seconds: float

    @property
    def length(self) -> int:
        """How many there are."""
        return self.last - self.first

    @property
    def edges(self) -> Numbers:
        """Times at which they begin, and that at which the last ends, s."""
        return np.arange(self.first, self.last + 1).astype(np.float64) * self.seconds

    def points(self, times: Numbers) -> Points:
        """Place moments, s; those before the first or after the last step are moved to its edge."""
        place = np.clip(times / self.seconds - self.first, 0.0, self.length)
        step = np.minimum(place.astype(np.int64), self.length - 1)
        return Points(step, place - step)


class Axis:
    """A coordinate that grows by so much in each step, evenly within it: time, or the number of iterations."""

    def __init__(self, growth: Numbers) -> None:
        """Begin at 0 with the first step."""
        self.growth = growth
        self.edges = running(growth)

    def at(self, points: Points) -> Numbers:
        """Give the coordinate of moments."""
        return self.edges[points.step] + points.share * self.growth[points.step]

    def spread(self, begin: Points, end: Points, level: Numbers, slope: Numbers | None = None) -> Numbers:
        """Integrate over each step the sum of intervals of density `level` + `slope` x coordinate."""
        count = len(self.growth)
        found, levels, slopes = np.zeros(count + 1), np.zeros(count + 1), np.zeros(count + 1)
        for points, sign in ((begin, 1.0), (end, -1.0)):
            after = points.step + 1
            # Not the difference of two coordinates: they may be far larger than it.
            left = (1 - points.share) * self.growth[points.step]
            rest = level * left
            if slope is not None:
                rest = rest + slope * left * (self.edges[after] + self.at(points)) / 2
                slopes += np.bincount(after, sign * slope, count + 1)
            found += np.bincount(points.step, sign * rest, count + 1)
            levels += np.bincount(after, sign * level, count + 1)
        whole = np.cumsum(levels)[:-1]
        if slope is not None:
            whole += np.cumsum(slopes)[:-1] * (self.edges[:-1] + self.edges[1:]) / 2
        return found[:-1] + whole * self.growth

    def moment(self, amounts: Numbers, begin: Points, end: Points) -> Numbers:
        """Integrate coordinate x density over intervals, of a density that comes to these amounts in each step."""
        middle = (self.edges[:-1] + self.edges[1:]) / 2
        total = running(amounts * middle)

        def part(points: Points) -> Numbers:
            place = points.step
            found: Numbers = amounts[place] * points.share * (self.edges[place] + self.at(points)) / 2
            return found

        return (total[end.step] - total[begin.step]) + (part(end) - part(begin))


def running(amounts: Numbers) -> Numbers:
    """Add up from the first step to each edge: one more than there are steps."""
    return np.concatenate(([0.0], np.cumsum(amounts)))


def between(amounts: Numbers, begin: Points, end: Points) -> Numbers:
    """Integrate over intervals what comes to these amounts in each step, evenly within it."""
    total = running(amounts)
    # The sums first: within a step their difference is nothing, however large they are.
    whole = total[end.step] - total[begin.step]
    return whole + (end.share * amounts[end.step] - begin.share * amounts[begin.step])


def idle_seconds(steps: Steps, begin: Numbers, end: Numbers) -> Numbers:
    """Give the seconds of each step in which none of the intervals is under way. Times in s."""
    edge = steps.edges
    if not len(begin):
        return np.full(steps.length, steps.seconds)
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], np.maximum.accumulate(end[order])
    since = np.concatenate(([edge[0]], end))
    until = np.concatenate((begin, [edge[-1]]))
    gap = until > since
    axis = Axis(np.full(steps.length, steps.seconds))
    found = axis.spread(steps.points(since[gap]), steps.points(until[gap]), np.ones(int(gap.sum())))
    return np.clip(found, 0.0, steps.seconds)
