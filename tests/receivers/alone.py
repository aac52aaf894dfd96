# SPDX-License-Identifier: Apache-2.0
"""Both receivers in a process of their own, so that what they take of memory can be seen."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.receivers.otlp import Messages, ReceivedTraces
from tests.receivers.serving import serving

MOST = 64 << 20


class Counted:
    """A consumer that keeps nothing."""

    def wait(self, size: int) -> float | None:
        assert size >= 0
        return None

    def traces(self, traces: ReceivedTraces) -> None:
        """Let them go."""

    def messages(self, messages: Messages) -> None:
        """Let them go."""


class Alone:
    """The process: its ports, its memory."""

    def __init__(self, pid: int, grpc: int, http: int) -> None:
        self.grpc = grpc
        self.http = http
        self._status = Path(f"/proc/{pid}/status")
        self._refs = Path(f"/proc/{pid}/clear_refs")
        self.base = self.peak()

    def peak(self) -> int:
        """Give the most memory that was resident since forget(), in MiB."""
        for line in self._status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) >> 10
        raise AssertionError

    def forget(self) -> None:
        """Begin the peak anew."""
        self._refs.write_text("5")


@contextmanager
def alone() -> Iterator[Alone]:
    """Run until the end of the block."""
    command = [sys.executable, "-m", "tests.receivers.alone"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            grpc, http = process.stdout.readline().split()
            yield Alone(process.pid, int(grpc), int(http))
        finally:
            process.stdin.close()
            assert process.wait(20) == 0


if __name__ == "__main__":
    with serving(most_bytes=MOST, consumer=Counted()) as served:
        print(served.grpc.port, served.http.port, flush=True)
        sys.stdin.read()
