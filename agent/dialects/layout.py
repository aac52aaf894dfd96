# SPDX-License-Identifier: Apache-2.0
"""Rules applied to the names of one page: which places of its values make which series. Made once per layout."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from math import inf, isfinite
from typing import Any, NamedTuple, TypeAlias

from agent.catalogue.engine import INFO
from agent.dialects.rules import Entry, Hex, Is, PageDialect, Rule
from agent.engine_entities import EngineInfo
from agent.entity import Entity
from agent.exposition import Key
from agent.metric import Gauge, Histogram, Info, Series
from agent.unit import Unit

_LONGEST = 256
"""Characters of an attribute's value; the rest is cut off."""


class Number(NamedTuple):
    """A series whose value is made of the values at these places: their sum, or the greatest.

    Then the sum at the places of `less` is taken away.
    """

    series: Series
    places: tuple[int, ...]
    less: tuple[int, ...]
    greatest: bool
    times: float
    divide: float

    @property
    def plain(self) -> bool:
        """Whether it is a value of the page as it stands."""
        return len(self.places) == 1 and not self.less and self.times == self.divide == 1


class Fixed(NamedTuple):
    """A series whose value stands in the names of the page, at each of these places.

    The place counts at which the page has the greatest value.
    """

    series: Series
    values: Mapping[int, float]


class Buckets(NamedTuple):
    """A series of a histogram: its bounds and, for each of the parts it adds up, the places of buckets and sum."""

    series: Series
    bounds: tuple[float, ...]
    parts: tuple[tuple[int, ...], ...]
    times: float
    divide: float


class Layout(NamedTuple):
    """What to make of the values of a page. `dropped` counts series for which there was no room."""

    numbers: tuple[Number, ...]
    fixed: tuple[Fixed, ...]
    histograms: tuple[Buckets, ...]
    unknown: tuple[str, ...]
    dropped: int


class _Line(NamedTuple):
    place: int
    labels: Mapping[str, str]


_Names: TypeAlias = Mapping[str, Sequence[_Line]]


def layout(keys: Sequence[Key], engine: str, dialects: Sequence[PageDialect], most: int) -> Layout:
    """Apply the rules of these dialects, the first first, to a page of these names; make at most `most` series.

    A series that two rules could make is made by the first.
    """
    names: dict[str, list[_Line]] = {}
    for place, (name, labels) in enumerate(keys):
        names.setdefault(name, []).append(_Line(place, dict(labels)))
    made: dict[Series, Number | Fixed | Buckets] = {}
    if keys:
        info = INFO.series(_identity(names, engine, dialects))
        made[info] = Fixed(info, {0: 1.0})
    for dialect in dialects:
        reading = _Reading(names, engine, dialect)
        for entry in dialect.entries:
            for one in reading.apply(entry):
                made.setdefault(one.series, one)
    kept = [*made.values()][:most]
    return Layout(
        tuple(one for one in kept if isinstance(one, Number)),
        tuple(one for one in kept if isinstance(one, Fixed)),
        tuple(one for one in kept if isinstance(one, Buckets)),
        tuple(sorted(name for name in names if not any(dialect.knows(name) for dialect in dialects))),
        len(made) - len(kept),
    )


class _Reading:
    """One dialect on one page."""

    def __init__(self, names: _Names, engine: str, dialect: PageDialect) -> None:
        self._names, self._engine, self._dialect = names, engine, dialect
        self._ranked = len(_told_by(_own(names, dialect), dialect.labels.get("rank", ""))) > 1
        self._page = _page(names, dialect)

    def apply(self, entry: Entry) -> Iterable[Number | Fixed | Buckets]:
        """Give the series that a rule makes of the page, or the first of several that makes any."""
        if isinstance(entry, Rule):
            return self._apply(entry)
        for rule in entry.rules:
            if found := self._apply(rule):
                return found
        return ()

    def _apply(self, rule: Rule) -> Sequence[Number | Fixed | Buckets]:
        make = self._buckets if isinstance(rule.metric, Histogram) else self._numbers
        for source in rule.sources:
            if found := make(rule, source):
                return found
        return ()

    def _numbers(self, rule: Rule, source: str) -> Sequence[Number | Fixed]:
        found = self._lines(rule, source)
        if isinstance(rule.metric, Info):
            return [Fixed(rule.metric.series(entity), {lines[0].place: 1.0}) for entity, lines in found.items()]
        if rule.reads or rule.words:
            told = [(rule.metric.series(entity), _told(rule, lines)) for entity, lines in found.items()]
            return [Fixed(series, values) for series, values in told if values]
        less = self._lines(rule, rule.less) if rule.less else {}
        plus = self._lines(rule, rule.plus) if rule.plus else {}
        greatest = isinstance(rule.metric, Gauge) and rule.metric.unit is not Unit.REQUESTS
        return [
            Number(
                rule.metric.series(entity),
                _places((*lines, *plus.get(entity, ()))),
                _places(less.get(entity, ())),
                greatest,
                rule.times,
                rule.divide,
            )
            for entity, lines in found.items()
            if not rule.less or entity in less
        ]

    def _buckets(self, rule: Rule, source: str) -> Sequence[Buckets]:
        sums = self._parts(rule, f"{source}_sum")
        counts = self._parts(rule, f"{source}_count")
        found: dict[Entity, dict[tuple[float, ...], list[tuple[int, ...]]]] = {}
        for (entity, part), lines in self._parts(rule, f"{source}_bucket").items():
            bounds = {bound: line.place for line in lines if (bound := _bound(line, rule)) is not None}
            if inf not in bounds and (count := counts.get((entity, part))):
                bounds[inf] = count[0].place
            total = sums.get((entity, part))
            if total and inf in bounds:
                places = (*(bounds[bound] for bound in sorted(bounds)), total[0].place)
                found.setdefault(entity, {}).setdefault(tuple(sorted(bounds)[:-1]), []).append(places)
        # Those with other buckets than the first cannot be added to it.
        return [
            Buckets(rule.metric.series(entity), bounds, tuple(parts), rule.times, rule.divide)
            for entity, several in found.items()
            for bounds, parts in [next(iter(several.items()))]
        ]

    def _parts(self, rule: Rule, name: str) -> Mapping[tuple[Entity, frozenset[tuple[str, str]]], list[_Line]]:
        """Sort the lines of a histogram by entity and by what else tells them apart."""
        found: dict[tuple[Entity, frozenset[tuple[str, str]]], list[_Line]] = {}
        for entity, lines in self._lines(rule, name).items():
            for line in lines:
                rest = frozenset(pair for pair in line.labels.items() if pair[0] != "le")
                found.setdefault((entity, rest), []).append(line)
        return found

    def _lines(self, rule: Rule, name: str) -> Mapping[Entity, Sequence[_Line]]:
        """Sort the lines of a name by what they are about."""
        found: dict[Entity, list[_Line]] = {}
        for line in self._names.get(name, ()):
            if all(_allowed(line.labels.get(label), values) for label, values in rule.where.items()):
                entity = self._entity(rule, line.labels)
                if entity is not None:
                    found.setdefault(entity, []).append(line)
        return {entity: _least(lines, self._dialect.once) for entity, lines in found.items()}

    def _entity(self, rule: Rule, labels: Mapping[str, str]) -> Entity | None:
        """Say what a line is about; None where it lacks a label that this must be told apart by."""
        kind: Any = rule.metric.entity
        fields: dict[str, str | None] = {"engine": self._engine}
        for field in kind._fields[1:]:
            if field != "rank" or self._ranked:
                label = rule.labels.get(field) or self._dialect.labels.get(field, "")
                fields[field] = rule.fixed.get(field) or _value(labels, label) or self._page.get(field)
        needed = kind._fields[: len(kind._fields) - len(kind._field_defaults)]
        if any(fields.get(field) is None for field in needed if field != "model"):
            return None
        found: Entity = kind(**fields)
        return found


