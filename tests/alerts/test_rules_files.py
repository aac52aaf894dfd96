# SPDX-License-Identifier: Apache-2.0
"""Rules are the same in all forms, and those who load them find nothing wrong."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from agent.promql import Scope
from alerts import Options, documents, subjects
from alerts.alert import Alert
from alerts.layout import layout
from alerts.rules_files import Subject
from alerts.thresholds import THRESHOLDS, Limit, Thresholds
from tests.newer import TOOLS, fetch

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = documents(Options())
RULE_FILES = sorted(path for path in DOCUMENTS if path.startswith("alerts/rules/"))
ALERTS = [alert for subject in subjects(Options()) for alert in subject.alerts]


def loaded(path: str) -> Any:
    return yaml.safe_load(DOCUMENTS[path])


def told(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make install-tools")
def test_promtool_finds_nothing_wrong() -> None:
    assert told("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES).count("SUCCESS") == len(
        RULE_FILES
    )


def test_vmalert_reads_the_files_of_prometheus() -> None:
    # That of Debian 12 does not know keep_firing_for.
    if missing := fetch():
        pytest.skip(missing)
    program = str(TOOLS / "vmalert")
    assert f"finished reading {len(RULE_FILES)} files" in told(program, "-dryRun", "-rule=alerts/rules/*.yaml")


@pytest.mark.parametrize("path", RULE_FILES)
def test_the_operator_gets_the_same_groups(path: str) -> None:
    rule = loaded(path.replace("rules", "kubernetes", 1))
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", rule["metadata"]["name"])
    assert rule["spec"] == loaded(path)


def test_mimir_gets_the_same_groups_in_one_namespace() -> None:
    namespace = loaded("alerts/mimir/joulespan.yaml")
    assert namespace["namespace"] == "joulespan"
    by_name = {group["name"]: group for path in RULE_FILES for group in loaded(path)["groups"]}
    assert {group["name"]: group for group in namespace["groups"]} == by_name


@pytest.mark.parametrize("path", RULE_FILES)
def test_grafana_asks_the_same_and_fires_for_whatever_is_left(path: str) -> None:
    (group,) = loaded(path.replace("rules", "grafana", 1))["groups"]
    wanted = {rule["alert"]: rule for found in loaded(path)["groups"] for rule in found["rules"] if "alert" in rule}
    assert [rule["title"] for rule in group["rules"]] == list(wanted)
    for rule in group["rules"]:
        query, exists, fires = rule["data"]
        same = wanted[rule["title"]]
        assert query["model"]["expr"] == same["expr"]
        assert {part["refId"] for part in rule["data"]} >= {rule["condition"], fires["model"]["expression"]}
        assert f"${query['refId']}" in exists["model"]["expression"]
        assert (rule["for"], rule["labels"]) == (same.get("for", "0s"), same["labels"])
        assert rule["annotations"]["description"] == same["annotations"]["description"].replace(
            "$value", "$values.query.Value"
        )


def test_uids_of_grafana_are_short_and_differ() -> None:
    grafana = [loaded(path) for path in DOCUMENTS if path.startswith("alerts/grafana/")]
    uids = [rule["uid"] for document in grafana for group in document["groups"] for rule in group["rules"]]
    assert len(uids) == len(set(uids)) == len(ALERTS)
    assert all(re.fullmatch(r"[a-z0-9]{1,40}", uid) for uid in uids)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_says_what_a_person_needs(alert: Alert) -> None:
    assert alert.severity in {"critical", "warning", "info"}
    assert alert.summary[0] != " "
    assert not alert.summary.endswith(".")
    assert alert.description.endswith(".")
    assert alert.meaning.endswith(".")
    assert len(alert.text(alert.summary)) < 200


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_the_thresholds_that_an_alert_names_change_it(alert: Alert) -> None:
    for threshold in alert.thresholds:
        # Another bucket, a share or a number; a period.
        other: dict[str, float | str] = {"slo.time_to_first_token.limit": 5, "slo.time_per_output_token.limit": 0.2}
        default = threshold.default * 0.999 if isinstance(threshold, Limit) else "2w"
        limits = Thresholds({threshold.name: other.get(threshold.name, default)})
        (changed,) = (one for some in subjects(Options(limits=limits)) for one in some.alerts if one.name == alert.name)
        assert (str(changed.expr), changed.description) != (str(alert.expr), alert.description), threshold.name


def test_every_threshold_is_used() -> None:
    assert {threshold.name for alert in ALERTS for threshold in alert.thresholds} == set(THRESHOLDS)


def test_a_selector_is_in_every_query_of_stored_series() -> None:
    for query in queries(subjects(Options(scope=Scope({"job": "mine"})))):
        for name, labels in selected(query):
            assert ("job", "mine") in labels or ":" in name, query


def queries(every: Iterable[Subject]) -> list[str]:
    return [
        str(expr) for some in every for expr in (*(rule.expr for rule in some.records), *(a.expr for a in some.alerts))
    ]


def selected(query: str) -> list[tuple[str, set[tuple[str, str]]]]:
    """List the selectors of a query: name, and labels with what they are compared with."""
    found: list[tuple[str, set[tuple[str, str]]]] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name or "", {(one.name, one.value) for one in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


@pytest.mark.parametrize("path", RULE_FILES)
def test_a_query_on_several_lines_asks_the_same(path: str) -> None:
    rules = [rule for group in loaded(path)["groups"] for rule in group["rules"]]
    (subject,) = (one for one in subjects(Options()) if path.endswith(f"-{one.name}.yaml"))
    for rule, query in zip(rules, queries([subject]), strict=True):
        assert re.sub(r"\s", "", rule["expr"]) == re.sub(r"\s", "", query)


def test_a_long_query_is_broken_where_it_is_loosest() -> None:
    side = "a" * 60
    assert layout(f"{side} > 1") == f"{side} > 1"
    assert layout(f"{side} > 1 and {side} > 2 or b") == f"{side} > 1\nand {side} > 2\nor b".replace("\nand", "\nand")
    assert layout(f"({side} or {side}) / c").split("\n") == ["(", f"  {side}", f"  or {side}", ")", "/ c"]
    assert layout(f'{side}{{x="a or b"}} unless on (y) {side}').count("\n") == 1
