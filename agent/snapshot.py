# SPDX-License-Identifier: Apache-2.0
"""What is known now: an immutable snapshot, swapped by reference, that every exporter reads."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from agent.metric import Distribution, Metric, Sample, Series


class Source(NamedTuple):
    """Where a batch comes from: a collector, and the device it read where it reads several one by one."""

    collector: str
    device: str = ""


class Batch(NamedTuple):
    """What one source said at one time (ns, monotonic). A value of None is absent.

    `series` is the same object as long as the source names the same series, so that work can be kept per layout.
    The series of histograms are not in it: they are in `distributions`, of which each may be the object that it was
    in the batch before, when nothing was observed since, and which may be made when they are first looked at.
    """

    series: tuple[Series, ...]
    values: Sequence[float | None]
    time: int
    distributions: Sequence[Distribution] = ()

    def samples(self) -> Iterator[Sample]:
        """Give the samples that have a value."""
        for series, value in zip(self.series, self.values, strict=True):
            if value is not None:
                yield Sample(series, value)

    def series_count(self) -> int:
        """Count what it says as Prometheus does: a histogram has a series for each bucket, its sum and its count."""
        histograms = sum(len(one.counts) + 2 for one in self.distributions)
        return len(self.values) - self.values.count(None) + histograms


class Snapshot(NamedTuple):
    """The last batch of every source that is still true."""

    batches: Mapping[Source, Batch]

    def samples(self) -> Iterator[Sample]:
        """Give every sample; what histograms observed is no sample."""
        for batch in self.batches.values():
            yield from batch.samples()

    def of(self, *metrics: Metric[Any]) -> Iterator[Sample]:
        """Give the samples of these metrics. It costs what there is of them, and a look at each batch."""
        for batch in self.batches.values():
            places = _places(batch.series)
            for metric in metrics:
                for place in places.get(metric, ()):
                    value = batch.values[place]
                    if value is not None:
                        yield Sample(batch.series[place], value)

    def distributions(self) -> Iterator[Distribution]:
        """Give what every histogram observed."""
        for batch in self.batches.values():
            yield from batch.distributions

    def series_count(self) -> int:
        """Count the series, as Prometheus does."""
        return sum(batch.series_count() for batch in self.batches.values())


_LAYOUTS = 4096
_Places: TypeAlias = Mapping[Metric[Any], Sequence[int]]
_known: dict[int, tuple[tuple[Series, ...], _Places]] = {}
"""By the identity of a layout, which is the same object from batch to batch, where in it which metric is."""


def _places(series: tuple[Series, ...]) -> _Places:
    known = _known.get(id(series))
    if known is None or known[0] is not series:
        found: dict[Metric[Any], list[int]] = {}
        for place, (metric, _) in enumerate(series):
            found.setdefault(metric, []).append(place)
        if len(_known) >= _LAYOUTS:  # Those of sources that are gone: forget, never grow.
            _known.clear()
        known = _known[id(series)] = (series, found)
    return known[1]


EMPTY = Snapshot(MappingProxyType({}))


class Snapshots:
    """Holds the current snapshot. Writers replace it; who reads it keeps a consistent one for as long as needed."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.current = EMPTY
        self._layouts: dict[Source, tuple[Series, ...]] = {}

    def put(self, batches: Mapping[Source, Batch]) -> None:
        """Replace the batches of these sources."""
        self.current = Snapshot(MappingProxyType({**self.current.batches, **batches}))

    def put_samples(self, source: Source, samples: Iterable[Sample | Distribution], time: int) -> None:
        """Replace the batch of a source that gives samples, keeping its layout while it names the same series."""
        found: list[Sample] = []
        distributions: list[Distribution] = []
        for one in samples:
            if isinstance(one, Distribution):
                distributions.append(one)
            else:
                found.append(one)
        series = tuple(sample.series for sample in found)
        if self._layouts.get(source) != series:
            self._layouts[source] = series
        values = [float(sample.value) for sample in found]
        self.put({source: Batch(self._layouts[source], values, time, tuple(distributions))})

    def drop(self, gone: Callable[[Source], bool]) -> None:
        """Forget the sources for which `gone` holds."""
        left = {source: batch for source, batch in self.current.batches.items() if not gone(source)}
        if len(left) != len(self.current.batches):
            self.current = Snapshot(MappingProxyType(left))
        self._layouts = {source: series for source, series in self._layouts.items() if not gone(source)}
