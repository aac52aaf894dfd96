# SPDX-License-Identifier: Apache-2.0
"""There is a page for each alert, and it helps."""

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from agent.catalogue import METRICS
from agent.metric import label_name
from agent.system.nvml.names import RECOVERY_ACTIONS, THROTTLE_REASONS
from alerts import RUNBOOKS, Options, documents, subjects
from alerts.thresholds import THRESHOLDS

ROOT = Path(__file__).parent.parent.parent
PAGES = {path.stem: path.read_text("utf-8") for path in (ROOT / RUNBOOKS).glob("*.md")}
HEADINGS = ["What it means", "What to look at", "What to do", "When to ignore"]
BOARDS = {"Fleet", "Node", "GPU", "Links", "Inference", "Energy and cost", "Network", "Agent"}
NAMES = {alert.name for subject in subjects(Options()) for alert in subject.alerts}
WORDS = {*THROTTLE_REASONS.values(), *RECOVERY_ACTIONS.values()}
"""Values of attributes, some of which begin like metrics."""
STORED: dict[str, set[str]] = {"up": set()}
for metric in METRICS.values():
    for part in ("", "_bucket", "_count", "_sum"):
        labels = STORED.setdefault(f"{metric.prometheus}{part}", set())
        labels |= {label_name(attribute.name) for attribute in metric.attributes}
for rule in (rule for subject in subjects(Options()) for rule in subject.records):
    STORED[rule.record] = {label_name(attribute) for attribute in rule.expr.attributes}


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert set(PAGES) == NAMES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_the_four_things(name: str) -> None:
    text = PAGES[name]
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        assert len(part.strip()) > 5


@pytest.mark.parametrize("name", PAGES)
def test_a_page_leads_to_a_dashboard_and_names_what_exists(name: str) -> None:
    (board,) = re.findall(r"^Dashboard \*(.+)\*, and$", PAGES[name], re.MULTILINE)
    assert board in BOARDS
    dotted = set(re.findall(r"`((?:gpu|nvlink|link|pcie|c2c|slo|inference|energy|agent)\.[a-z_.]+)`", PAGES[name]))
    assert dotted <= set(THRESHOLDS)
    others = set(re.findall(r"\b(?:Gpu|NvLink|C2c|Pcie|Inference|Energy|Joulespan)[A-Z]\w+", PAGES[name]))
    assert others <= NAMES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_what_is_stored_or_recorded_by_labels_that_are_there(name: str) -> None:
    (query,) = re.findall(r"```promql\n(.+?)\n```", PAGES[name], re.DOTALL)
    spans = [span for span in re.findall(r"`([^`\n]+)`", PAGES[name]) if re.match(r"(joulespan|hw|system)_\w+", span)]
    for asked in (query, *spans):
        for metric, labels in selected(asked):
            assert metric in STORED.keys() | WORDS, asked
            assert labels <= STORED.get(metric, set()) | {"instance", "job"}, asked


def selected(query: str) -> list[tuple[str, set[str]]]:
    found: list[tuple[str, set[str]]] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name or "", {matcher.name for matcher in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def test_where_the_pages_are_is_told_by_the_one_who_serves_them() -> None:
    made = documents(Options(runbooks="https://wiki.example.com/gpu/"))
    urls = re.findall(r"runbook_url: (\S+)", "".join(made.values()))
    assert len(urls) == 4 * len(NAMES)
    assert set(urls) == {f"https://wiki.example.com/gpu/{name}.md" for name in NAMES}
    for url in re.findall(r"runbook_url: (\S+)", documents(Options())["alerts/mimir/joulespan.yaml"]):
        assert (ROOT / url).is_file()
