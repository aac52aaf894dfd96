# SPDX-License-Identifier: Apache-2.0
"""What an OTLP push says; pushes share all but their values and times."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from typing import Any, NamedTuple

from agent.clock import Clock
from agent.entity import attributes
from agent.metric import Counter, Distribution, Info, Metric, Series, UpDownCounter
from agent.snapshot import Batch, Snapshot, Source


class Point(NamedTuple):
    """One value of one series. Times are unix ns; `start` is 0 where the metric is not cumulative."""

    metric: Metric[Any]
    attributes: dict[str, str]
    start: int
    time: int
    value: float


class HistogramPoint(NamedTuple):
    """What one series of a histogram observed between two times, unix ns."""

    distribution: Distribution
    attributes: dict[str, str]
    start: int
    time: int


class Layout(NamedTuple):
    """The series of a batch, and the attributes of each. `lasting` when all of them say what something is."""

    series: tuple[Series, ...]
    attributes: tuple[dict[str, str], ...]
    lasting: bool = False


class Part(NamedTuple):
    """What a push says of one source."""

    layout: Layout
    values: Sequence[float | None]
    starts: Sequence[int]
    time: int
    histograms: Sequence[HistogramPoint]

    def points(self) -> Iterator[Point]:
        """Give the points that have a value, but for those of histograms."""
        (series, named, _), time = self.layout, self.time
        for (metric, _), attrs, start, value in zip(series, named, self.starts, self.values, strict=True):
            if value is not None and not isnan(value):
                yield Point(metric, attrs, start, time, float(value))


class Push(NamedTuple):
    """What is sent at once."""

    parts: tuple[Part, ...]

    def points(self) -> Iterator[Point]:
        """Give every point, but for those of histograms."""
        for part in self.parts:
            yield from part.points()

    def histograms(self) -> Iterator[HistogramPoint]:
        """Give every point of a histogram."""
        for part in self.parts:
            yield from part.histograms

    def size(self) -> int:
        """Count the points; of a histogram one for each series."""
        return sum(1 for _ in self.points()) + sum(len(part.histograms) for part in self.parts)


class _Seen(NamedTuple):
    """A cumulative series: since when it counts, and its last value and time."""

    start: int
    value: float
    time: int


class _Watched(NamedTuple):
    batch: Batch
    part: Part
    seen: Sequence[_Seen | None]
    histograms: Mapping[Series, tuple[dict[str, str], _Seen]]
    """Of each histogram its attributes, and its number of observations as the value that was seen."""


_NOTHING = Batch((), (), 0)


class Observer:
    """Makes pushes of snapshots, and remembers since when each cumulative series counts.

    A series counts from its first observation; when a counter falls, its source started again after the last
    observation before the fall. Of a histogram the number of observations is what must not fall. What is remembered
    is of the series of the last snapshot only.
    """

    def __init__(self, clock: Clock) -> None:
        """Know nothing yet. `clock` turns the times of batches into wall time."""
        self._clock = clock
        self._watched: dict[Source, _Watched] = {}

    def push(self, snapshot: Snapshot) -> Push:
        """Make a push of everything in the snapshot. A batch that has not changed is sent again as it was.

        But what something is has the time of the push: it is read once, and a back end forgets a point that gets old.
        """
        self._watched = {source: self._watch(source, batch) for source, batch in snapshot.batches.items()}
        now = self._clock.unix_ns(self._clock.monotonic_ns())
        parts = (watched.part for watched in self._watched.values())
        return Push(tuple(part._replace(time=now) if part.layout.lasting else part for part in parts))

    def _watch(self, source: Source, batch: Batch) -> _Watched:
        before = self._watched.get(source)
        if before is None:
            before = _Watched(_NOTHING, Part(_layout(()), (), (), 0, ()), (), {})
        if before.batch is batch:
            return before
        if before.batch.series is not batch.series:
            known = dict(zip(before.batch.series, before.seen, strict=True))
            part = before.part._replace(layout=_layout(batch.series), starts=())
            before = before._replace(part=part, seen=[known.get(one) for one in batch.series])
        return _watched(batch, before, self._clock)


def _layout(series: tuple[Series, ...]) -> Layout:
    lasting = bool(series) and all(isinstance(metric, Info) for metric, _ in series)
    return Layout(series, tuple(dict(attributes(entity)) for _, entity in series), lasting)


def _watched(batch: Batch, before: _Watched, clock: Clock) -> _Watched:
    """Watch the next batch of a source; `before` is of the same layout."""
    # Converted once per batch: the two clocks drift, and a point that is sent again must keep its time.
    time = clock.unix_ns(batch.time)
    layout, shared = before.part.layout, before.part.starts
    seen = [
        _see(metric, last, value, time) if isinstance(metric, Counter | UpDownCounter) else None
        for (metric, _), last, value in zip(batch.series, before.seen, batch.values, strict=True)
    ]
    starts = tuple([one.start if one else 0 for one in seen])
    observed = [(one, *_observe(one, before.histograms.get(one.series), time)) for one in batch.distributions]
    points = [HistogramPoint(one, named, last.start, time) for one, named, last in observed]
    histograms = {one.series: (named, last) for one, named, last in observed}
    part = Part(layout, batch.values, shared if starts == shared else starts, time, points)
    return _Watched(batch, part, seen, histograms)


def _observe(
    distribution: Distribution, known: tuple[dict[str, str], _Seen] | None, time: int
) -> tuple[dict[str, str], _Seen]:
    named, last = known or (dict(attributes(distribution.series.entity)), None)
    return named, _seen(last, distribution.observations, time, monotonic=True)


def _see(metric: Metric[Any], last: _Seen | None, value: float | None, time: int) -> _Seen | None:
    if value is None or isnan(value):
        return last
    return _seen(last, value, time, monotonic=metric.monotonic)


def _seen(last: _Seen | None, value: float, time: int, *, monotonic: bool) -> _Seen:
    if last is None:
        return _Seen(time, value, time)
    start = last.time if monotonic and value < last.value else last.start
    # No series starts after its own point, even when the wall clock was set back.
    return _Seen(min(start, time), value, time)
