# SPDX-License-Identifier: Apache-2.0
"""The timeline: a bounded history of cumulative counters and states, stamped by one clock.

Each source has a ring of times and a ring of rows of values, so that a window of a series is a slice and the
memory is known from the start: retention / step * series * 8 bytes, step being that of the source.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from math import nan
from typing import Any

from agent.clock import NS
from agent.metric import Metric, Series
from agent.snapshot import Source


class Ring:
    """A history of rows of values that all belong to the same times."""

    def __init__(self, series: tuple[Series, ...], capacity: int, age: int) -> None:
        """Keep the last `capacity` rows, and none older than `age` ns before the last."""
        self.series = series
        self._capacity = capacity
        self._age = age
        self._times = array("q")
        self._values = [array("d") for _ in series]
        self._start = 0
        self.overwritten = 0

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._times) - self._start

    @property
    def fill(self) -> float:
        """Share of the capacity in use."""
        return len(self) / self._capacity

    def append(self, time: int, values: Sequence[float | None]) -> bool:
        """Add a row; one that is not newer than the last is refused. Returns whether it was taken."""
        if self._times and time <= self._times[-1]:
            return False
        if len(values) != len(self._values):
            raise ValueError("a row of another width")
        self._times.append(time)
        for column, value in zip(self._values, values, strict=True):
            column.append(nan if value is None else value)
        if len(self) > self._capacity:
            self._start += 1
            self.overwritten += 1
        while self._times[self._start] < time - self._age:
            self._start += 1
        # Old rows are cut off in one go, so that a row costs O(1) on average.
        if self._start > self._capacity // 4 + 16:
            del self._times[: self._start]
            for column in self._values:
                del column[: self._start]
            self._start = 0
        return True

    def window(self, column: int, since: int, until: int) -> tuple["array[int]", "array[float]"]:
        """Cut out times (ns) and values with since <= time <= until; NaN where there was no value."""
        first = bisect_left(self._times, since, lo=self._start)
        last = bisect_right(self._times, until, lo=self._start)
        return self._times[first:last], self._values[column][first:last]


class Timeline:
    """The rings of all sources, looked up by series."""

    def __init__(
        self,
        retention: float,
        step: float,
        max_sources: int = 1024,
        guard: AbstractContextManager[object] | None = None,
    ) -> None:
        """Keep `retention` seconds at one row each `step` seconds, of at most `max_sources` sources.

        With `guard`, a lock, windows can be cut in another thread than the one that appends.
        """
        self._guard = guard or nullcontext()
        self._age = int(retention * NS)
        self._capacity = max(int(retention / step), 2)
        self._max_sources = max_sources
        self._rings: dict[Source, Ring] = {}
        self._places: dict[Series, tuple[Ring, int]] = {}
        self._index: tuple[object, dict[Metric[Any], list[Series]]] = (None, {})
        self.refused = 0

    def append(self, source: Source, series: tuple[Series, ...], time: int, values: Sequence[float | None]) -> None:
        """Add a row. A source that names other series than before starts a new ring and loses its history."""
        ring = self._rings.get(source)
        if ring is None or (ring.series is not series and ring.series != series):
            if ring is None and len(self._rings) >= self._max_sources:
                self.refused += 1
                return
            ring = self._start(source, series)
        with self._guard:
            if not ring.append(time, values):
                self.refused += 1

    def window(self, series: Series, since: int, until: int) -> tuple["array[int]", "array[float]"]:
        """Cut out the history of a series; empty when there is none."""
        place = self._places.get(series)
        if place is None:
            return array("q"), array("d")
        with self._guard:
            return place[0].window(place[1], since, until)

    def series_of(self, metric: Metric[Any]) -> list[Series]:
        """List the series of a metric that have a history."""
        places, index = self._index
        if places is not self._places:
            places, index = self._places, {}
            for series in places:
                index.setdefault(series.metric, []).append(series)
            self._index = (places, index)
        return list(index.get(metric, ()))

    def fill(self) -> float:
        """Share of the fullest ring that is in use."""
        return max((ring.fill for ring in self._rings.values()), default=0.0)

    def _start(self, source: Source, series: tuple[Series, ...]) -> Ring:
        old = self._rings.get(source)
        ring = self._rings[source] = Ring(series, self._capacity, self._age)
        # Replaced as a whole: another thread may be looking through it.
        places = {name: place for name, place in self._places.items() if place[0] is not old}
        self._places = places | {name: (ring, column) for column, name in enumerate(series)}
        return ring
