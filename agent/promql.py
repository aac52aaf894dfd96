# SPDX-License-Identifier: Apache-2.0
"""PromQL built from metric objects, so that a query cannot name a metric or a label that does not exist.

    rate(ENERGY).sum("hw.id") / rate(TOKENS.where(...))

Only counters have a rate: mypy refuses `rate(TEMPERATURE)`, and so does the function at run time. Attributes are
written in OpenTelemetry's spelling and come out as Prometheus labels.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

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

    def topk(self, number: int) -> "Expr":
        """Keep the largest."""
        return Expr(f"topk({number}, {self.text})", self.attributes)

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

    def __and__(self, other: "Expr") -> "Expr":
        """Keep what the other has too."""
        return self._binary("and", other, _AND)

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

    def _binary(self, operator: str, other: "Expr | float", binding: int) -> "Expr":
        right = other if isinstance(other, Expr) else Expr(_number(other))
        # Operators of equal binding are read from the left, so only the right side needs parentheses for them.
        text = f"{self.inside(binding)} {operator} {right.inside(binding - 1)}"
        return Expr(text, self.attributes | right.attributes, binding)

    def inside(self, binding: int) -> str:
        """Write it as an operand of an operator that binds like this."""
        return self.text if self._binding <= binding else f"({self.text})"

    __hash__ = None  # type: ignore[assignment]  # comparing builds a query


def of(
    metric: Gauge[Any] | UpDownCounter[Any] | Info[Any] | Counter[Any], where: Mapping[str, str] | None = None
) -> Expr:
    """Select the series of a metric, by attribute values."""
    return Expr(_select(metric, metric.prometheus, where), _attributes(metric))


def rate(metric: Counter[Any], where: Mapping[str, str] | None = None, window: str = RATE_INTERVAL) -> Expr:
    """Take the increase per second of a counter. Raises TypeError for anything else."""
    return _over("rate", metric, where, window)


def increase(metric: Counter[Any], where: Mapping[str, str] | None = None, window: str = RATE_INTERVAL) -> Expr:
    """Take the increase of a counter over a window. Raises TypeError for anything else."""
    return _over("increase", metric, where, window)


def quantile(
    share: float,
    metric: Histogram[Any],
    *by: str,
    where: Mapping[str, str] | None = None,
    window: str = RATE_INTERVAL,
) -> Expr:
    """Estimate a quantile of a histogram, by attributes."""
    for attribute in by:
        _known(attribute, _attributes(metric))
    selected = _select(metric, f"{metric.prometheus}_bucket", where)
    return Expr(
        f"histogram_quantile({_number(share)}, sum by ({_names((*by, 'le'))}) (rate({selected}[{window}])))", by
    )


def absent(metric: Metric[Any], where: Mapping[str, str] | None = None) -> Expr:
    """Say 1 when no series of the metric exists."""
    return Expr(f"absent({_select(metric, metric.prometheus, where)})", where or ())


def now() -> Expr:
    """Give the time of evaluation, in seconds since the epoch."""
    return Expr("time()")


def _over(function: str, metric: Counter[Any], where: Mapping[str, str] | None, window: str) -> Expr:
    if not isinstance(metric, Counter):
        message = f"{function}() of {metric.name}, which is no counter"
        raise TypeError(message)
    return Expr(f"{function}({_select(metric, metric.prometheus, where)}[{window}])", _attributes(metric))


def _select(metric: Metric[Any], name: str, where: Mapping[str, str] | None) -> str:
    attributes = _attributes(metric)
    for attribute in where or ():
        _known(attribute, attributes)
    matchers = ",".join(
        f'{label_name(attribute)}{"=~" if isinstance(value, Regex) else "="}"{_escape(value)}"'
        for attribute, value in (where or {}).items()
    )
    return f"{name}{{{matchers}}}" if matchers else name


def _attributes(metric: Metric[Any]) -> frozenset[str]:
    return SCRAPE | {attribute.name for attribute in metric.attributes}


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
