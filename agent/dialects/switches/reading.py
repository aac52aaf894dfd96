# SPDX-License-Identifier: Apache-2.0
"""From a name, attributes and a value as a switch tells them to the series they are of, in base units."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

from agent.dialects.switches.rules import Found, SwitchRule, SwitchTable
from agent.metric import Counter, Histogram, Info, Series
from agent.switch_entities import SwitchPartState

Attributes: TypeAlias = tuple[tuple[str, str], ...]
"""Of a point, as text: Spectrum tells the same attribute as a text in one metric and as a number in the next."""

_LONGEST = 256
"""Characters of an attribute's value; the rest is cut off."""
_MOST_KNOWN = 65_536
"""Points whose series is remembered; then it is found anew."""
_LARGEST = float(1 << 64)


class Number(NamedTuple):
    """A value of a series, in its unit. `time` is unix ns; with `delta` it is what was added since the last.

    `rank` is the place of its name among those that tell the same: the lower counts.
    """

    series: Series
    value: float
    time: int
    delta: bool = False
    rank: int = 0


class Buckets(NamedTuple):
    """What a histogram observed, per bucket; see Number. `total` is None where its sum is not told."""

    series: Series
    counts: tuple[int, ...]
    total: float | None
    bounds: tuple[float, ...]
    time: int
    delta: bool = True


class Malformed(ValueError):
    """A value that cannot be what its name says."""


class _Place(NamedTuple):
    found: Found
    series: tuple[tuple[str, Series], ...]
    """One, with an empty text; or one for each state, of a rule that has states."""
    counts: bool
    """It is of a counter."""
    plain: bool
    """Its value is that of the point, scaled."""


class SwitchReader:
    """Reads what one source tells by the table of its kind. Not to be shared between threads."""

    def __init__(self, table: SwitchTable, **known: str) -> None:
        """`known` are fields of entities that the source tells for all: its switch, its name in the configuration."""
        self.table = table
        self._known = known
        self._places: dict[tuple[str, Attributes], tuple[_Place, ...]] = {}
        self._cell: float | None = None

    def cell_size(self, size: float) -> None:
        """Take note of how many bytes a cell of the buffer has."""
        if isfinite(size) and size > 0:
            self._cell = size

    def numbers(
        self, name: str, attributes: Attributes, value: float, time: int, *, delta: bool = False
    ) -> tuple[Number, ...]:
        """Give what a value says. Raises Malformed where it cannot be."""
        places = self._find(name, attributes)
        place = places[0]
        if len(places) > 1 or not place.plain:
            return tuple(self._each(places, value, time, delta=delta))
        # Nearly all are like this, and a switch tells thousands each second.
        if not (0 <= value <= _LARGEST if place.counts else isfinite(value)):
            raise Malformed("a counter that is negative or too large, or no number")
        rule, rank = place.found
        told = value * rule.times / rule.divide
        return (Number(place.series[0][1], told, time, delta and place.counts, rank),)

    def _each(self, places: tuple[_Place, ...], value: float, time: int, *, delta: bool) -> Iterator[Number]:
        for place in places:
            rule, rank = place.found
            if isinstance(rule.metric, Histogram):
                raise Malformed("a histogram without buckets")
            for state, series in place.series:
                told = _value(rule, state, value, self._cell)
                if told is not None:
                    yield Number(series, told, time, delta and place.counts, rank)

    def buckets(
        self,
        name: str,
        attributes: Attributes,
        counts: Sequence[int],
        bounds: Sequence[float],
        total: float | None,
        time: int,
        *,
        delta: bool,
    ) -> Iterator[Buckets]:
        """Give what a histogram says. Raises Malformed where it cannot be."""
        for place in self._find(name, attributes):
            rule = place.found.rule
            if not isinstance(rule.metric, Histogram):
                raise Malformed("buckets of what is no histogram")
            if len(counts) != len(bounds) + 1 or not _ascending(bounds):
                raise Malformed("buckets that do not fit their bounds")
            if total is not None and not (isfinite(total) and 0 <= total <= _LARGEST):
                raise Malformed("a sum that is no number")
            scale = rule.divide / rule.times
            for _, series in place.series:
                yield Buckets(
                    series,
                    tuple(counts),
                    None if total is None else total / scale,
                    tuple(bound / scale for bound in bounds),
                    time,
                    delta,
                )

    def _find(self, name: str, attributes: Attributes) -> tuple[_Place, ...]:
        places = self._places.get((name, attributes))
        if places is None:
            if len(self._places) >= _MOST_KNOWN:
                self._places.clear()
            told = dict(attributes)
            made = (self._place(found, told) for found in self.table.find(name))
            places = self._places[name, attributes] = tuple(place for place in made if place is not None)
        if not places:
            raise Malformed("an attribute is missing that it must be told apart by")
        return places

    def _place(self, found: Found, told: Mapping[str, str]) -> _Place | None:
        rule = found.rule
        if rule.states:
            states = dict.fromkeys(rule.states.values())
            series = tuple((state, self._series(rule, {**told, "state": state})) for state in states)
        else:
            series = (("", self._series(rule, told)),)
        known = tuple((state, one) for state, one in series if one is not None)
        metric = rule.metric
        plain = not (rule.states or rule.bit or rule.cells or isinstance(metric, Info | Histogram))
        return _Place(found, known, isinstance(metric, Counter), plain) if known else None

    def _series(self, rule: SwitchRule, told: Mapping[str, str]) -> Series | None:
        """Say what a point is about; None where it lacks an attribute that this must be told apart by."""
        kind: Any = rule.metric.entity
        fields: dict[str, str | None] = {}
        for field in kind._fields:
            label = rule.labels.get(field) or self.table.labels.get(field, "")
            fields[field] = rule.fixed.get(field) or _text(told.get(label)) or self._known.get(field)
        if kind is SwitchPartState:
            fields["state"] = told["state"]
        needed = kind._fields[: len(kind._fields) - len(kind._field_defaults)]
        if any(fields[field] is None for field in needed):
            return None
        return rule.metric.series(kind(**fields))


def _text(value: str | None) -> str | None:
    return " ".join(value.split())[:_LONGEST] or None if value else None


def _value(rule: SwitchRule, state: str, value: float, cell: float | None) -> float | None:
    """Turn a value into the metric's unit; None where it says nothing."""
    if isinstance(rule.metric, Info):
        return 1.0
    if not isfinite(value):
        raise Malformed("not a number")
    if rule.states:
        now = rule.states.get(int(value))
        return None if now is None else float(now == state)
    if rule.bit:
        return float(bool(int(value) & rule.bit))
    if isinstance(rule.metric, Counter) and not 0 <= value <= _LARGEST:
        raise Malformed("a counter that is negative or too large")
    if rule.cells:
        return None if cell is None else value * cell
    # Divided by 1e9, 319 is 3.19e-07 to the last digit; multiplied by 1e-9 it is not.
    return value * rule.times / rule.divide


def _ascending(bounds: Sequence[float]) -> bool:
    return all(isfinite(bound) for bound in bounds) and all(low < high for low, high in pairwise(bounds))
