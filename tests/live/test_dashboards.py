# SPDX-License-Identifier: Apache-2.0
"""Every query of every dashboard returns data from nodes that are scraped, and the same from nodes that push."""

from functools import cache

import pytest

from tests.live import no_data
from tests.live.grafana import DASHBOARDS, Target, interpolated, load, panels, targets, variables
from tests.live.stack import FAULTY, HEALTHY, SETTLED, Prometheus, Stack, skip_without

TARGETS = targets()
EACH = pytest.mark.parametrize("target", TARGETS, ids=str)


@cache
def _chosen(dashboard: str, prometheus: Prometheus, node: str) -> dict[str, str]:
    (path,) = (path for path in DASHBOARDS if path.stem == dashboard)
    return variables(load(path), prometheus, {"instance": node})


def query(target: Target, prometheus: Prometheus, node: str) -> str:
    """Fill in a query as for somebody who has chosen a node."""
    return interpolated(target.expr, _chosen(target.dashboard, prometheus, node))


@EACH
def test_every_query_returns_data(live: Stack, target: Target) -> None:
    found = live.scraped.over_time(query(target, live.scraped, FAULTY))
    if str(target) in no_data.PANELS:
        assert not found, "it returns data: take it off the list"
    else:
        assert found, query(target, live.scraped, FAULTY)


@EACH
def test_every_query_returns_data_that_was_pushed(live: Stack, target: Target) -> None:
    pushed = skip_without(live)
    found = pushed.over_time(query(target, pushed, FAULTY))
    if str(target) in {**no_data.PANELS, **no_data.PUSHED}:
        assert not found, "it returns data: take it off the list"
    else:
        assert found, query(target, pushed, FAULTY)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: str(path.stem))
def test_on_a_healthy_node_a_panel_that_is_empty_says_why(live: Stack, path: object) -> None:
    silent = []
    for panel in panels(load(path)):  # type: ignore[arg-type] # as given
        own = [one for one in TARGETS if one.dashboard == path.stem and one.panel == panel["title"]]  # type: ignore[attr-defined]
        queries = [query(one, live.scraped, HEALTHY) for one in own]
        if own and not own[0].excuse and not any(live.scraped.at(one, SETTLED) for one in queries):
            silent.append((panel["title"], queries))
    assert not silent


@pytest.mark.parametrize("target", [one for one in TARGETS if one.exemplar], ids=str)
def test_queries_with_exemplars_have_some_with_a_trace(live: Stack, target: Target) -> None:
    found = live.scraped.exemplars(query(target, live.scraped, FAULTY))
    assert any("trace_id" in exemplar["labels"] for one in found for exemplar in one["exemplars"])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: str(path.stem))
def test_annotations_are_evaluable(live: Stack, path: object) -> None:
    chosen = variables(load(path), live.scraped, {"instance": FAULTY})  # type: ignore[arg-type] # as given
    for annotation in load(path)["annotations"]["list"]:  # type: ignore[arg-type] # as given
        if "expr" in annotation:
            assert live.scraped.over_time(interpolated(annotation["expr"], chosen)), annotation["name"]


def test_what_is_listed_without_data_exists() -> None:
    assert {*no_data.PANELS, *no_data.PUSHED} <= set(map(str, TARGETS))
