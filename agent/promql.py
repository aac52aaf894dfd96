# SPDX-License-Identifier: Apache-2.0
"""PromQL built from metric objects, so that a query cannot name a metric or a label that does not exist.

    rate(ENERGY).sum("hw.id") / rate(TOKENS.where(...))

Only counters have a rate: mypy refuses `rate(TEMPERATURE)`, and so does the function at run time. Attributes are
written in OpenTelemetry's spelling and come out as Prometheus labels.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from agent.catalogue import FAMILIES
from agent.metric import Counter, Gauge, Histogram, Info, Metric, UpDownCounter, label_name

RATE_INTERVAL = "$__rate_interval"
"""Grafana's: four scrape intervals at least, so that a rate never falls between two scrapes."""
SCRAPE = frozenset({"job", "instance", "cluster", "le", "__name__"})
"""Labels that a scrape adds, beside the attributes of the metric."""

_ATOM, _UNARY, _PRODUCT, _SUM, _COMPARISON, _AND, _OR = range(7)
"""Binding, from strong to weak (prometheus.io, "Operators", § binary operator precedence)."""


class Regex(str):
    """A label value that is matched as a regular expression."""

    __slots__ = ()


class Not(str):
    """A label value that series must not have; those without the label pass."""

    __slots__ = ()


class NotRegex(str):
    """A regular expression that the label value must not match; series without the label are matched as empty."""

    __slots__ = ()


_MATCHERS = {Regex: "=~", Not: "!=", NotRegex: "!~"}
Current: TypeAlias = Gauge[Any] | UpDownCounter[Any] | Info[Any] | Counter[Any]
"""Metrics that have one series per entity; a histogram has many."""


