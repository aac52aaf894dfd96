# SPDX-License-Identifier: Apache-2.0
"""There is a page for each alert, and it helps."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from alerts import RUNBOOKS, Options, documents, subjects
from alerts.thresholds import THRESHOLDS

ROOT = Path(__file__).parent.parent.parent
PAGES = {path.stem: path.read_text("utf-8") for path in (ROOT / RUNBOOKS).glob("*.md")}
HEADINGS = ["What it means", "What to look at", "What to do", "When to ignore"]
BOARDS = {"Fleet", "Node", "GPU", "Links", "Inference", "Energy and cost", "Network", "Agent"}
NAMES = {alert.name for subject in subjects(Options()) for alert in subject.alerts}


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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make install-tools")
def test_the_queries_of_the_pages_are_queries(tmp_path: Path) -> None:
    queries = [query for text in PAGES.values() for query in re.findall(r"```promql\n(.+?)\n```", text, re.DOTALL)]
    assert len(queries) == len(PAGES)
    rules = [{"record": f"a:b{number}:c", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", "rules.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_where_the_pages_are_is_told_by_the_one_who_serves_them() -> None:
    made = documents(Options(runbooks="https://wiki.example.com/gpu/"))
    urls = re.findall(r"runbook_url: (\S+)", "".join(made.values()))
    assert len(urls) == 4 * len(NAMES)
    assert set(urls) == {f"https://wiki.example.com/gpu/{name}.md" for name in NAMES}
    for url in re.findall(r"runbook_url: (\S+)", documents(Options())["alerts/mimir/joulespan.yaml"]):
        assert (ROOT / url).is_file()
