# SPDX-License-Identifier: Apache-2.0
"""The running agent's ledger begins with what earlier runs learnt, and what it learns is kept."""

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.catalogue.gpu import ENERGY, GPU_INFO
from agent.catalogue.own import STATE_WRITES
from agent.clock import FakeClock
from agent.commands.dividing import Dividing
from agent.config import Config
from agent.entities import Gpu, GpuInfo
from agent.processors.attribution import Attribution
from agent.processors.request_metrics import RequestMetrics
from agent.snapshot import Snapshots, Source
from agent.timeline import Timeline

GPUS = [Gpu(f"GPU-{index}", f"gpu{index}") for index in range(2)]
SUMS = {
    "gram": [[float(row == column) for column in range(5)] for row in range(5)],
    "moment": [0.5] * 5,
    "square": 100.0,
    "total": 10.0,
    "weight": 5.0,
    "seconds": 60.0,
}
"""What 60 s taught."""


class Run:
    """A run of the agent, with two GPUs that draw 100 W each."""

    def __init__(self, folder: Path, *, keep: bool = True) -> None:
        self.path = folder / "calibration.json"
        self.clock = FakeClock()
        self.snapshots = Snapshots()
        self.timeline = Timeline(900, 0.1)
        config = Config(state_directory=str(folder))
        self.dividing = Dividing(config, self.snapshots, self.timeline, RequestMetrics(), self.clock, keep=keep)
        told = [sample for gpu in GPUS for sample in (GPU_INFO(GpuInfo(gpu, "H100"), 1), ENERGY(gpu, 0.0))]
        self.snapshots.put_samples(Source("gpu"), told, self.clock.now)

    def rested(self) -> Attribution:
        """Let 40 s pass in which nothing runs."""
        found = self.dividing.make()
        for tick in range(400):
            for gpu in GPUS:
                self.timeline.append(Source("gpu", gpu.id), (ENERGY.series(gpu),), self.clock.now, [tick * 10.0])
            self.clock.advance(0.1)
        found.advance()
        return found

    def writes(self) -> dict[str, float]:
        """How keeping went."""
        samples = [one for one in self.dividing.samples() if one.series.metric is STATE_WRITES]
        return {one.series.entity[0]: one.value for one in samples}

    def kept(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found


def wrote(folder: Path, told: object) -> None:
    (folder / "calibration.json").write_text(told if isinstance(told, str) else json.dumps(told))


def until_written() -> None:
    """Wait for the thread that writes."""
    for thread in threading.enumerate():
        if thread.name == "state":
            thread.join()


def test_what_was_learnt_is_kept_and_is_there_after_a_restart(tmp_path: Path) -> None:
    run = Run(tmp_path / "made")
    run.rested()
    run.dividing.keep()
    assert run.writes() == {"written": 1, "failed": 0}
    assert run.kept()["idle_watts"] == {gpu.id: pytest.approx(100) for gpu in GPUS}
    again = Run(tmp_path / "made").dividing.make().learnt()
    assert again.idle_watts == {gpu.id: pytest.approx(100) for gpu in GPUS}


def test_before_there_is_a_ledger_nothing_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.dividing.tick()
    run.dividing.keep()
    assert run.writes() == {"written": 0, "failed": 0}
    assert not run.path.exists()


def test_calibrations_of_engines_that_are_gone_are_kept(tmp_path: Path) -> None:
    wrote(tmp_path, {"calibrations": {"gone|m|H100|1": SUMS}, "idle_watts": {"GPU-9": 42.0}})
    run = Run(tmp_path)
    run.rested()
    run.dividing.keep()
    assert run.kept()["calibrations"]["gone|m|H100|1"]["seconds"] == 60
    assert run.kept()["idle_watts"]["GPU-9"] == 42


def test_no_more_calibrations_are_kept_than_there_is_room_for(tmp_path: Path) -> None:
    wrote(tmp_path, {"calibrations": {f"{number}|m|H100|1": SUMS for number in range(300)}})
    run = Run(tmp_path)
    run.rested()
    run.dividing.keep()
    assert list(run.kept()["calibrations"]) == [f"{number}|m|H100|1" for number in range(44, 300)]


@pytest.mark.parametrize(
    "wrong",
    [
        "no JSON",
        {**SUMS, "gram": [[1.0]]},
        {**SUMS, "gram": [[1.0], [1.0, 2.0]]},
        {**SUMS, "moment": ["x"] * 5},
        {**SUMS, "square": -1.0},
        {**SUMS, "gram": [[-1.0] * 5] * 5},
        {},
        None,
        17,
    ],
)
def test_a_calibration_that_is_wrong_costs_only_itself(
    wrong: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrote(tmp_path, {"calibrations": {"wrong": wrong, "right": SUMS}, "idle_watts": {"GPU-0": 90.0}})
    with caplog.at_level(logging.WARNING):
        learnt = Run(tmp_path).dividing.make().learnt()
    assert learnt.calibrations.keys() == {"right"}
    assert learnt.idle_watts == {"GPU-0": 90}
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path / 'calibration.json'}: the calibration of wrong is not used: ")


def test_an_idle_power_that_no_gpu_draws_costs_only_itself(tmp_path: Path) -> None:
    wrote(tmp_path, {"idle_watts": {"GPU-0": 90.0, "GPU-1": -5.0, "GPU-2": 1e9, "GPU-3": 0}})
    assert Run(tmp_path).dividing.make().learnt().idle_watts == {"GPU-0": 90}


@pytest.mark.parametrize(
    "wrong",
    [
        '{"version": 2}',
        '{"calibrations": {',
        "[]",
        "17",
        '{"idle_watts": {"GPU-0": "much"}}',
        '{"calibrations": []}',
        "[" * 9999,
    ],
)
def test_a_file_that_is_wrong_is_told_and_the_ledger_begins_anew(
    wrong: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrote(tmp_path, wrong)
    run = Run(tmp_path)
    with caplog.at_level(logging.WARNING):
        run.rested()
    (line,) = caplog.messages
    assert line.startswith(f"what was learnt before is not used: {run.path}: ")
    # It is replaced by what is learnt now.
    run.dividing.keep()
    assert run.kept()["idle_watts"] == {gpu.id: pytest.approx(100) for gpu in GPUS}


def test_a_failure_to_keep_is_counted_each_time_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    run = Run(folder)
    run.rested()
    folder.write_text("a file in its place")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            run.dividing.keep()
    assert run.writes() == {"written": 0, "failed": 3}
    assert len(caplog.messages) == 1
    folder.unlink()
    run.dividing.keep()
    assert run.writes() == {"written": 1, "failed": 3}


def test_it_is_kept_now_and_then_while_the_agent_runs(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.rested()
    run.clock.advance(60)
    run.dividing.tick()
    until_written()
    assert run.writes() == {"written": 1, "failed": 0}
    run.clock.advance(1)
    run.dividing.tick()
    until_written()
    assert run.writes() == {"written": 1, "failed": 0}


def test_two_writers_at_once_keep_one_whole_file(tmp_path: Path) -> None:
    wrote(tmp_path, {"calibrations": {f"{number}|m|H100|1": SUMS for number in range(200)}})
    run = Run(tmp_path)
    run.rested()
    writers = [threading.Thread(target=run.dividing.keep) for _ in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert run.writes() == {"written": 16, "failed": 0}
    assert len(run.kept()["calibrations"]) == 200


def test_gpus_that_appear_later_are_divided_too(tmp_path: Path) -> None:
    run = Run(tmp_path)
    found = run.rested()
    late = Gpu("GPU-7", "gpu7")
    run.snapshots.put_samples(Source("gpu", "late"), [ENERGY(late, 0.0)], run.clock.now)
    run.clock.advance(10)
    run.dividing.tick()
    assert late.id in {one.series.entity.id for one in found.samples() if hasattr(one.series.entity, "id")}


def test_of_a_demo_nothing_is_kept_or_read(tmp_path: Path) -> None:
    wrote(tmp_path, {"idle_watts": {"GPU-0": 90.0}})
    run = Run(tmp_path, keep=False)
    assert run.dividing.make().learnt().idle_watts == {}
    run.path.unlink()
    run.rested()
    run.clock.advance(60)
    run.dividing.tick()
    run.dividing.keep()
    until_written()
    assert run.writes() == {"written": 0, "failed": 0}
    assert list(tmp_path.iterdir()) == []
