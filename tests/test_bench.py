# SPDX-License-Identifier: Apache-2.0
"""The benchmark runs and has figures to show."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.report import fill, quantile
from tests.mock_nvml.control import MockNvml


def test_a_short_run_of_ours_has_a_figure_in_every_row(mock_nvml: MockNvml, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n")
    command = [sys.executable, "-m", "tests.bench", "--rounds", "1", "--seconds", "2", "--only", "joulespan"]
    done = subprocess.run([*command, "--markdown", page], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    figures = [row for row in rows if row[-1][0].isdigit()]
    assert len(figures) == 29
    assert all(any(letter.isdigit() for letter in cell) for row in figures for cell in row[1:])
    assert done.stdout.strip() in page.read_text()


def test_only_what_is_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n")
    fill(page, "new")
    assert page.read_text() == "before\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nafter\n"


def test_a_page_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:begin -->\nafter\n")
    with pytest.raises(ValueError, match="bench:end"):
        fill(page, "new")
    assert page.read_text() == "before\n<!-- bench:begin -->\nafter\n"


def test_the_99th_of_60_is_the_slowest_and_the_50th_the_lower_middle() -> None:
    values = [float(number) for number in range(60, 0, -1)]
    assert (quantile(values, 0.99), quantile(values, 0.5), quantile([7.0], 0.99)) == (60, 30, 7)
