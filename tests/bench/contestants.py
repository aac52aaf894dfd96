# SPDX-License-Identifier: Apache-2.0
"""Who is measured: the agent in two settings and nvitop-exporter, as their users start them, on one mock driver."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mock_nvml.control import MockNvml

GPUS = 8
LINKS = 18
_END = 10.0
"""Seconds that a contestant may take to end."""
_FOREIGN = ("JOULESPAN_", "OTEL_", "MOCK_NVML_", "NVITOP_")
"""Variables of the shell that would change what is measured."""


class Failed(Exception):
    """A contestant did not run. The message says which, and the end of what it wrote."""


@dataclass(frozen=True)
class Contestant:
    """A program to measure: its command but for the port, and texts with how often a complete scrape holds them."""

    name: str
    command: tuple[str, ...]
    complete: tuple[tuple[str, int], ...]


_FREE = ("--set", "receivers.otlp.grpc=127.0.0.1:0", "--set", "receivers.otlp.http=127.0.0.1:0")
_RUN = (sys.executable, "-m", "agent", "run", "--listen", "127.0.0.1:{port}", *_FREE)
_EVERY_SECOND = ("--set", "collectors.gpu.slow_interval=1s", "--set", "collectors.gpu.processes_interval=1s")
_OURS = (("\njoulespan_gpu_info{", GPUS), ("\njoulespan_nvlink_io_bytes_total{", GPUS * LINKS * 2))
_NVITOP = str(Path(sys.executable).with_name("nvitop-exporter"))

CONTESTANTS = (
    Contestant("joulespan, defaults", _RUN, _OURS),
    Contestant("joulespan, all each 1 s", (*_RUN, *_EVERY_SECOND), _OURS),
    Contestant(
        "nvitop-exporter, 1 s",
        (_NVITOP, "-B", "127.0.0.1", "-p", "{port}", "--interval", "1"),
        (("\ngpu_utilization_Percentage{", GPUS),),
    ),
)


@dataclass(frozen=True)
class Started:
    """A running contestant."""

    contestant: Contestant
    process: "subprocess.Popen[bytes]"
    port: int
    at: float
    stats: Path
    log: Path

    def failed(self, what: str) -> Failed:
        """Say what went wrong, with what it wrote last."""
        return Failed(f"{self.contestant.name}: {what}\n{self.log.read_text(errors='replace')[-2000:]}")


@contextmanager
def start(contestant: Contestant, mock: MockNvml, folder: Path, call_us: int) -> Iterator[Started]:
    """Start one, and end it whatever happens. Every GPU has one process of 20 GiB; a driver call takes `call_us`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stats, log = folder / f"calls-{port}", folder / f"log-{port}"
    stats.unlink(missing_ok=True)
    # The process is one that is there: this one.
    keys = {"procs.*": f"{os.getpid()}:20480:C", "call_us": call_us}
    env = {name: text for name, text in mock.env(keys=keys, stats=stats).items() if not _foreign(name)}
    command = [part.format(port=port) for part in contestant.command]
    with log.open("wb") as output:
        at = time.monotonic()
        try:
            process = subprocess.Popen(command, env=env, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise Failed(f"{contestant.name}: {command[0]}: {error.strerror}") from error
    try:
        yield Started(contestant, process, port, at, stats, log)
    finally:
        _end(process)


def tree(pid: int) -> list[int]:
    """List a process and its descendants."""
    found: Sequence[str] = ()
    with suppress(OSError):
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in found for one in tree(int(child)))]


def _foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) and name not in {"MOCK_NVML_SET", "MOCK_NVML_STATS"}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to end; if it does not, kill it with its children."""
    family = tree(process.pid) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(_END)
    except subprocess.TimeoutExpired:
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
