# SPDX-License-Identifier: Apache-2.0
"""Records what this machine says, as fixtures: `python -m tests.hardware.record DIR`.

UUIDs, serial numbers, host names and ids become stable stand-ins: whose machine it is is nobody's business.
Names of processes stay: look at them before a recording is published.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.agent.running import running

_UUID = re.compile(r"\b(GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_SECRETS = {
    "target_info": ("host_name", "host_id", "service_instance_id"),
    "joulespan_gpu_info": ("hw_serial_number",),
    "joulespan_gpu_platform_info": ("platform_chassis",),
    "joulespan_gpu_fabric_info": ("fabric_cluster_uuid",),
}
_SETTLE = 3.0
"""Seconds until what needs two readings is there."""


class Disguise:
    """Replaces what identifies a machine, the same thing by the same stand-in."""

    def __init__(self) -> None:
        """Start with nothing to replace."""
        self._uuids: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def learn(self, label: str, secret: str) -> None:
        """Replace a label's value from now on. One of nothing but zeros says that there is none, and stays."""
        if secret.strip("0-"):
            self._texts.setdefault(secret, f"{label.replace('_', '-')}-{len(self._texts)}")

    def hide(self, text: str) -> str:
        """Replace the UUIDs of GPUs wherever they are, and all else where it is a whole value in quotes.

        A host name can be as short as a part of a metric's name.
        """
        text = _UUID.sub(self._stand_in, text)
        return re.sub(r'"([^"\n]*)"', lambda found: f'"{self._texts.get(found[1], found[1])}"', text)

    def _stand_in(self, found: re.Match[str]) -> str:
        number = len(self._uuids)
        return self._uuids.setdefault(found[0], f"{found[1]}-fa4e0000-0000-4000-8000-{number:012}")


def record(folder: Path) -> None:
    """Write scrape.txt, snapshot.json, doctor.json and README.json."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as log,
        running("run", "--set", "collectors.gpu.detail=true", env=dict(os.environ), log=Path(log) / "log") as agent,
    ):
        agent.until(lambda scrape: scrape.values("joulespan_gpu_info"), 60)
        agent.until(lambda scrape: scrape.values("joulespan_process_memory_usage_bytes", process="reader"))
        time.sleep(_SETTLE)
        scrape = agent.scrape()
        snapshot = agent.get("/api/v1/snapshot").decode()
    doctor = subprocess.run(
        [sys.executable, "-m", "agent", "doctor", "--json"], capture_output=True, text=True, check=False, timeout=120
    )
    disguise = Disguise()
    for name, labels in _SECRETS.items():
        for has in scrape.labels(name):
            for label in labels:
                disguise.learn(label, has.get(label, ""))
    infos = scrape.labels("joulespan_gpu_info")
    about = {
        "gpus": [info.get("hw_model") for info in infos],
        "driver": infos[0].get("hw_driver_version"),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    files = {"scrape.txt": scrape.text, "snapshot.json": snapshot, "doctor.json": doctor.stdout}
    for name, text in files.items():
        (folder / name).write_text(disguise.hide(text))
    (folder / "README.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
