# SPDX-License-Identifier: Apache-2.0
"""What grafanalib 0.7.1 lacks of today's Grafana, as small classes over its own, and panels made from metrics.

A panel says what the metric's catalogue entry says: its brief is the description, its unit the unit of the field.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import grafanalib.core as g

from agent.metric import Metric, label_name
from agent.promql import Expr
from agent.unit import Unit

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "text"
_PER_SECOND = {
    Unit.JOULES: Unit.WATTS.grafana,
    Unit.BYTES: Unit.BYTES_PER_SECOND.grafana,
    Unit.SECONDS: Unit.RATIO.grafana,
    Unit.REQUESTS: Unit.REQUESTS_PER_SECOND.grafana,
    Unit.TOKENS: "si:tok/s",
    Unit.PACKETS: "pps",
}
"""What a rate of these is in; of everything else it is a number a second."""
_MATCH = {"ref": "byFrameRefID", "name": "byName", "regex": "byRegexp"}


class Step(NamedTuple):
    """From this value on, this colour."""

    color: str
    value: float = 0.0


def rising(warn: float, bad: float) -> tuple[Step, ...]:
    """Green, orange from `warn` and red from `bad` on."""
    return Step(GREEN), Step(ORANGE, warn), Step(RED, bad)


def falling(bad: float, warn: float) -> tuple[Step, ...]:
    """Red, orange from `bad` and green from `warn` on."""
    return Step(RED), Step(ORANGE, bad), Step(GREEN, warn)


PLAIN = (Step(GREEN),)
QUIET = (Step(BLUE),)
ANY_IS_BAD = (Step(GREEN), Step(RED, 1e-9))
ANY_IS_NOTED = (Step(GREEN), Step(ORANGE, 1e-9))


class Query(NamedTuple):
    """A query and what its series are called: `{hw.name}` is an attribute of them. `dashed` is for limits."""

    expr: Expr
    legend: str = ""
    exemplars: bool = False
    dashed: bool = False
    instant: bool = False


class Look(NamedTuple):
    """How values are shown."""

    unit: str = ""
    steps: Sequence[Step] = PLAIN
    texts: Mapping[str, tuple[str, str]] = {}
    """Value to its text and colour."""
    low: float | None = None
    high: float | None = None
    decimals: int | None = None


class Draw(NamedTuple):
    """How values are drawn over time. `legend` is list, table with mean and maximum, or hidden."""

    stack: bool = False
    bars: bool = False
    log: bool = False
    legend: str = "list"
    overrides: Sequence[Mapping[str, Any]] = ()


class Field(NamedTuple):
    """What a panel says of its values as a whole, and of some of them."""

    look: Look
    color: str = "thresholds"
    custom: Mapping[str, Any] = {}
    empty: str = ""
    overrides: Sequence[Mapping[str, Any]] = ()


class Target(g.Target):  # type: ignore[misc]  # grafanalib has no types
    """A Prometheus query with the fields that Grafana writes today."""

    def __init__(self, *, exemplar: bool, **fields: Any) -> None:
        """Take grafanalib's fields, and whether to ask for exemplars too."""
        super().__init__(**fields)
        self.exemplar = exemplar

    def to_json_data(self) -> dict[str, Any]:
        """Give the JSON."""
        return {
            "datasource": SOURCE,
            "editorMode": "code",
            "exemplar": self.exemplar,
            "expr": self.expr,
            "format": self.format,
            "instant": self.instant,
            "legendFormat": self.legendFormat,
            "range": not self.instant,
            "refId": self.refId,
        }


class Panel(g.Panel):  # type: ignore[misc]  # as above
    """A panel of any type, without what is gone from Grafana."""

    def __init__(self, kind: str, options: Mapping[str, Any], field: Field, **fields: Any) -> None:
        """Take Grafana's name of the type, its options, and grafanalib's fields."""
        super().__init__(**fields)
        self.kind, self.options, self.field = kind, options, field

    def to_json_data(self) -> dict[str, Any]:
        """Give the JSON."""
        return {
            "id": self.id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": self.gridPos,
            "targets": self.targets,
            "transformations": self.transformations,
            "options": self.options,
            "fieldConfig": {"defaults": self._defaults(), "overrides": self.field.overrides},
        }

    def _defaults(self) -> dict[str, Any]:
        return {
            **look_json(self.field.look),
            "color": {"mode": self.field.color},
            "custom": self.field.custom,
            "noValue": self.field.empty or None,
        }


def look_json(look: Look) -> dict[str, Any]:
    """Write what a field looks like."""
    mappings = {
        value: {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(look.texts.items())
    }
    return {
        "unit": look.unit or None,
        "decimals": look.decimals,
        "min": look.low,
        "max": look.high,
        # Grafana takes the first step as minus infinity, whatever its value.
        "thresholds": {"mode": "absolute", "steps": [step._asdict() for step in look.steps]},
        "mappings": [{"type": "value", "options": mappings}] if mappings else [],
    }


def unit_of(metric: Metric[Any], *, rate: bool = False) -> str:
    """Give Grafana's unit of a metric, or of its rate."""
    return _PER_SECOND.get(metric.unit, "cps") if rate else metric.unit.grafana


def override(match: str, name: str, **properties: Any) -> dict[str, Any]:
    """Change how some series look: `match` is ref, name or regex; dots in properties are written `__`."""
    return {
        "matcher": {"id": _MATCH[match], "options": name},
        "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()],
    }


def targets(lines: Sequence[Query], form: str = "time_series") -> list[Target]:
    """Make the queries of a panel, A first."""
    return [
        Target(
            expr=str(line.expr),
            legendFormat=_legend(line),
            refId=chr(ord("A") + index),
            format=form,
            instant=line.instant,
            exemplar=line.exemplars,
        )
        for index, line in enumerate(lines)
    ]


def _legend(line: Query) -> str:
    """Write the labels for the attributes. Raises ValueError for one that the series do not have."""

    def label(found: re.Match[str]) -> str:
        if found[1] not in line.expr.attributes:
            message = f"no attribute `{found[1]}` in {line.expr}"
            raise ValueError(message)
        return f"{{{{{label_name(found[1])}}}}}"

    return re.sub(r"\{([^{}]+)\}", label, line.legend)


def described(about: Sequence[Metric[Any]], note: str, empty: str) -> str:
    """Say what a panel shows: what the metrics are, what is to be said about them, and why there may be nothing."""
    parts = [*dict.fromkeys(metric.brief for metric in about), note, empty and f"When empty: {empty}"]
    return "\n\n".join(part for part in parts if part)
