# SPDX-License-Identifier: Apache-2.0
"""A dashboard as a whole: rows of lines of panels, laid out without holes; variables, annotations and links."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import grafanalib.core as g

from agent.catalogue.own import BUILD_INFO
from agent.metric import label_name
from agent.promql import Current, Expr, Scope
from dashboards.grafana import SOURCE, Panel

_WIDTH = 24
_SCHEMA = 41
_TAG = "joulespan"
_ANY = {"cluster": ".*", "job": ".+", "instance": ".+"}
"""What "All" matches. A cluster is an external label that may not be there; an engine may serve without a tenant."""
_NAMES = {"cluster": "Cluster", "job": "Job", "instance": "Instance"}


_ONE: Mapping[str, Any] = {"allValue": None, "current": None, "includeAll": False, "multi": False}
"""What makes a variable one of a single value: Grafana takes the first."""


class Line(NamedTuple):
    """Panels side by side, of one height; without widths they share the line alike."""

    height: int
    panels: tuple[Panel, ...]
    widths: tuple[int, ...] = ()


class Row(NamedTuple):
    """Lines under a title; a closed row costs no query until it is opened."""

    title: str
    lines: tuple[Line, ...]
    closed: bool = False


class Variable(NamedTuple):
    """What the user chooses: values of a label of some series, or a number to type in."""

    name: str
    label: str
    query: str
    description: str = ""
    typed: bool = False


class Mark(NamedTuple):
    """An event drawn over all panels: series, and the words for it; `at_value` takes the value as its time in ms."""

    name: str
    expr: Expr
    title: str
    text: str
    tags: tuple[str, ...]
    color: str
    at_value: bool = False


class Dashboard(NamedTuple):
    """A dashboard: its file is named after it, its uid stays for good."""

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    marks: tuple[Mark, ...] = ()
    span: str = "now-1h"
    one_node: bool = False
    """Whether it is about one node, which the user then chooses; all others show several at once."""
    nodes: Current = BUILD_INFO
    """A metric that every node has, to choose among them."""

    @property
    def path(self) -> str:
        """Where it is, below the root of the checkout."""
        return f"dashboards/json/{self.name}.json"


def line(height: int, *panels: Panel, widths: tuple[int, ...] = ()) -> Line:
    """Put panels side by side."""
    return Line(height, panels, widths)


def choice(label: str, name: str, selector: Expr, attribute: str, description: str = "") -> Variable:
    """Let the user choose among the values of an attribute of these series."""
    return Variable(name, label, f"label_values({selector}, {label_name(attribute)})", description)


def number(name: str, label: str, value: str, description: str) -> Variable:
    """Let the user type a number in, such as a price."""
    return Variable(name, label, value, description, typed=True)


def to(name: str, **variables: str) -> str:
    """Make a link to another dashboard that keeps the time, the source and the cluster, and sets variables.

    A value `{Title}` is that of this column of the row it was clicked in.
    """
    kept = "&".join(["${__url_time_range}", "${datasource:queryparam}", *map(_passed, ("cluster", "job"))])
    chosen = "".join(
        f"&var-{variable}=" + value.replace("{", "${__data.fields.") for variable, value in variables.items()
    )
    return f"/d/{_TAG}-{name}?{kept}{chosen}"


def document(page: Dashboard, scope: Scope) -> str:
    """Write a dashboard as Grafana's JSON; labels of the scope whose value is their variable are chosen by the user."""
    made = _Dashboard(
        uid=f"{_TAG}-{page.name}",
        title=page.title,
        description=page.description,
        tags=[_TAG],
        timezone="",
        schemaVersion=_SCHEMA,
        version=1,
        editable=False,
        graphTooltip=g.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        refresh="30s",
        time=g.Time(page.span, "now"),
        templating=g.Templating([*_standing(page, scope), *map(_variable, page.variables)]),
        annotations=g.Annotations([*map(_annotation, page.marks)]),
        links=[g.DashboardLink(title="joulespan", tags=[_TAG], keepTime=True, includeVars=True)],
        panels=list(_laid_out(page.rows)),
    )
    text = json.dumps(_clean(made), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    for label, value in scope.labels.items():
        if value != f"${label}":
            text = text.replace(f"&{_passed(label)}", "")  # There is nothing to choose, and so nothing to pass on.
    return text


def _passed(label: str) -> str:
    return f"${{{label}:queryparam}}"


class _Dashboard(g.Dashboard):  # type: ignore[misc]  # grafanalib has no types
    """A dashboard without what grafanalib still writes and Grafana no longer reads."""

    def to_json_data(self) -> dict[str, Any]:
        """Give the JSON."""
        written = {key: value for key, value in super().to_json_data().items() if key not in _GONE}
        return {**written, "timepicker": {"refresh_intervals": ["10s", "30s", "1m", "5m", "15m", "1h"]}}


def _laid_out(rows: Sequence[Row]) -> Iterator[Any]:
    """Place the panels: lines of a row below each other, 24 columns wide, and number them."""
    y, number_ = 0, 0
    for row in rows:
        number_ += 1
        heading = g.RowPanel(title=row.title, id=number_, collapsed=row.closed, gridPos=g.GridPos(1, _WIDTH, 0, y))
        y += 1
        below, placed = y, []
        for one in row.lines:
            x = 0
            widths = one.widths or (_WIDTH // len(one.panels),) * len(one.panels)
            for panel, width in zip(one.panels, widths, strict=True):
                number_ += 1
                panel.id, panel.gridPos = number_, g.GridPos(one.height, width, x, y)
                placed.append(panel)
                x += width
            assert x == _WIDTH, f"{row.title}: a line is {x} wide"
            y += one.height
        if row.closed:
            # Grafana makes room for them when the row is opened.
            heading.panels, y = placed, below
            yield heading
        else:
            yield from (heading, *placed)


def _standing(page: Dashboard, scope: Scope) -> Iterator[dict[str, Any]]:
    """Make the variables that every dashboard has, each narrowed by those before it."""
    yield {
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    }
    before: dict[str, str] = {}
    for label in [label for label in scope.labels if scope.labels[label] == f"${label}"]:
        made = _query_variable(
            Variable(label, _NAMES[label], ""), f"label_values({Scope(before).of(page.nodes)}, {label})"
        )
        yield {**made, **_ONE} if page.one_node and label == "instance" else made
        before[label] = scope.labels[label]


def _variable(variable: Variable) -> dict[str, Any]:
    if not variable.typed:
        return _query_variable(variable, variable.query)
    return {
        "current": {"selected": True, "text": variable.query, "value": variable.query},
        "description": variable.description,
        "hide": 0,
        "label": variable.label,
        "name": variable.name,
        "options": [{"selected": True, "text": variable.query, "value": variable.query}],
        "query": variable.query,
        "skipUrlSync": False,
        "type": "textbox",
    }


def _query_variable(variable: Variable, query: str) -> dict[str, Any]:
    return {
        "allValue": _ANY.get(variable.name, ".*"),
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": SOURCE,
        "definition": query,
        "description": variable.description,
        "hide": 0,
        "includeAll": True,
        "label": variable.label,
        "multi": True,
        "name": variable.name,
        "options": [],
        "query": {"query": query, "refId": f"{variable.name}-values"},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 7,
        "type": "query",
    }


def _annotation(mark: Mark) -> dict[str, Any]:
    return {
        "datasource": SOURCE,
        "enable": True,
        "expr": str(mark.expr),
        "hide": False,
        "iconColor": mark.color,
        "name": mark.name,
        "tagKeys": ",".join(label_name(tag) for tag in mark.tags),
        "textFormat": mark.text,
        "titleFormat": mark.title,
        "useValueForTime": mark.at_value,
    }


_GONE = frozenset({"__inputs", "gnetId", "hideControls", "rows", "sharedCrosshair", "style"})
"""What grafanalib still writes of a dashboard, and Grafana no longer reads."""
_ROW = frozenset({"collapsed", "gridPos", "id", "panels", "title", "type"})


def _clean(value: Any) -> Any:
    """Turn grafanalib's objects into plain ones, without nulls; rows keep what a row has."""
    if hasattr(value, "to_json_data"):
        return _clean(value.to_json_data())
    if isinstance(value, Mapping):
        kept = {key: _clean(inner) for key, inner in value.items() if inner is not None}
        return {key: inner for key, inner in kept.items() if key in _ROW} if kept.get("type") == "row" else kept
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value