class Expr:
    """An instant vector (or a scalar): PromQL text that knows which attributes its series have."""

    def __init__(self, text: str, attributes: Iterable[str] = (), binding: int = _ATOM) -> None:
        """Wrap a text; `binding` says when it needs parentheses."""
        self.text = text
        self.attributes = frozenset(attributes)
        self._binding = binding

    def __str__(self) -> str:
        """Give the query."""
        return self.text

    def sum(self, *by: str) -> "Expr":
        """Add up, by attributes."""
        return self._aggregate("sum", by)

    def avg(self, *by: str) -> "Expr":
        """Average, by attributes."""
        return self._aggregate("avg", by)

    def max(self, *by: str) -> "Expr":
        """Take the largest, by attributes."""
        return self._aggregate("max", by)

    def min(self, *by: str) -> "Expr":
        """Take the smallest, by attributes."""
        return self._aggregate("min", by)

    def count(self, *by: str) -> "Expr":
        """Count series, by attributes."""
        return self._aggregate("count", by)

    def topk(self, number: int | str) -> "Expr":
        """Keep the largest; how many may be a variable."""
        return Expr(f"topk({number}, {self.text})", self.attributes)

    def bottomk(self, number: int | str) -> "Expr":
        """Keep the smallest."""
        return Expr(f"bottomk({number}, {self.text})", self.attributes)

    def leaders(self, number: int, *on: str, window: str = "5m") -> "Expr":
        """Keep the series that are largest at the end of the time shown; topk() would choose anew at each step."""
        last = Expr(f"last_over_time({self.inside(_ATOM)}[{window}:] @ end())", self.attributes)
        return self.where(last.topk(number), *on)

    def over_time(self, function: Literal["avg", "max", "min", "count", "last"], window: str) -> "Expr":
        """Summarise over a window, by a subquery."""
        return Expr(f"{function}_over_time({self.inside(_ATOM)}[{window}:])", self.attributes)

    def __add__(self, other: "Expr | float") -> "Expr":
        """Add."""
        return self._binary("+", other, _SUM)

    def __sub__(self, other: "Expr | float") -> "Expr":
        """Subtract."""
        return self._binary("-", other, _SUM)

    def __mul__(self, other: "Expr | float") -> "Expr":
        """Multiply."""
        return self._binary("*", other, _PRODUCT)

    def __truediv__(self, other: "Expr | float") -> "Expr":
        """Divide."""
        return self._binary("/", other, _PRODUCT)

    def __gt__(self, other: "Expr | float") -> "Expr":
        """Keep what is greater."""
        return self._binary(">", other, _COMPARISON)

    def __ge__(self, other: "Expr | float") -> "Expr":
        """Keep what is at least."""
        return self._binary(">=", other, _COMPARISON)

    def __lt__(self, other: "Expr | float") -> "Expr":
        """Keep what is less."""
        return self._binary("<", other, _COMPARISON)

    def __le__(self, other: "Expr | float") -> "Expr":
        """Keep what is at most."""
        return self._binary("<=", other, _COMPARISON)

    def equals(self, other: "Expr | float") -> "Expr":
        """Keep what equals."""
        return self._binary("==", other, _COMPARISON)

    def differs(self, other: "Expr | float") -> "Expr":
        """Keep what differs."""
        return self._binary("!=", other, _COMPARISON)

    def per(self, other: "Expr", *on: str, many: bool = False) -> "Expr":
        """Divide, compared on attributes; `many` series here may share one there."""
        return self._matched("/", other, _PRODUCT, on, many=many)

    def minus(self, other: "Expr", *on: str, many: bool = False) -> "Expr":
        """Subtract, compared on attributes; `many` series here may share one there."""
        return self._matched("-", other, _SUM, on, many=many)

    def __and__(self, other: "Expr") -> "Expr":
        """Keep what the other has too."""
        return self._binary("and", other, _AND)

    def where(self, other: "Expr", *on: str) -> "Expr":
        """Keep what the other has too, compared on attributes."""
        return self._binary(f"and{_on(on, other)}", other, _AND)

    def unless(self, other: "Expr", *on: str) -> "Expr":
        """Keep what the other has not, compared on attributes if given."""
        return self._binary(f"unless{_on(on, other)}", other, _AND)

    def __or__(self, other: "Expr") -> "Expr":
        """Take what either has."""
        return self._binary("or", other, _OR)

    def times(self, info: "Expr", on: Iterable[str], bring: Iterable[str]) -> "Expr":
        """Multiply by an info metric to bring attributes of it along (many to one)."""
        on, bring = tuple(on), tuple(bring)
        for attribute in (*on, *bring):
            _known(attribute, info.attributes)
        joined = f"{self.inside(_PRODUCT)} *{_on(on, self)} group_left({_names(bring)}) {info.inside(_UNARY)}"
        return Expr(joined, self.attributes | set(bring), _PRODUCT)

    def _aggregate(self, function: str, by: tuple[str, ...]) -> "Expr":
        for attribute in by:
            _known(attribute, self.attributes)
        grouping = f" by ({_names(by)}) " if by else ""
        return Expr(f"{function}{grouping}({self.text})", by)

    def _matched(self, operator: str, other: "Expr", binding: int, on: tuple[str, ...], *, many: bool) -> "Expr":
        for attribute in on:
            _known(attribute, self.attributes)
        group = " group_left ()" if many else ""
        result = self._binary(f"{operator}{_on(on, other)}{group}", other, binding)
        return result if many else Expr(result.text, on, binding)

    def _binary(self, operator: str, other: "Expr | float", binding: int) -> "Expr":
        right = other if isinstance(other, Expr) else Expr(_number(other))
        # Operators of equal binding are read from the left, so only the right side needs parentheses for them.
        text = f"{self.inside(binding)} {operator} {right.inside(binding - 1)}"
        return Expr(text, self.attributes | right.attributes, binding)

    def inside(self, binding: int) -> str:
        """Write it as an operand of an operator that binds like this."""
        return self.text if self._binding <= binding else f"({self.text})"

    __hash__ = None  # type: ignore[assignment]  # comparing builds a query


