# SPDX-License-Identifier: Apache-2.0
"""Records what this machine says, as fixtures: `python -m tests.hardware.record DIR`.

UUIDs, serial numbers, host names and ids become stable stand-ins: whose machine it is is nobody's business.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.agent.running import running

_UUID = re.compile(r"\b(GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


class Disguise:
    """Replaces what identifies a machine, the same thing by the same stand-in."""

    def __init__(self) -> None:
        """Start with nothing replaced."""
        self._known: dict[str, str] = {}

    def learn(self, secret: str, stand_in: str) -> None:
        """Replace a text from now on."""
        if secret:
            self._known.setdefault(secret, stand_in)

    def hide(self, text: str) -> str:
        """Replace everything that is known, and UUIDs of GPUs as they come."""
        for found in _UUID.finditer(text):
            number = sum(known.startswith(found[1]) for known in self._known)
            self.learn(found[0], f"{found[1]}-00000000-0000-4000-8000-{number:012}")
        for secret, stand_in in self._known.items():
            text = text.replace(secret, stand_in)
        return text


def record(folder: Path) -> None:
    """Write scrape.txt, snapshot.json, doctor.json and README.json."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as log,
        running("run", "--set", "collectors.gpu.detail=true", env=dict(os.environ), log=Path(log) / "log") as agent,
    ):
        scrape = agent.until(lambda scrape: scrape.values("joulespan_process_memory_usage_bytes", process="reader"))
        scrape = agent.until(lambda scrape: scrape.values("joulespan_gpu_info"))
        snapshot = agent.get("/api/v1/snapshot").decode()
    doctor = subprocess.run(
        [sys.executable, "-m", "agent", "doctor", "--json"], capture_output=True, text=True, check=False, timeout=120
    )
    disguise = Disguise()
    (target,) = scrape.labels("target_info")
    for label in ("host_name", "host_id", "service_instance_id"):
        disguise.learn(target.get(label, ""), label.replace("_", "-"))
    infos = scrape.labels("joulespan_gpu_info")
    for number, info in enumerate(infos):
        disguise.learn(info.get("hw_serial_number", ""), f"serial-{number}")
    for number, labels in enumerate(scrape.labels("joulespan_gpu_platform_info")):
        disguise.learn(labels["platform_chassis"], f"chassis-{number}")
    for labels in scrape.labels("joulespan_gpu_fabric_info"):
        disguise.learn(labels["fabric_cluster_uuid"], "00000000-0000-4000-8000-00000000c105")
    about = {
        "gpus": [info.get("hw_model") for info in infos],
        "driver": infos[0].get("hw_driver_version"),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    files = {"scrape.txt": scrape.text, "snapshot.json": snapshot, "doctor.json": doctor.stdout}
    for name, text in {**files, "README.json": json.dumps(about, indent=1)}.items():
        (folder / name).write_text(disguise.hide(text))


if __name__ == "__main__":
    record(Path(sys.argv[1]))
