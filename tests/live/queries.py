# SPDX-License-Identifier: Apache-2.0
"""What a query asks for, read by a parser of PromQL."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import promql_parser

from tests.live.no_data import ABSENT, DEPENDS, NOT_PUSHED


class Selector(NamedTuple):
    """A vector selector: the name of the metric, and the labels that it matches on."""

    metric: str
    labels: frozenset[str]


@cache
def selectors(expr: str) -> tuple[Selector, ...]:
    """List the vector selectors of a query."""
    return tuple(_walk(promql_parser.parse(expr)))


def _walk(node: Any) -> Iterator[Selector]:
    if isinstance(node, promql_parser.VectorSelector):
        matchers = {matcher.name: matcher.value for matcher in node.matchers.matchers}
        yield Selector(node.name or matchers.get("__name__", ""), frozenset(matchers) - {"__name__"})
        return
    for attribute in ("lhs", "rhs", "expr", "vector_selector", "param"):
        if (child := getattr(node, attribute, None)) is not None:
            yield from _walk(child)
    for child in getattr(node, "args", None) or ():
        yield from _walk(child)


def excused(expr: str, *, pushed: bool = False) -> bool:
    """Whether a query may return nothing: it asks for a metric that is not there."""
    listed = {**ABSENT, **DEPENDS, **(NOT_PUSHED if pushed else {})}
    return any(among(selector.metric, listed) for selector in selectors(expr))


def among(metric: str, listed: Iterable[str] | Mapping[str, str]) -> bool:
    """Whether a metric is one of those that are listed as regular expressions."""
    return any(re.fullmatch(pattern, metric) for pattern in listed)