class Selected(Expr):
    """Series as they are stored, which can be looked at over a window, or as they were some time ago."""

    def __init__(self, selector: str, attributes: Iterable[str] = (), offset: str = "") -> None:
        """Wrap a selector; `offset` is how long ago, as in 1w."""
        self._selector, self._offset = selector, f" offset {offset}" if offset else ""
        super().__init__(selector + self._offset, attributes)

    def ago(self, offset: str) -> "Selected":
        """Select them as they were this long ago."""
        return Selected(self._selector, self.attributes, offset)

    def over(self, function: Literal["avg", "max", "min", "count", "last"], window: str) -> Expr:
        """Summarise what is stored of a window."""
        return Expr(f"{function}_over_time({self._selector}[{window}]{self._offset})", self.attributes)

    def slope(self, window: str) -> Expr:
        """Fit a line through a window of gauges and give its change per second."""
        return Expr(f"deriv({self._selector}[{window}]{self._offset})", self.attributes)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which series a set of queries is about: matchers that every selector made with it has.

    `labels` are those that Prometheus adds, under its names, such as instance and cluster; `attributes` are
    OpenTelemetry's and narrow the metrics that have them, all others stay whole. What a query asks for itself wins.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no label name, with ValueError."""
        for label in self.labels:
            if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", label):
                message = f"`{label}` is no label name"
                raise ValueError(message)

    def narrow(self, attributes: Mapping[str, str]) -> "Scope":
        """Give the same scope with more attributes."""
        return replace(self, attributes={**self.attributes, **attributes})

    def of(self, metric: Current, where: Mapping[str, str] | None = None) -> Selected:
        """Select the series of a metric, by attribute values."""
        return Selected(self._select(metric, metric.prometheus, where), self._of(metric))

    def up(self) -> Expr:
        """Select what Prometheus says of its targets: 1 where the last scrape succeeded."""
        matchers = _matchers(self.labels)
        return Expr(f"up{{{matchers}}}" if matchers else "up", SCRAPE | set(self.labels))

    def any(self, *metrics: Current) -> Expr:
        """Select the series of several metrics at once, with the attributes that all of them have."""
        shared = frozenset.intersection(*map(self._of, metrics))
        kept = {attribute: value for attribute, value in self.attributes.items() if attribute in shared}
        names = Regex("|".join(metric.prometheus for metric in metrics))
        return Expr(f"{{{_matchers({'__name__': names, **kept, **self.labels})}}}", shared)

    def rate(self, metric: Counter[Any], where: Mapping[str, str] | None = None, window: str = RATE_INTERVAL) -> Expr:
        """Take the increase per second of a counter. Raises TypeError for anything else."""
        return self._over("rate", metric, where, window)

    def increase(
        self, metric: Counter[Any], where: Mapping[str, str] | None = None, window: str = RATE_INTERVAL
    ) -> Expr:
        """Take the increase of a counter over a window. Raises TypeError for anything else."""
        return self._over("increase", metric, where, window)

    def resets(self, metric: Counter[Any], where: Mapping[str, str] | None = None, window: str = RATE_INTERVAL) -> Expr:
        """Count how often a counter began again in a window. Raises TypeError for anything else."""
        return self._over("resets", metric, where, window)

    def quantile(
        self,
        share: float,
        metric: Histogram[Any],
        *by: str,
        where: Mapping[str, str] | None = None,
        window: str = RATE_INTERVAL,
    ) -> Expr:
        """Estimate a quantile of a histogram, by attributes."""
        return Expr(
            f"histogram_quantile({_number(share)}, {self.buckets(metric, *by, where=where, window=window)})", by
        )

    def buckets(
        self,
        metric: Histogram[Any],
        *by: str,
        where: Mapping[str, str] | None = None,
        window: str = RATE_INTERVAL,
        function: Literal["rate", "increase"] = "rate",
    ) -> Expr:
        """Take the rate of each bucket of a histogram, by attributes; buckets are cumulative in `le`."""
        for attribute in by:
            _known(attribute, self._of(metric))
        selected = self._select(metric, f"{metric.prometheus}_bucket", where)
        return Expr(f"sum by ({_names((*by, 'le'))}) ({function}({selected}[{window}]))", (*by, "le"))

    def observed(
        self,
        part: Literal["count", "sum"],
        metric: Histogram[Any],
        where: Mapping[str, str] | None = None,
        window: str = RATE_INTERVAL,
    ) -> Expr:
        """Take the rate of how many values a histogram observed, or of what they add up to."""
        selected = self._select(metric, f"{metric.prometheus}_{part}", where)
        return Expr(f"rate({selected}[{window}])", self._of(metric))

    def within(
        self, metric: Histogram[Any], bound: float, where: Mapping[str, str] | None = None, window: str = RATE_INTERVAL
    ) -> Expr:
        """Take the rate of values up to a bound. Raises ValueError where it bounds no bucket of the metric."""
        if bound not in metric.buckets:
            bounds = ", ".join(map(_number, metric.buckets)) or "those of each source"
            message = f"no bucket of {metric.name} ends at {_number(bound)}; there are {bounds}"
            raise ValueError(message)
        # Some write 1 and some 1.0; the classic text format and OpenMetrics differ in it.
        spellings = Regex("|".join(sorted({re.escape(_number(bound)), re.escape(repr(float(bound)))})))
        selected = self._select(metric, f"{metric.prometheus}_bucket", {**(where or {}), "le": spellings})
        return Expr(f"rate({selected}[{window}])", self._of(metric))

    def absent(self, metric: Metric[Any], where: Mapping[str, str] | None = None) -> Expr:
        """Say 1 when no series of the metric exists."""
        return Expr(f"absent({self._select(metric, metric.prometheus, where)})", (*self.labels, *(where or ())))

    def recorded(self, record: str, *attributes: str) -> Selected:
        """Select the series of a recording rule that keeps these attributes and the labels of the scope."""
        kept = {attribute: value for attribute, value in self.attributes.items() if attribute in attributes}
        matchers = _matchers({**kept, **self.labels})
        return Selected(f"{record}{{{matchers}}}" if matchers else record, (*attributes, *self.labels))

    def _over(self, function: str, metric: Counter[Any], where: Mapping[str, str] | None, window: str) -> Expr:
        if not isinstance(metric, Counter):
            message = f"{function}() of {metric.name}, which is no counter"
            raise TypeError(message)
        return Expr(f"{function}({self._select(metric, metric.prometheus, where)}[{window}])", self._of(metric))

    def _select(self, metric: Metric[Any], name: str, where: Mapping[str, str] | None) -> str:
        known = self._of(metric)
        for attribute in where or ():
            _known(attribute, known)
        kept = {attribute: value for attribute, value in self.attributes.items() if attribute in known}
        asked = where or {}
        matchers = _matchers({**_hardware(metric), **asked, **kept, **self.labels, **asked})
        return f"{name}{{{matchers}}}" if matchers else name

    def _of(self, metric: Metric[Any]) -> frozenset[str]:
        return SCRAPE | {attribute.name for attribute in metric.attributes} | set(self.labels)


