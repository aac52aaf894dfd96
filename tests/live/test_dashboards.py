# SPDX-License-Identifier: Apache-2.0
"""Every query of every dashboard returns data from nodes that are scraped, and the same from nodes that push."""

from functools import cache
from pathlib import Path

import pytest

from tests.live.grafana import DASHBOARDS, Target, interpolated, load, panels, targets, variables
from tests.live.no_data import QUIET
from tests.live.queries import excused
from tests.live.stack import FAULTY, HEALTHY, SETTLED, Prometheus, Series, Stack, skip_without

TARGETS = targets()
EACH = pytest.mark.parametrize("target", TARGETS, ids=str)
LOOKS = (SETTLED, SETTLED + 40, SETTLED + 80)
"""When a healthy node is looked at, s after the start: more than once, for a busy machine."""
EACH_DASHBOARD = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: str(path.stem))


@cache
def _chosen(dashboard: str, prometheus: Prometheus, node: str) -> dict[str, str]:
    (path,) = (path for path in DASHBOARDS if path.stem == dashboard)
    return variables(load(path), prometheus, {"instance": node})


@cache
def _answer(prometheus: Prometheus, query: str) -> list[Series]:
    return prometheus.over_time(query)


def query(target: Target, prometheus: Prometheus, node: str) -> str:
    """Fill in a query as for somebody who has chosen a node."""
    return interpolated(target.expr, _chosen(target.dashboard, prometheus, node))


@EACH
def test_every_query_returns_data(live: Stack, target: Target) -> None:
    asked = query(target, live.scraped, FAULTY)
    found = _answer(live.scraped, asked)
    assert found or str(target) in QUIET or excused(asked), asked
    assert not (found and str(target) in QUIET), "it returns data: take it off the list"


@EACH
def test_every_query_returns_data_that_was_pushed(live: Stack, target: Target) -> None:
    pushed = skip_without(live)
    asked = query(target, pushed, FAULTY)
    assert _answer(pushed, asked) or str(target) in QUIET or excused(asked, pushed=True), asked


@EACH_DASHBOARD
def test_on_a_healthy_node_a_panel_that_is_empty_says_why(live: Stack, path: Path) -> None:
    silent = []
    for panel in panels(load(path)):
        own = [one for one in TARGETS if (one.dashboard, one.panel) == (path.stem, panel["title"])]
        asked = [query(one, live.scraped, HEALTHY) for one in own]
        excuse = bool(own) and (own[0].excuse or any(excused(one) for one in asked))
        if own and not excuse and not any(live.scraped.at(one, time) for time in LOOKS for one in asked):
            silent.append((panel["title"], asked))
    assert not silent


@pytest.mark.parametrize("target", [one for one in TARGETS if one.exemplar], ids=str)
def test_queries_with_exemplars_have_some_with_a_trace(live: Stack, target: Target) -> None:
    asked = query(target, live.scraped, FAULTY)
    found = live.scraped.exemplars(asked)
    assert excused(asked) or any("trace_id" in exemplar["labels"] for one in found for exemplar in one["exemplars"])


@EACH_DASHBOARD
def test_annotations_show_something(live: Stack, path: Path) -> None:
    chosen = variables(load(path), live.scraped, {"instance": FAULTY})
    for annotation in load(path)["annotations"]["list"]:
        if "expr" in annotation:
            assert live.scraped.over_time(interpolated(annotation["expr"], chosen)), annotation["name"]
