# SPDX-License-Identifier: Apache-2.0
"""Passes laid out in time: what they did, spread over how long they took, as counters that are read at each step."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """The counters at a time, ns; None where something between the step before and this one is not known."""

    time: int
    values: tuple[float, ...] | None


class Steps:
    """Adds up amounts by steps of time, and gives cumulative rows of the steps that are closed, in order.

    What is added to an interval is shared among its steps by their part of it. What lies in steps that were closed
    before is not added: a counter does not change its past. Everything that was added comes out, each once.
    """

    def __init__(self, step: int, width: int, capacity: int = 1024) -> None:
        """Sum `width` amounts in steps of `step` ns, of which at most `capacity` are open."""
        self._step = step
        self._capacity = capacity
        self._open: dict[int, list[float]] = {}
        self._unknown: set[int] = set()
        self._next = 0
        self._began = False
        self._total = [0.0] * width

    def add(self, begin: int, end: int, amounts: Sequence[float]) -> bool:
        """Add amounts to an interval, ns. Returns whether all of it lay in steps that are open."""
        first, last = self._range(begin, end)
        self._begin(first)
        if first < self._next or last >= self._next + self._capacity:
            return False
        for number in range(first, last + 1):
            share = self._share(number, begin, end) if first < last else 1.0
            sums = self._open.get(number)
            if sums is None:
                sums = self._open[number] = [0.0] * len(self._total)
            for at, amount in enumerate(amounts):
                sums[at] += amount * share
        return True

    def blur(self, begin: int, end: int) -> None:
        """Say that not all of what was done in an interval is known."""
        first, last = self._range(begin, end)
        self._begin(first)
        first, last = max(first, self._next), min(last, self._next + self._capacity - 1)
        self._unknown.update(range(first, last + 1))

    def close(self, until: int) -> Iterator[Row]:
        """Close the steps that ended until a time, and give the counters at the end of each."""
        if not self._began:
            return
        stop = until // self._step
        # After a pause longer than what is kept, rows of the steps before are of no use.
        first = max(self._next, stop - self._capacity)
        self._settle(first)
        for number in range(first, stop):
            self._sum(number)
            unknown = number in self._unknown
            self._unknown.discard(number)
            yield Row((number + 1) * self._step, None if unknown else tuple(self._total))
        self._settle(max(first, stop))

    def _begin(self, first: int) -> None:
        """Begin one step early, so that there is a row from which the first increase can be told."""
        if not self._began:
            self._began, self._next = True, first - 1

    def _settle(self, number: int) -> None:
        """Go on at a step; what was added to those before it counts from there."""
        self._next = number
        for passed in [one for one in self._open if one < number]:
            self._sum(passed)
        self._unknown = {one for one in self._unknown if one >= number}

    def _sum(self, number: int) -> None:
        for at, amount in enumerate(self._open.pop(number, ())):
            self._total[at] += amount

    def _range(self, begin: int, end: int) -> tuple[int, int]:
        """Which steps an interval lies in. What ends with a step lies in it, not in the next."""
        last = (max(begin, end) - 1) // self._step
        return min(begin // self._step, last), last

    def _share(self, number: int, begin: int, end: int) -> float:
        overlap = min(end, (number + 1) * self._step) - max(begin, number * self._step)
        return overlap / (end - begin)