def _allowed(value: str | None, values: Sequence[str]) -> bool:
    return value is None or any(value.startswith(one[:-1]) if one.endswith("*") else value == one for one in values)


def _value(labels: Mapping[str, str], label: str) -> str | None:
    if isinstance(label, Is):
        return str(label)
    value = labels.get(label, "")
    if isinstance(label, Hex):
        with suppress(ValueError):
            return str(int(value, 16))
    return value[:_LONGEST] if value not in {"", "None"} else None


def _page(names: _Names, dialect: PageDialect) -> Mapping[str, str]:
    """Read what the whole page tells: the value of a label where all lines that have it agree."""
    found: dict[str, str] = {}
    for field, label in dialect.page.items():
        told = {_value(line.labels, label) for lines in names.values() for line in lines if label in line.labels}
        if len(told) == 1 and (value := told.pop()) is not None:
            found[field] = value
    return found


def _identity(names: _Names, engine: str, dialects: Sequence[PageDialect]) -> EngineInfo:
    fields: dict[str, str] = {}
    for dialect in dialects:
        fields = {name: value for name, value in _page(names, dialect).items() if name in EngineInfo._fields} | fields
        for field, places in dialect.identity.items():
            told = [_value(line.labels, label) for name, label in places for line in names.get(name, ())]
            values = {value for value in told if value is not None}
            if len(values) == 1:
                fields.setdefault(field, values.pop())
        models = _told_by(_own(names, dialect), dialect.labels.get("model", ""))
        if len(models) == 1:  # Of several none is the engine's.
            fields.setdefault("model", models.pop())
    return EngineInfo(engine, dialects[0].name, **fields)


def _own(names: _Names, dialect: PageDialect) -> Iterator[_Line]:
    """Give the lines that the rules of a dialect read."""
    for name in {name for rule in dialect.rules() for name in rule.names} & names.keys():
        yield from names[name]


def _told_by(lines: Iterable[_Line], label: str) -> set[str]:
    return {value for line in lines if (value := _value(line.labels, label)) is not None}


def _least(lines: Sequence[_Line], once: Sequence[str]) -> Sequence[_Line]:
    if not once or len(lines) == 1:
        return lines
    least = min(_rank(line, once) for line in lines)
    return [line for line in lines if _rank(line, once) == least]


def _rank(line: _Line, once: Sequence[str]) -> tuple[tuple[int, str], ...]:
    values = [line.labels.get(label, "") for label in once]
    return tuple((len(value), value) for value in values)


def _places(lines: Sequence[_Line]) -> tuple[int, ...]:
    return tuple(line.place for line in lines)


def _told(rule: Rule, lines: Sequence[_Line]) -> Mapping[int, float]:
    found: dict[int, float] = {}
    for line in lines:
        if rule.words:
            found[line.place] = float(
                len([word for word in line.labels.get(rule.words, "").split(",") if word.strip()])
            )
        else:
            with suppress(ValueError):
                value = float(line.labels.get(rule.reads, ""))
                if isfinite(value):
                    found[line.place] = value * rule.times / rule.divide
    return found


def _bound(line: _Line, rule: Rule) -> float | None:
    """Read the upper bound of a bucket; 0.03 ms are 3e-05 s to the last digit, which two doubles are not."""
    try:
        bound = Decimal(line.labels.get("le", "")) * Decimal(rule.times) / Decimal(rule.divide)
    except InvalidOperation:
        return None
    return None if bound.is_nan() else float(bound)
