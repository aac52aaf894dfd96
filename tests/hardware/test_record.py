# SPDX-License-Identifier: Apache-2.0
"""A recording of this machine can be read, and does not tell whose it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.running import RunningAgent, Scrape

pytestmark = pytest.mark.hardware


def test_a_recording_parses_and_names_no_machine(agent: RunningAgent, tmp_path: Path, gpus: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hardware.record", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    scrape = Scrape((tmp_path / "scrape.txt").read_text())
    snapshot, doctor, about = (
        json.loads((tmp_path / name).read_text()) for name in ("snapshot.json", "doctor.json", "README.json")
    )
    assert len({labels["hw_id"] for labels in scrape.labels("joulespan_gpu_info")}) == gpus
    assert any(metric["name"] == "hw.energy" for metric in snapshot["metrics"])
    assert len(doctor["report"]["gpus"]) == len(about["gpus"]) == gpus
    assert about["driver"] == doctor["report"]["driver"]
    written = "".join(file.read_text() for file in tmp_path.iterdir())
    for secret in secrets(agent.scrape()):
        assert f'"{secret}"' not in written, secret
        assert not secret.startswith(("GPU-", "MIG-")) or secret not in written, secret


def secrets(live: Scrape) -> list[str]:
    """List what the agent says that would tell whose machine it is."""
    names = ("hw_id", "hw_parent", "hw_serial_number", "host_name", "host_id", "service_instance_id")
    found = {value for _, labels in live.samples for name, value in labels if name in names}
    return sorted(value for value in found if value.strip("0-"))
