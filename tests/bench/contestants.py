# SPDX-License-Identifier: Apache-2.0
"""Who is measured: the agent in two settings and nvitop-exporter, as their users start them, on one mock driver."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mock_nvml.control import MockNvml

GPUS = 8
LINKS = 18


@dataclass(frozen=True)
class Contestant:
    """A program to measure: its command but for the port, and the text that a complete scrape holds `times` times."""

    name: str
    command: tuple[str, ...]
    marker: str
    times: int


EVERY_SECOND = ("--set", "collectors.gpu.slow_interval=1s", "--set", "collectors.gpu.processes_interval=1s")
LINK_MARKER = "\njoulespan_nvlink_io_bytes_total{"

CONTESTANTS = (
    Contestant(
        "joulespan, defaults",
        (sys.executable, "-m", "agent", "run", "--listen", "127.0.0.1:{port}"),
        LINK_MARKER,
        GPUS * LINKS * 2,
    ),
    Contestant(
        "joulespan, all each 1 s",
        (sys.executable, "-m", "agent", "run", "--listen", "127.0.0.1:{port}", *EVERY_SECOND),
        LINK_MARKER,
        GPUS * LINKS * 2,
    ),
    Contestant(
        "nvitop-exporter, 1 s",
        (str(Path(sys.executable).with_name("nvitop-exporter")), "-B", "127.0.0.1", "-p", "{port}", "--interval", "1"),
        "\ngpu_utilization_Percentage{",
        GPUS,
    ),
)


@dataclass(frozen=True)
class Started:
    """A running contestant."""

    pid: int
    port: int
    at: float
    stats: Path


@contextmanager
def start(contestant: Contestant, mock: MockNvml, folder: Path, call_us: int) -> Iterator[Started]:
    """Start one. Its GPUs have one process of 20 GiB each; `call_us` is what every driver call takes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stats = folder / f"calls-{port}"
    # The process is one that is there: this one.
    keys = {"procs.*": f"{Path('/proc/self').resolve().name}:20480:C", "call_us": call_us}
    command = [part.format(port=port) for part in contestant.command]
    at = time.monotonic()
    with (
        (folder / f"log-{port}").open("w") as log,
        subprocess.Popen(command, env=mock.env(keys=keys, stats=stats), stdout=log, stderr=log) as process,
    ):
        try:
            yield Started(process.pid, port, at, stats)
        finally:
            process.terminate()
            process.wait(20)
