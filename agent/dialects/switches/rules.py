# SPDX-License-Identifier: Apache-2.0
"""What a name of a switch's telemetry means: rules as data, of which each kind's module is a table.

A table decides what is a counter, and not the type that came with the value: Spectrum sends most of its counters as
gauges. It says also what is left out on purpose, each with its reason, so that a name that is neither is news.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from agent.dialects.rules import LeftOut
from agent.metric import Metric

NOTHING: Mapping[str, str] = MappingProxyType({})
NO_STATES: Mapping[int, str] = MappingProxyType({})


class SwitchRule(NamedTuple):
    """Where the values of a metric stand.

    Of `names` the first that a switch tells counts. `labels` lead from fields of the metric's entity to attributes of
    the point, beside those of the table, and `fixed` are fields that the name itself tells. A value is multiplied by
    `times` and divided by `divide`, to be in the metric's unit; with `cells` it is multiplied by the switch's cell
    size, and absent until that is known. With `bit` it is 1 where the value has that bit. Where there are `states`,
    the value is the key of one, which stands in the entity's field `state`, and each has a series.
    """

    metric: Metric[Any]
    names: tuple[str, ...]
    labels: Mapping[str, str] = NOTHING
    fixed: Mapping[str, str] = NOTHING
    times: float = 1
    divide: float = 1
    cells: bool = False
    bit: int = 0
    states: Mapping[int, str] = NO_STATES


class Found(NamedTuple):
    """A rule that reads a name, and the place of the name in it: the lower counts."""

    rule: SwitchRule
    rank: int


class SwitchTable:
    """How the telemetry of one kind of switch is read."""

    def __init__(
        self,
        kind: str,
        title: str,
        about: str,
        rules: tuple[SwitchRule, ...],
        left_out: tuple[LeftOut, ...],
        *,
        labels: Mapping[str, str],
        cell_size: str = "",
    ) -> None:
        """`labels` lead from fields to attributes in all rules; `cell_size` is the name that tells bytes per cell."""
        self.kind, self.title, self.about = kind, title, about
        self.rules, self.left_out = rules, left_out
        self.labels = labels
        self.cell_size = cell_size

    @cached_property
    def _by_name(self) -> Mapping[str, tuple[Found, ...]]:
        found: dict[str, tuple[Found, ...]] = {}
        for rule in self.rules:
            for rank, name in enumerate(rule.names):
                found[name] = (*found.get(name, ()), Found(rule, rank))
        return found

    @cached_property
    def _left_names(self) -> frozenset[str]:
        return frozenset(name for left in self.left_out for name in left.names if not name.endswith("*"))

    @cached_property
    def _left_prefixes(self) -> tuple[str, ...]:
        return tuple(name[:-1] for left in self.left_out for name in left.names if name.endswith("*"))

    def find(self, name: str) -> tuple[Found, ...]:
        """Give the rules that read a name."""
        return self._by_name.get(name, ())

    def leaves_out(self, name: str) -> bool:
        """Tell whether a name is left out on purpose."""
        return name in self._left_names or name.startswith(self._left_prefixes)

    def names(self) -> Iterator[str]:
        """Give every name that is read."""
        yield from self._by_name


def rule(metric: Metric[Any], *names: str, **options: Any) -> SwitchRule:
    """Make a rule; see SwitchRule for the options."""
    return SwitchRule(metric, names, **options)
