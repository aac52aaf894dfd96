# SPDX-License-Identifier: Apache-2.0
"""What Grafana does with a dashboard before it asks Prometheus: variables get values, and queries are filled in."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.live.stack import ROOT, Prometheus

DASHBOARDS = sorted((ROOT / "dashboards/json").glob("*.json"))
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<series>.*),)?\s*(?P<label>[\w.]+)\s*\)", re.DOTALL)
_BUILT_IN: Mapping[str, str] = {
    "__interval": "5s",
    "__rate_interval": "20s",
    "__rate_interval_ms": "20000",
    "__range": "180s",
    "__range_s": "180",
}
"""A data source whose scrape interval is 5 s, looked at over three minutes."""


class Target(NamedTuple):
    """A query of a panel."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    exemplar: bool
    excuse: str
    """What the panel says when there is nothing to show, or nothing."""

    def __str__(self) -> str:
        """Name it, as in the list of those without data."""
        return f"{self.dashboard} / {self.panel} / {self.ref}"


def load(path: Path) -> dict[str, Any]:
    """Read a dashboard."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """List its panels, those in closed rows too, without the rows."""
    for panel in dashboard["panels"]:
        yield from panel.get("panels") or []
        if panel["type"] != "row":
            yield panel


def targets() -> list[Target]:
    """List every query of every dashboard."""
    return [
        Target(
            path.stem, panel["title"], target["refId"], target["expr"], target.get("exemplar", False), _excuse(panel)
        )
        for path in DASHBOARDS
        for panel in panels(load(path))
        for target in panel.get("targets") or []
    ]


def _excuse(panel: Mapping[str, Any]) -> str:
    return str(panel.get("fieldConfig", {}).get("defaults", {}).get("noValue") or "")


def variables(dashboard: Mapping[str, Any], prometheus: Prometheus, given: Mapping[str, str]) -> dict[str, str]:
    """Give each variable its value when the dashboard is opened: `given`, else current, all, or the first there is."""
    found: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        name, current = variable["name"], (variable.get("current") or {}).get("value")
        everything = variable.get("includeAll") and current in (None, "", [], "$__all", ["$__all"])
        if name in given:
            found[name] = given[name]
        elif variable["type"] == "datasource":
            found[name] = "prometheus"
        elif everything and variable.get("allValue"):
            found[name] = variable["allValue"]
        elif current and not everything:
            found[name] = str(current)
        else:
            values = _values(variable, prometheus, found)
            found[name] = f"({'|'.join(map(_quoted, values))})" if everything else next(iter(values), "")
    return found


def _quoted(value: str) -> str:
    return re.escape(value).replace("\\", "\\\\")


def _values(variable: Mapping[str, Any], prometheus: Prometheus, found: Mapping[str, str]) -> list[str]:
    if variable["type"] != "query":
        return [part.split(" : ")[-1].strip() for part in str(variable.get("query", "")).split(",")]
    query = variable["query"]
    written = interpolated(query["query"] if isinstance(query, dict) else query, found)
    parsed = _LABEL_VALUES.fullmatch(written.strip())
    assert parsed, f"variable {variable['name']}: {written}"
    series = parsed["series"]
    return prometheus.values_of(parsed["label"], series.strip() if series else None)


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Fill in variables. Raises KeyError for one that there is not."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return _BUILT_IN[name] if name in _BUILT_IN else values[name]

    return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", value, text)
