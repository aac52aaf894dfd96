# SPDX-License-Identifier: Apache-2.0
"""The dashboards keep the rules of Grafana's dashboard-linter, and those of this repository."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from agent.catalogue import METRICS
from agent.catalogue.dcgm import NAMES
from agent.catalogue.health import REMAPPED_ROWS, XID
from agent.catalogue.links import NVLINK_ERRORS
from agent.catalogue.own import COLLECTOR_FAILURES
from agent.metric import Histogram, label_name
from agent.promql import Scope
from alerts.recording import by_name
from alerts.thresholds import Thresholds
from dashboards import CHOSEN, documents

MATCHER = re.compile(r'(\w+)(=~|=)"(\$\w+)"')
ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = documents(Scope(), dcgm=True)
DASHBOARDS: dict[str, dict[str, Any]] = {Path(path).stem: json.loads(text) for path, text in DOCUMENTS.items()}
CURRENT_SCHEMA = 41
ONE_NODE = {"node", "gpu", "gpu-dcgm"}
"""These show one node, so that `Instance` has one value; all others have many."""
BUILT_IN = {"__rate_interval", "__interval", "__rate_interval_ms", "__range", "__url_time_range", "__data", "__all"}
STEADY = {"5m", "1h", "$__range"}
"""Windows that are not Grafana's: of energy per token (dashboards.measures.STEADY), of counts in an hour, of bills."""
VALUES = {"__rate_interval": "1m", "__range": "1h", "__rate_interval_ms": "60000"}
FAMILIES = {
    name
    for metric in METRICS.values()
    for name in (
        (f"{metric.prometheus}_bucket", f"{metric.prometheus}_sum", f"{metric.prometheus}_count")
        if isinstance(metric, Histogram)
        else (metric.prometheus,)
    )
}
RECORDED = by_name(Scope(), Thresholds())
COUNTERS = {metric.prometheus for metric in METRICS.values() if metric.monotonic}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all panels that are no rows, those in closed rows too."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def queries(name: str) -> list[str]:
    return [target["expr"] for panel in panels(DASHBOARDS[name]) for target in panel["targets"]]


