# SPDX-License-Identifier: Apache-2.0
"""A recording of this machine can be read, and does not tell whose it is."""

import json
from pathlib import Path

import pytest

from tests.agent.running import RunningAgent, Scrape
from tests.hardware.record import record

pytestmark = pytest.mark.hardware


def test_a_recording_parses_and_names_no_gpu(agent: RunningAgent, tmp_path: Path, gpus: int) -> None:
    record(tmp_path)
    scrape = Scrape((tmp_path / "scrape.txt").read_text())
    assert len(scrape.values("joulespan_gpu_info")) == gpus
    assert json.loads((tmp_path / "snapshot.json").read_text())["metrics"]
    assert json.loads((tmp_path / "doctor.json").read_text())["report"]["driver"]
    assert json.loads((tmp_path / "README.json").read_text())["driver"]
    everything = "".join(file.read_text() for file in tmp_path.iterdir())
    live = agent.scrape()
    (target,) = live.labels("target_info")
    for labels in live.labels("joulespan_gpu_info"):
        number = scrape.labels("joulespan_gpu_info")
        assert all(other["hw_id"].startswith("GPU-00000000-0000-4000-8000-") for other in number)
        assert f'"{labels["hw_serial_number"]}"' not in everything
    assert target["host_id"] not in everything
