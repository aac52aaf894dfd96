# SPDX-License-Identifier: Apache-2.0
"""What a name on an engine's page means: rules as data, of which each engine's `<engine>_metrics` module is a table.

A rule is one metric of the catalogue and where its values stand. The table says also what is left out on purpose,
each with its reason, so that a name that is neither is news.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from agent.metric import Histogram, Metric

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_PARTS = ("_bucket", "_sum", "_count")


class Hex(str):
    """A label whose value is a number in hex: the attribute has it in decimal."""

    __slots__ = ()


class Is(str):
    """In place of a label: the value itself, where a page has the name."""

    __slots__ = ()


class Rule(NamedTuple):
    """Where the values of a metric stand on a page.

    Of `sources`, newest name first, the first that the page has counts. `labels` lead from fields of the metric's
    entity to labels, beside those of the dialect; `fixed` are fields that the name itself tells. `where` names the
    values that a label may have, where it is there; `*` at their ends stands for anything. A value is multiplied by
    `times` and divided by `divide`, to be in the metric's unit. `plus` is added to it and `less` is taken from it:
    sources with the same labels. It may stand in a label (`reads`), or be the number of words in one (`words`), of the
    series that was written last: its value is then a time.
    """

    metric: Metric[Any]
    sources: tuple[str, ...]
    labels: Mapping[str, str] = _NOTHING
    fixed: Mapping[str, str] = _NOTHING
    where: Mapping[str, tuple[str, ...]] = _NOTHING
    times: float = 1
    divide: float = 1
    plus: str = ""
    less: str = ""
    reads: str = ""
    words: str = ""

    @property
    def names(self) -> Iterator[str]:
        """The names of samples that it may read."""
        for source in filter(None, (*self.sources, self.plus, self.less)):
            if isinstance(self.metric, Histogram):
                yield from (source + part for part in _PARTS)
            else:
                yield source


class First(NamedTuple):
    """Rules of one metric, of which the first counts that finds something on the page."""

    rules: tuple[Rule, ...]


Entry: TypeAlias = Rule | First


class LeftOut(NamedTuple):
    """Names that are not translated, and why. A name that ends in `*` stands for all that begin so."""

    reason: str
    names: tuple[str, ...]


class PageDialect(NamedTuple):
    """How the pages of one kind of engine are read.

    `prefixes` are how its names begin, by which a page is recognised. `labels` lead from fields to labels in all its
    rules; of `rank` nothing is said where the page has only one. Series that differ only in the labels of `once` say
    the same: that with the least counts. `page` are fields that another line of the page tells, by its label.
    `identity` says where the fields of EngineInfo stand: name and label. `hosts` are the engines whose names can be on
    its pages. `about` is what docs/engine-metrics.md says before its tables.
    """

    name: str
    title: str
    prefixes: tuple[str, ...]
    labels: Mapping[str, str]
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]
    once: tuple[str, ...] = ()
    page: Mapping[str, str] = _NOTHING
    identity: Mapping[str, tuple[tuple[str, str], ...]] = _NOTHING
    hosts: tuple[str, ...] = ()
    about: str | None = None

    def rules(self) -> Iterator[Rule]:
        """Give every rule."""
        for entry in self.entries:
            yield from (entry,) if isinstance(entry, Rule) else entry.rules

    def knows(self, name: str) -> bool:
        """Tell whether a name of a sample is translated or left out on purpose."""
        return name in _names(self) or any(_stands_for(one, name) for one in self.left_out)


def rule(metric: Metric[Any], *sources: str, **options: Any) -> Rule:
    """Make a rule; see Rule for the options."""
    return Rule(metric, sources, **options)


_KNOWN: dict[str, frozenset[str]] = {}


def _names(dialect: PageDialect) -> frozenset[str]:
    if dialect.name not in _KNOWN:
        names = {name for one in dialect.rules() for name in one.names}
        names |= {name for places in dialect.identity.values() for name, _ in places}
        # Where one part of a histogram is read, the others are no news. Client libraries add when each was created.
        stems = {name.removesuffix(part) for name in names for part in _PARTS if name.endswith(part)}
        names |= {stem + part for stem in stems for part in (*_PARTS, "")}
        created = {stem + "_created" for name in names for stem in (name, name.removesuffix("_total"))}
        _KNOWN[dialect.name] = frozenset(names | created)
    return _KNOWN[dialect.name]


def _stands_for(left: LeftOut, name: str) -> bool:
    return bool(_pattern(left.names).fullmatch(name))


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    words = [re.escape(name[:-1]) + ".*" if name.endswith("*") else re.escape(name) for name in names]
    return re.compile(f"(?:{'|'.join(words)})(?:_bucket|_sum|_count|_total|_created)?")


COMMON = (
    LeftOut(
        "tells of the program and its HTTP server, not of what it serves",
        ("process_*", "python_*", "http_*", "go_*", "promhttp_*"),
    ),
)
"""What the libraries of engines add to their pages."""
