# SPDX-License-Identifier: Apache-2.0
"""An alert as a value: what is asked of Prometheus, how urgent the answer is, and what a person reads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agent.metric import Counter, label_name
from agent.promql import Expr, Scope
from alerts.thresholds import Threshold

Severity: TypeAlias = Literal["critical", "warning", "info"]
"""critical: someone is to act now; warning: on the same day; info: to be known when something else is wrong."""

NODE = ("cluster", "instance")
"""What tells a node. A label that is absent on both sides of a comparison is equal."""
GPU = (*NODE, "hw.id")

_PLACEHOLDER = re.compile(r"\{([a-z_.]+)(?::([a-z]+))?\}")
_FORMATS = {None: "humanize", "percent": "humanizePercentage", "duration": "humanizeDuration"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What fires for each series of `expr`, after `hold`, and goes on for `keep` after the last.

    `meaning` says the expression in words. Texts name attributes in braces, and {value}, {value:percent} or
    {value:duration}; one that the series do not have is refused with ValueError.
    """

    name: str
    severity: Severity
    expr: Expr
    meaning: str
    summary: str
    description: str
    hold: str = ""
    keep: str = ""
    thresholds: tuple[Threshold, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a text that names what the series do not have."""
        for attribute, _ in _PLACEHOLDER.findall(self.summary + self.description):
            if attribute != "value" and attribute not in self.expr.attributes:
                known = ", ".join(sorted(self.expr.attributes))
                raise ValueError(f"{self.name}: no attribute `{attribute}` here; there are {known}")

    def text(self, template: str, value: str = "$value") -> str:
        """Write a text as a template of Prometheus; `value` is what stands for the value."""

        def fill(found: re.Match[str]) -> str:
            attribute, form = found.groups()
            if attribute == "value":
                return f"{{{{ {value} | {_FORMATS[form]} }}}}"
            return f"{{{{ $labels.{label_name(attribute)} }}}}"

        return _PLACEHOLDER.sub(fill, template)


def grew(
    scope: Scope, metric: Counter[Any], where: Mapping[str, str] | None, window: str, more_than: float = 0
) -> Expr:
    """Select counters that grew in a window, those that were not there before it too.

    A counter that is made with its first event has nothing to grow from, so that increase() never sees that one. It is
    for counters that begin with the agent: one of hardware may be old when it is first read.
    """
    counter = scope.of(metric, where)
    return (scope.increase(metric, where, window) > more_than) | (counter.unless(counter.ago(window)) > more_than)