def written(expr: str) -> str:
    """Put values in the place of variables, as Grafana does."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: VALUES.get(found[1], "1"), expr)


def parts(expr: Any) -> Iterator[Any]:
    """Walk an expression of promql-parser."""
    yield expr
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        inner = getattr(expr, name, None)
        if inner is not None and not isinstance(inner, str | float | int):
            yield from parts(inner)
    for inner in getattr(expr, "args", None) or ():
        yield from parts(inner)


def selectors(expr: str) -> Iterator[Any]:
    for part in parts(promql_parser.parse(written(expr))):
        if isinstance(part, promql_parser.VectorSelector):
            yield part


def everything(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything(inner)


each = pytest.mark.parametrize("name", DASHBOARDS)


@each
def test_it_can_be_found_and_is_of_a_schema_that_grafana_writes(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == f"joulespan-{name}"
    assert len(dashboard["uid"]) <= 40  # Grafana's limit
    assert dashboard["schemaVersion"] == CURRENT_SCHEMA
    assert dashboard["title"].startswith("joulespan / ")
    assert dashboard["description"].endswith(".")
    assert dashboard["tags"] == ["joulespan"]
    assert dashboard["editable"] is False
    assert "id" not in dashboard


def test_titles_and_uids_are_told_apart() -> None:
    for key in ("uid", "title"):
        assert len({dashboard[key] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


@each
def test_nothing_is_null_and_nothing_is_left_of_old_schemas(name: str) -> None:
    gone = {"rows", "style", "hideControls", "sharedCrosshair", "gnetId", "__inputs", "step", "metric", "target"}
    for value in everything(DASHBOARDS[name]):
        assert value is not None
        if isinstance(value, dict):
            assert not gone & value.keys()


@each
def test_the_data_source_is_a_variable_and_every_query_uses_it(name: str) -> None:
    first = DASHBOARDS[name]["templating"]["list"][0]
    assert (first["name"], first["type"], first["label"], first["query"]) == (
        "datasource",
        "datasource",
        "Data source",
        "prometheus",
    )
    source = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*panels(DASHBOARDS[name]), *DASHBOARDS[name]["annotations"]["list"]]
    asking += [target for panel in panels(DASHBOARDS[name]) for target in panel["targets"]]
    asking += [one for one in DASHBOARDS[name]["templating"]["list"] if one["type"] == "query"]
    assert all(one["datasource"] == source for one in asking)


@each
def test_jobs_and_instances_are_chosen_as_in_any_dashboard_of_prometheus(name: str) -> None:
    variables = {one["name"]: one for one in DASHBOARDS[name]["templating"]["list"]}
    assert variables["job"]["label"] == "Job"
    assert variables["instance"]["label"] == "Instance"
    for label in ("job", "instance"):
        one = variables[label]
        assert (one["type"], one["refresh"]) == ("query", 2)
        if not (label == "instance" and name in ONE_NODE):
            assert (one["multi"], one["includeAll"], one["allValue"]) == (True, True, ".+")
    assert variables["cluster"]["allValue"] == ".*"  # an external label that may not be there


@each
def test_names_of_variables_are_told_apart_and_each_is_used(name: str) -> None:
    variables = [one["name"] for one in DASHBOARDS[name]["templating"]["list"]]
    assert len(set(variables)) == len(variables)
    text = json.dumps(DASHBOARDS[name])
    used = {braced or bare for braced, bare in re.findall(r"\$(?:\{(\w+)[^}]*\}|(\w+))", text)}
    assert used - BUILT_IN == set(variables)


@each
def test_variables_are_filled_again_when_the_time_changes(name: str) -> None:
    for one in DASHBOARDS[name]["templating"]["list"]:
        if one["type"] == "query":
            assert one["refresh"] == 2
            assert one["query"]["query"] == one["definition"]


@each
def test_every_panel_has_a_title_a_description_a_unit_and_a_query(name: str) -> None:
    for panel in panels(DASHBOARDS[name]):
        assert panel["title"], panel["id"]
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["targets"], panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] != "table":
            assert defaults["unit"], panel["title"]
        if "noValue" in defaults:
            assert defaults["noValue"] in panel["description"], panel["title"]


@each
def test_every_number_in_a_table_has_a_unit(name: str) -> None:
    for panel in panels(DASHBOARDS[name]):
        if panel["type"] == "table" and panel["transformations"][-1]["id"] == "organize":
            organized = panel["transformations"][-1]["options"]
            columns = {
                title
                for field, title in organized["renameByName"].items()
                if field.startswith("Value") and field not in organized["excludeByName"]
            }
            for override in panel["fieldConfig"]["overrides"]:
                properties = {one["id"] for one in override["properties"]}
                if "custom.cellOptions" in properties and properties & {"unit", "mappings"}:
                    columns.discard(override["matcher"]["options"])
            assert not columns, panel["title"]


@each
def test_why_a_table_may_be_empty_is_not_written_into_its_empty_cells(name: str) -> None:
    for panel in panels(DASHBOARDS[name]):
        if panel["type"] == "table" and "noValue" in panel["fieldConfig"]["defaults"]:
            organized = panel["transformations"][-1]["options"]
            titles = {t for field, t in organized["renameByName"].items() if field not in organized["excludeByName"]}
            written = {
                override["matcher"]["options"]
                for override in panel["fieldConfig"]["overrides"]
                if {one["value"] for one in override["properties"] if one["id"] == "noValue"} in ({"-"}, {"gone"})
            }
            assert titles == written, panel["title"]


@each
def test_panels_are_told_apart_and_fill_the_grid(name: str) -> None:
    ids = Counter(one["id"] for one in [*DASHBOARDS[name]["panels"], *panels(DASHBOARDS[name])] if one["type"] != "row")
    rows = [one["id"] for one in DASHBOARDS[name]["panels"] if one["type"] == "row"]
    shown = {one["id"] for one in panels(DASHBOARDS[name])}
    assert len(rows) + len(shown) == len({*rows, *shown})
    assert max(ids) == len(rows) + len(shown)
    _full(DASHBOARDS[name]["panels"])
    for row in DASHBOARDS[name]["panels"]:
        if row["type"] == "row" and row["panels"]:
            assert row["collapsed"]
            _full(row["panels"], row["gridPos"]["y"] + 1)


def _full(shown: list[dict[str, Any]], top: int = 0) -> None:
    """Assert that panels cover all 24 columns from the top to the end of the last, each cell once."""
    cells: Counter[tuple[int, int]] = Counter()
    for place in (panel["gridPos"] for panel in shown):
        cells.update(
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )
    bottom = max(y for _, y in cells) + 1
    assert set(cells) == {(x, y) for x in range(24) for y in range(top, bottom)}
    assert set(cells.values()) == {1}


@each
def test_it_opens_with_what_matters_and_is_not_long(name: str) -> None:
    first, second, *_ = DASHBOARDS[name]["panels"]
    assert (first["type"], first["collapsed"], second["gridPos"]["y"]) == ("row", False, 1)
    assert sum(panel["type"] != "row" for panel in DASHBOARDS[name]["panels"]) <= 26


@each
def test_links_keep_the_time_and_the_variables(name: str) -> None:
    uids = {dashboard["uid"] for dashboard in DASHBOARDS.values()}
    (link,) = DASHBOARDS[name]["links"]
    assert (link["type"], link["tags"], link["keepTime"], link["includeVars"]) == (
        "dashboards",
        ["joulespan"],
        True,
        True,
    )
    for one in everything(DASHBOARDS[name]):
        if isinstance(one, dict) and str(one.get("url", "")).startswith("/d/"):
            uid, _, query = one["url"].removeprefix("/d/").partition("?")
            assert uid in uids
            assert query.startswith("${__url_time_range}&${datasource:queryparam}&${cluster:queryparam}&")
            target = next(dashboard for dashboard in DASHBOARDS.values() if dashboard["uid"] == uid)
            known = {variable["name"] for variable in target["templating"]["list"]}
            assert set(re.findall(r"var-(\w+)=", query)) <= known


@each
def test_links_of_a_table_take_values_of_columns_that_it_has(name: str) -> None:
    for panel in panels(DASHBOARDS[name]):
        used = set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel)))
        if used:
            assert used <= set(panel["transformations"][-1]["options"]["renameByName"].values()), panel["title"]


@each
def test_every_query_is_promql_of_this_catalogue(name: str) -> None:
    for expr in queries(name):
        for selector in selectors(expr):
            names = {selector.name} - {None} or {m.value for m in selector.matchers.matchers if m.name == "__name__"}
            assert names <= FAMILIES | RECORDED.keys() | NAMES


@each
def test_every_query_is_about_the_nodes_chosen(name: str) -> None:
    for expr in queries(name):
        for selector in selectors(expr):
            found = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
            kept = RECORDED[selector.name].expr.attributes if selector.name in RECORDED else CHOSEN.keys()
            assert CHOSEN.keys() & kept <= found.keys(), selector.name
        chosen = {(label, matcher) for label, matcher, value in MATCHER.findall(expr) if value == f"${label}"}
        assert ("cluster", "=~") in chosen
        assert {matcher for _, matcher in chosen} == {"=~"}


@each
def test_every_matcher_is_of_a_label_that_the_metric_has(name: str) -> None:
    for expr in queries(name):
        labels = {
            name: {label_name(attribute.name) for attribute in metric.attributes}
            for metric in METRICS.values()
            for name in (metric.prometheus, *(f"{metric.prometheus}_{part}" for part in ("bucket", "sum", "count")))
        }
        for selector in selectors(expr):
            if selector.name in labels:
                used = {matcher.name for matcher in selector.matchers.matchers}
                assert used <= labels[selector.name] | {"cluster", "job", "instance", "hw_type"}


@each
def test_rates_look_as_far_back_as_grafana_says(name: str) -> None:
    for expr in queries(name):
        assert set(re.findall(r"\[([^\]:]+)\]", expr)) <= {"$__rate_interval"} | STEADY


@each
def test_counters_are_never_shown_as_they_are(name: str) -> None:
    rare = {metric.prometheus for metric in (XID, REMAPPED_ROWS, NVLINK_ERRORS, COLLECTOR_FAILURES)}
    for expr in queries(name):
        bare = _bare(promql_parser.parse(written(expr)))
        assert set(bare) & COUNTERS <= rare, "counts of rare events are shown as they stand, and nothing else"


def _bare(expr: Any) -> Iterator[str]:
    """Name what is selected without a window."""
    if isinstance(expr, promql_parser.VectorSelector):
        yield expr.name or ""
    elif not isinstance(expr, promql_parser.MatrixSelector):
        for name in ("expr", "lhs", "rhs", "args"):
            inner = getattr(expr, name, None) or ()
            for one in inner if isinstance(inner, list) else [inner] if inner else []:
                yield from _bare(one)


@each
def test_what_marks_the_graphs_is_asked_with_the_nodes_chosen(name: str) -> None:
    for mark in DASHBOARDS[name]["annotations"]["list"]:
        assert mark["enable"]
        for selector in selectors(mark["expr"]):
            assert selector.name in FAMILIES
        assert 'instance=~"$instance"' in mark["expr"]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_what_is_committed_is_what_is_generated(path: str) -> None:
    assert (ROOT / path).read_text("utf-8") == DOCUMENTS[path]


def test_nothing_is_committed_that_is_not_generated() -> None:
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "dashboards/json").iterdir()} == set(DOCUMENTS)


def test_a_label_of_the_scope_is_in_every_query_and_is_no_variable() -> None:
    for text in documents(Scope({"job": "node", "datacenter": "x"}), dcgm=True).values():
        dashboard = json.loads(text)
        assert "job" not in {variable["name"] for variable in dashboard["templating"]["list"]}
        for panel in panels(dashboard):
            for target in panel["targets"]:
                for selector in selectors(target["expr"]):
                    found = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
                    if selector.name not in RECORDED:
                        assert (found["job"], found["datacenter"]) == ("node", "x")
