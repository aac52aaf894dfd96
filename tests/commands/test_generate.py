# SPDX-License-Identifier: Apache-2.0
"""`joulespan generate` writes what other programs load, and says what is out of date."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import alerts
from agent.__main__ import main
from agent.catalogue import health
from agent.commands.generate import files
from agent.metric import Counter

ROOT = Path(__file__).parent.parent.parent
XIDS = "joulespan_gpu_xid_total"


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def renamed() -> Iterator[str]:
    """Rename a metric in the catalogue, as a change of its definition would."""
    metric, before = health.XID, health.XID.prometheus
    assert isinstance(metric, Counter)
    metric.prometheus = "joulespan_gpu_events_total"
    yield metric.prometheus
    metric.prometheus = before


def test_a_renamed_metric_makes_rules_and_dashboards_and_pages_differ(renamed: str) -> None:
    differing = [path for path, text in files().items() if (ROOT / path).read_text("utf-8") != text]
    assert {path.split("/")[0] for path in differing} == {"alerts", "dashboards", "docs"}
    for path in differing:
        assert files()[path].replace(renamed, XIDS) == (ROOT / path).read_text("utf-8")


def test_what_is_written_elsewhere_is_what_is_committed(inside: Path) -> None:
    assert main(["generate", "--out", "made", "--dcgm"]) == 0
    made = {str(path.relative_to(inside / "made")) for path in (inside / "made").rglob("*") if path.is_file()}
    assert made == {path for path in files() if not path.startswith("docs/")}
    for path in made:
        assert (inside / "made" / path).read_text("utf-8") == (ROOT / path).read_text("utf-8")


def test_what_is_out_of_date_is_named_and_not_written(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--out", "made"]) == 0
    stale = inside / "made/alerts/rules/joulespan-gpu.yaml"
    stale.write_text("older", "utf-8")
    assert main(["generate", "--out", "made", "--check"]) == 1
    assert "alerts/rules/joulespan-gpu.yaml: out of date" in capsys.readouterr().err
    assert stale.read_text("utf-8") == "older"


def test_selectors_thresholds_and_runbooks_are_in_what_is_made(inside: Path) -> None:
    (inside / "mine.yaml").write_text("gpu: {temperature: {margin: 8}}\n", "utf-8")
    wanted = [
        "--selector",
        "job=mine",
        "--selector",
        "cluster=~a|b",
        "--thresholds",
        "mine.yaml",
        "--runbooks",
        "https://wiki.example.com/gpu",
    ]
    assert main(["generate", "--out", "made", *wanted]) == 0
    rules = (inside / "made/alerts/rules/joulespan-gpu.yaml").read_text("utf-8")
    assert 'joulespan_gpu_temperature_margin_celsius{job="mine",cluster=~"a|b"} < 8' in rules
    assert "runbook_url: https://wiki.example.com/gpu/GpuLost.md" in rules
    assert 'job=\\"mine\\"' in (inside / "made/dashboards/json/gpu.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--selector", "job"], "--selector job: write LABEL=VALUE"),
        (["--selector", "a-b=c"], "`a-b` is no label name"),
        (["--thresholds", "none.yaml"], "none.yaml: No such file or directory"),
        (
            ["--thresholds", "typo.yaml"],
            "typo.yaml: gpu.rembered: there is no such threshold; the nearest is gpu.remembered",
        ),
        (["--thresholds", "broken.yaml"], "broken.yaml: "),
        (["--thresholds", "bucket.yaml"], "no bucket of gen_ai.server.time_to_first_token ends at 2; there are 0.001"),
        ([], " is no checkout of joulespan: there is no docs folder"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(
    inside: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (inside / "typo.yaml").write_text("gpu.rembered: 2d\n", "utf-8")
    (inside / "broken.yaml").write_text("a: [\n", "utf-8")
    (inside / "bucket.yaml").write_text("slo.time_to_first_token.limit: 2\n", "utf-8")
    assert main(["generate", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (inside / "alerts").exists()


def test_the_default_of_every_option_is_what_is_committed() -> None:
    assert files(alerts.Options()) == files()
