# SPDX-License-Identifier: Apache-2.0
"""Metrics as objects: called with an entity and a value, a metric makes a sample."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from agent.entity import Attr, Entity, attributes_of
from agent.unit import Unit

E = TypeVar("E", bound=Entity)
F = TypeVar("F", bound=Entity)
_MEMO = 4096


class Series(NamedTuple):
    """One line of a graph: a metric of one entity."""

    metric: "Metric[Any]"
    entity: Entity


class Sample(NamedTuple):
    """The value of a series, in the metric's unit."""

    series: Series
    value: float


class Exemplar(NamedTuple):
    """One of the observations in a bucket: its value in the metric's unit, when it was made, and its span.

    Ids are lower-case hex: 32 digits of the trace, 16 of the span. That of the span is empty and the time is 0 where
    they are not known.
    """

    value: float
    trace_id: str
    span_id: str
    time_unix_ns: int


class Distribution(NamedTuple):
    """What a series of a histogram observed since its source began: cumulative in time.

    `counts` are per bucket and not added up, the last is that of infinity, so there is one more than it has buckets;
    `total` is the sum of what was observed, in the metric's unit, None where its source does not tell it; there is an
    exemplar or None per bucket. `bounds` are the upper bounds of its buckets where the source chose them, None where
    they are the metric's.
    """

    series: Series
    counts: Sequence[int]
    total: float | None
    exemplars: Sequence[Exemplar | None]
    bounds: tuple[float, ...] | None = None

    @property
    def buckets(self) -> tuple[float, ...]:
        """The upper bounds of its buckets, without infinity."""
        if self.bounds is not None:
            return self.bounds
        metric = self.series.metric
        assert isinstance(metric, Histogram)
        return metric.buckets

    @property
    def observations(self) -> int:
        """How many values were observed."""
        return sum(self.counts)


class Metric(Generic[E]):
    """What is measured: a name, a unit, and the kind of entity it is measured of.

    `brief` is a sentence a user reads in Prometheus, Grafana and docs/metrics.md.
    `detail` metrics are left out unless the configuration asks for them.
    """

    prometheus_type: ClassVar[str] = "gauge"
    monotonic: ClassVar[bool] = False

    def __init__(self, name: str, unit: Unit, entity: type[E], brief: str) -> None:
        """Define a metric under its OpenTelemetry name."""
        self.name = name
        self.unit = unit
        self.entity = entity
        self.brief = brief
        self.prometheus = prometheus_name(name, unit, type(self))
        self._memo: dict[Entity, Series] = {}

    def __call__(self, entity: E, value: float) -> Sample:
        """Make a sample of `value`, in the metric's unit."""
        return Sample(self.series(entity), float(value))

    def series(self, entity: E) -> Series:
        """Return the series of this entity, the same object each time while it is in use."""
        series = self._memo.get(entity)
        if series is None:
            if len(self._memo) >= _MEMO:  # Processes come and go: forget, never grow.
                self._memo.clear()
            series = self._memo[entity] = Series(self, entity)
        return series

    @property
    def attributes(self) -> tuple[Attr, ...]:
        """The attributes its series can have."""
        return attributes_of(self.entity)

    def __repr__(self) -> str:
        """Name it."""
        return f"<{type(self).__name__} {self.name}>"


class Gauge(Metric[E]):
    """A value that goes up and down and whose sum over entities means nothing by itself."""

    def of(self, entity: type[F], brief: str = "") -> "Gauge[F]":
        """Make the metric of this name for hardware of another `hw.type`: the same kind and unit, another entity."""
        return Gauge(self.name, self.unit, entity, brief or self.brief)


class UpDownCounter(Metric[E]):
    """A value that goes up and down and can be added up over entities."""

    def of(self, entity: type[F], brief: str = "") -> "UpDownCounter[F]":
        """Make the metric of this name for hardware of another `hw.type`: the same kind and unit, another entity."""
        return UpDownCounter(self.name, self.unit, entity, brief or self.brief)


class Info(Metric[E]):
    """An identity: its value is 1 and what it says is in its attributes."""

    def __init__(self, name: str, entity: type[E], brief: str) -> None:
        """Define an info metric; its name ends in `.info`."""
        super().__init__(name, Unit.NONE, entity, brief)


class Counter(Metric[E]):
    """A cumulative value that only grows, except when its source starts again."""

    prometheus_type = "counter"
    monotonic = True

    def of(self, entity: type[F], brief: str = "") -> "Counter[F]":
        """Make the metric of this name for hardware of another `hw.type`: the same kind and unit, another entity."""
        return Counter(self.name, self.unit, entity, brief or self.brief)


class Histogram(Metric[E]):
    """A distribution of values, with the upper bounds of its buckets, unless each source chooses its own."""

    prometheus_type = "histogram"

    def __init__(self, name: str, unit: Unit, entity: type[E], brief: str, buckets: tuple[float, ...] = ()) -> None:
        """Define a histogram; `buckets` are ascending upper bounds in its unit, without infinity.

        Without any, every distribution brings its own.
        """
        super().__init__(name, unit, entity, brief)
        self.buckets = buckets

    def distribution(
        self,
        entity: E,
        counts: Sequence[int],
        total: float | None,
        exemplars: Sequence[Exemplar | None] = (),
        bounds: tuple[float, ...] | None = None,
    ) -> Distribution:
        """Say what was observed of this entity; see Distribution. Raises ValueError where the buckets do not fit."""
        wanted = len(self.buckets if bounds is None else bounds) + 1
        exemplars = exemplars or (None,) * wanted
        if (len(counts), len(exemplars)) != (wanted, wanted):
            message = f"{self.name}: {len(counts)} counts and {len(exemplars)} exemplars for {wanted} buckets"
            raise ValueError(message)
        return Distribution(self.series(entity), counts, total, exemplars, bounds)


def prometheus_name(name: str, unit: Unit, kind: type[Metric[Any]]) -> str:
    """Derive the Prometheus name, as the Collector's Prometheus exporters do.

    The rules are those of the OpenTelemetry specification "Prometheus and OpenMetrics Compatibility":
    every character outside [a-zA-Z0-9_:] becomes an underscore, the unit is appended unless the name has it
    already, `_ratio` goes to gauges of unit 1 only, `_total` to monotonic sums.
    """
    words = [word for word in re.split(r"[^a-zA-Z0-9:]+", name) if word]
    if kind.monotonic:
        words = [word for word in words if word != "total"]
    if unit is Unit.RATIO:
        if issubclass(kind, Gauge):
            words = [word for word in words if word != "ratio"] + ["ratio"]
    elif unit.suffix and unit.suffix not in words:
        words.append(unit.suffix)
    return "_".join([*words, "total"] if kind.monotonic else words)


@cache
def label_name(attribute: str) -> str:
    """Derive the Prometheus label of an attribute: `hw.id` becomes `hw_id`."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)
