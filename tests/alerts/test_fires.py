# SPDX-License-Identifier: Apache-2.0
"""Alerts fire when they are to, and only then, by Prometheus' own tool."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.catalogue.health import XID_LAST_SEEN
from agent.metric import label_name
from alerts import ALERTS, Options, documents, subjects
from alerts.xids import HARDWARE
from tests.alerts import (
    cases_agent,
    cases_energy,
    cases_gpu,
    cases_host,
    cases_inference,
    cases_links,
    cases_network,
    cases_rack,
)
from tests.alerts.cases import Case, labels, of_gpu

CASES: dict[str, tuple[Case, ...]] = {
    "gpu": cases_gpu.CASES,
    "links": cases_links.CASES,
    "inference": cases_inference.CASES,
    "energy": cases_energy.CASES,
    "rack": cases_rack.CASES,
    "network": cases_network.CASES,
    "host": cases_host.CASES,
    "agent": cases_agent.CASES,
}
NAMES = [alert.name for subject in subjects(Options()) for alert in subject.alerts]
KINDS = {
    "first event": "the first event of a GPU, ever",
    "flapping": "a GPU that comes and goes keeps firing in between",
    "missing series": "nothing is known of any GPU",
    "counter reset": "the counter begins again at less",
    "one node of many": "all of one node go down and those of another stay",
}


def unit_test(case: Case) -> dict[str, Any]:
    """Write a case as promtool reads it. Alerts that fire are series too; counting them needs no annotations."""
    by = sorted(case.who[0]) if case.who else []
    grouping = f"count by ({', '.join(map(label_name, by))})"
    firing = f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}'
    return {
        "name": f"{case.alert}: {case.says}",
        "interval": case.interval,
        "input_series": [one._asdict() for one in case.inputs],
        "promql_expr_test": [
            {
                "expr": f"{grouping} ({firing})",
                "eval_time": case.at,
                "exp_samples": [{"labels": f"{{{labels(who)}}}", "value": 1} for who in case.who],
            }
        ],
    }


def needed(rules: list[dict[str, str]], name: str) -> list[dict[str, str]]:
    """Keep one alert and what is recorded for it, as each rule is evaluated at each step of each case."""
    wanted = {name}
    for rule in reversed(rules):
        if {rule.get("alert"), rule.get("record")} & wanted:
            wanted |= set(re.findall(r"\w+:\w+:\w+", rule["expr"]))
    return [rule for rule in rules if {rule.get("alert"), rule.get("record")} & wanted]


def written(folder: Path, rules: list[dict[str, str]], cases: Iterable[Case]) -> Iterator[str]:
    """Write a file of rules and one of tests for each alert and interval of its cases."""
    for (alert, interval), some in groupby(cases, key=lambda case: (case.alert, case.interval)):
        name = f"{alert}-{interval}"
        groups = [{"name": name, "rules": needed(rules, alert)}]
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"groups": groups}), "utf-8")
        tests = {"rule_files": [f"{name}.yaml"], "evaluation_interval": interval, "tests": list(map(unit_test, some))}
        (folder / f"{name}.test.yaml").write_text(yaml.safe_dump(tests, sort_keys=False), "utf-8")
        yield f"{name}.test.yaml"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make install-tools")
@pytest.mark.parametrize("subject", ALERTS)
def test_alerts_fire_when_they_are_to_and_not_else(tmp_path: Path, subject: str) -> None:
    document = yaml.safe_load(documents(Options())[f"alerts/rules/joulespan-{subject}.yaml"])
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    cases = sorted(CASES[subject], key=lambda case: (case.alert, case.interval))
    files = [*written(tmp_path, rules, cases)]
    done = subprocess.run(
        ["promtool", "test", "rules", *files], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", NAMES)
def test_every_alert_has_a_case_where_it_fires_and_one_where_it_must_not(alert: str) -> None:
    outcomes = {bool(case.who) for cases in CASES.values() for case in cases if case.alert == alert}
    assert outcomes == {True, False}


def test_every_case_is_of_an_alert_that_is_there() -> None:
    assert {case.alert for cases in CASES.values() for case in cases} <= set(NAMES)


@pytest.mark.parametrize("kind", KINDS)
def test_what_alerts_of_others_get_wrong_is_among_the_cases(kind: str) -> None:
    assert KINDS[kind] in {case.says for cases in CASES.values() for case in cases}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make install-tools")
def test_a_person_reads_which_gpu_it_is_and_since_when(tmp_path: Path) -> None:
    rules = documents(Options())["alerts/rules/joulespan-gpu.yaml"]
    (tmp_path / "rules.yaml").write_text(rules, "utf-8")
    seen = of_gpu(XID_LAST_SEEN, "_x10 600x60", {"xid": 79})
    alert = {
        "exp_labels": {
            "severity": "critical",
            "hw_id": "A",
            "hw_name": "gpu0",
            "hw_type": "gpu",
            "instance": "n1",
            "job": "joulespan",
            "xid": "79",
        },
        "exp_annotations": {
            "summary": "XID 79 on GPU gpu0 of n1",
            "description": f"XID 79 came 2m 0s ago on gpu0 (A) of n1. {HARDWARE.brief}",
            "runbook_url": "alerts/runbooks/GpuXidHardware.md",
        },
    }
    rule_test = {"alertname": "GpuXidHardware", "eval_time": "12m", "exp_alerts": [alert]}
    tests = [{"interval": "1m", "input_series": [seen._asdict()], "alert_rule_test": [rule_test]}]
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "text.test.yaml").write_text(yaml.safe_dump(document), "utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", "text.test.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
