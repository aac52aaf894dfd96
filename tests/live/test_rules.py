# SPDX-License-Identifier: Apache-2.0
"""Recording rules make series, and alerts can be evaluated and know the labels that they speak of."""

import re
from functools import cache
from typing import Any

import pytest

from tests.live.no_data import ABSENT, DEPENDS, LABELS, QUIET
from tests.live.queries import among, excused, selectors
from tests.live.stack import Prometheus, Stack, groups, skip_without

RULES = [rule for group in groups() for rule in group["rules"]]
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
ALERTS = [rule for rule in RULES if "alert" in rule]
EACH_ALERT = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
EACH_RECORD = pytest.mark.parametrize("record", sorted(RECORDED))


@EACH_RECORD
def test_every_recording_rule_makes_series(live: Stack, record: str) -> None:
    found = live.scraped.over_time(record)
    assert found or record in QUIET or _excused(record)
    assert not (found and record in QUIET), "it returns data: take it off the list"


@EACH_RECORD
def test_every_recording_rule_makes_series_of_what_was_pushed(live: Stack, record: str) -> None:
    assert skip_without(live).over_time(record) or record in QUIET or _excused(record, pushed=True)


@EACH_ALERT
def test_every_alert_is_evaluable(live: Stack, alert: dict[str, Any]) -> None:
    live.scraped.over_time(alert["expr"])
    loaded = [one for one in _loaded(live.scraped) if one["name"] == alert["alert"] and _same(one, alert)]
    assert [one["health"] for one in loaded] == ["ok"]


@EACH_ALERT
def test_every_label_that_an_alert_selects_by_or_speaks_of_exists(live: Stack, alert: dict[str, Any]) -> None:
    known = [one for one in selectors(alert["expr"]) if not _nowhere(one.metric)]
    there = {one.metric: _labels(live.scraped, one.metric) for one in known}
    assert not [(one.metric, label) for one in known for label in one.labels - there[one.metric] - LABELS.keys()]
    spoken = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
    if len(known) == len(selectors(alert["expr"])):
        assert spoken <= set(LABELS).union(*there.values())
    for series in live.scraped.series(f'ALERTS{{alertname="{alert["alert"]}"}}'):
        assert spoken <= series.keys() | LABELS.keys()


def test_the_script_of_faults_raises_alerts(live: Stack) -> None:
    raised = {series["alertname"] for series in live.scraped.series("ALERTS")}
    assert len(raised) >= len(ALERTS) / 4, sorted(raised)


def _excused(record: str, *, pushed: bool = False) -> bool:
    """Whether a rule may make nothing: what it is made from is not there, or made by a rule of which that is so."""
    expr = RECORDED[record]
    return excused(expr, pushed=pushed) or any(
        _excused(one.metric, pushed=pushed) or one.metric in QUIET for one in selectors(expr) if one.metric in RECORDED
    )


def _nowhere(metric: str) -> bool:
    return among(metric, {**ABSENT, **DEPENDS}) or metric in QUIET or (metric in RECORDED and _excused(metric))


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