def _hardware(metric: Metric[Any]) -> dict[str, str]:
    """Name the hardware of a metric that shares its name with those of other hardware: they may overlap."""
    if len(FAMILIES.get(metric.name, ())) > 1:
        return {attribute.name: attribute.brief for attribute in metric.attributes if attribute.name == "hw.type"}
    return {}


_EVERYTHING = Scope()


def of(metric: Current, where: Mapping[str, str] | None = None) -> Selected:
    """Select the series of a metric, by attribute values."""
    return _EVERYTHING.of(metric, where)


def rate(metric: Counter[Any], where: Mapping[str, str] | None = None, window: str = RATE_INTERVAL) -> Expr:
    """Take the increase per second of a counter. Raises TypeError for anything else."""
    return _EVERYTHING.rate(metric, where, window)


def increase(metric: Counter[Any], where: Mapping[str, str] | None = None, window: str = RATE_INTERVAL) -> Expr:
    """Take the increase of a counter over a window. Raises TypeError for anything else."""
    return _EVERYTHING.increase(metric, where, window)


def quantile(
    share: float,
    metric: Histogram[Any],
    *by: str,
    where: Mapping[str, str] | None = None,
    window: str = RATE_INTERVAL,
) -> Expr:
    """Estimate a quantile of a histogram, by attributes."""
    return _EVERYTHING.quantile(share, metric, *by, where=where, window=window)


def absent(metric: Metric[Any], where: Mapping[str, str] | None = None) -> Expr:
    """Say 1 when no series of the metric exists."""
    return _EVERYTHING.absent(metric, where)


def now() -> Expr:
    """Give the time of evaluation, in seconds since the epoch."""
    return Expr("time()")


def _matchers(values: Mapping[str, str]) -> str:
    return ",".join(
        f'{label_name(attribute)}{_MATCHERS.get(type(value), "=")}"{_escape(value)}"'
        for attribute, value in values.items()
    )


def _known(attribute: str, attributes: frozenset[str]) -> None:
    if attribute not in attributes:
        message = f"no attribute `{attribute}` here; there are {', '.join(sorted(attributes))}"
        raise ValueError(message)


def _on(attributes: tuple[str, ...], expr: Expr) -> str:
    for attribute in attributes:
        _known(attribute, expr.attributes)
    return f" on ({_names(attributes)})" if attributes else ""


def _names(attributes: Iterable[str]) -> str:
    return ", ".join(label_name(attribute) for attribute in attributes)


def _number(value: float) -> str:
    """Write a number with all its digits, and no more."""
    return repr(float(value)).removesuffix(".0")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
