# SPDX-License-Identifier: Apache-2.0
"""Recording rules make series, and alerts can be evaluated and know the labels that they speak of."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import promql_parser
import pytest

from tests.live import no_data
from tests.live.stack import Prometheus, Stack, groups, skip_without

RECORDED = sorted({rule["record"] for group in groups() for rule in group["rules"] if "record" in rule})
ALERTS = [rule for group in groups() for rule in group["rules"] if "alert" in rule]
EACH_ALERT = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
_MADE_BY_PROMETHEUS = {"alertname", "alertstate"}


@pytest.mark.parametrize("record", RECORDED)
def test_every_recording_rule_makes_series(live: Stack, record: str) -> None:
    _has_data(live.scraped, record)


@pytest.mark.parametrize("record", RECORDED)
def test_every_recording_rule_makes_series_of_what_was_pushed(live: Stack, record: str) -> None:
    _has_data(skip_without(live), record)


def _has_data(prometheus: Prometheus, record: str) -> None:
    found = prometheus.over_time(record)
    if record in no_data.RULES:
        assert not found, "it returns data: take it off the list"
    else:
        assert found


@EACH_ALERT
def test_every_alert_is_evaluable(live: Stack, alert: dict[str, Any]) -> None:
    live.scraped.over_time(alert["expr"])
    (loaded,) = [one for one in _loaded(live.scraped) if one["name"] == alert["alert"] and _same(one, alert)]
    assert loaded["health"] == "ok", loaded.get("lastError")


@EACH_ALERT
def test_every_label_that_an_alert_selects_by_or_speaks_of_exists(live: Stack, alert: dict[str, Any]) -> None:
    selectors = [(name, labels) for name, labels in _selectors(alert["expr"]) if name not in no_data.METRICS]
    there = {name: _labels(live.scraped, name) for name, _ in selectors}
    missing = [(name, label) for name, labels in selectors for label in labels - there[name]]
    assert not missing
    spoken = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
    if there:
        assert spoken <= set().union(*there.values())
    for series in live.scraped.series(f'ALERTS{{alertname="{alert["alert"]}"}}'):
        assert spoken <= series.keys()


def test_the_script_of_faults_raises_alerts(live: Stack) -> None:
    raised = {series["alertname"] for series in live.scraped.series("ALERTS")}
    assert len(raised) >= len(ALERTS) / 3, sorted(raised)


@cache
def _loaded(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]


def _same(loaded: dict[str, Any], alert: dict[str, Any]) -> bool:
    """Whether it is this one of several alerts of one name, which differ in severity."""
    severity = alert.get("labels", {}).get("severity")
    return bool(loaded["labels"].get("severity") == severity)


@cache
def _labels(prometheus: Prometheus, name: str) -> frozenset[str]:
    found = prometheus.series(name)
    assert found, f"there is no series {name}"
    return frozenset(label for series in found for label in series)


def _selectors(expr: str) -> Iterator[tuple[str, set[str]]]:
    """List the vector selectors of a query: the name of the metric, and the labels that it matches on."""
    yield from _walk(promql_parser.parse(expr))


def _walk(node: Any) -> Iterator[tuple[str, set[str]]]:
    if isinstance(node, promql_parser.VectorSelector):
        matchers = {matcher.name: matcher.value for matcher in node.matchers.matchers}
        name = node.name or matchers.get("__name__", "")
        yield name, {label for label in matchers if label != "__name__"}
        return
    for attribute in ("lhs", "rhs", "expr", "vs", "vector_selector", "param"):
        if (child := getattr(node, attribute, None)) is not None:
            yield from _walk(child)
    for child in getattr(node, "args", None) or ():
        yield from _walk(child)
