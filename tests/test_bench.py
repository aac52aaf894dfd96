# SPDX-License-Identifier: Apache-2.0
"""The benchmark runs and has figures to show."""

import subprocess
import sys
from pathlib import Path

from tests.bench.report import fill
from tests.mock_nvml.control import MockNvml


def test_a_short_run_of_ours_has_a_figure_in_every_row(mock_nvml: MockNvml, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n")
    command = [sys.executable, "-m", "tests.bench", "--rounds", "1", "--seconds", "1", "--only", "joulespan, defaults"]
    done = subprocess.run([*command, "--markdown", page], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 16
    assert all(any(letter.isdigit() for letter in row[2]) for row in rows if row[1].strip() and "writing" not in row[1])
    assert done.stdout.strip() in page.read_text()


def test_only_what_is_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n")
    fill(page, "new")
    assert page.read_text() == "before\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nafter\n"
