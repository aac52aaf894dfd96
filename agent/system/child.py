# SPDX-License-Identifier: Apache-2.0
"""A command that is run for what it prints, line by line: again, after a pause, when it ends; ended with the agent."""

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from agent.clock import NS, Clock
from agent.system.tail_lines import Lines

LOG = logging.getLogger("joulespan.collector")

_PIECE = 256 << 10
_REST = 0.05
"""Seconds between two readings: what prints more than 5 MB a second waits."""
_LOOK = 0.5
"""Seconds after which it is seen that the command is no longer wanted."""
_FIRST, _LONGEST = 1.0, 60.0
"""Seconds until a command that ended is run again: doubled each time, unless it ran for longer than the longest."""
_GRACE = 1.0
_KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
"""What a command needs of the environment. What is left out can hold the agent's own secrets."""


class Child:
    """Runs a command in a process group of its own, watched by a thread."""

    def __init__(
        self,
        command: Sequence[str],
        take: Callable[[Sequence[bytes]], object],
        clock: Clock,
        *,
        line: int = 4 << 20,
        first_pause: float = _FIRST,
    ) -> None:
        """Give the lines it prints to `take`, in the thread; those longer than `line` bytes are left out."""
        self._command = list(command)
        self._take = take
        self._clock = clock
        self._line = line
        self._pause = first_pause
        self._first = first_pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="child", daemon=True)
        self.starts = 0
        """How often it was run."""
        self.oversized = 0
        """Lines that were too long."""
        self.failure: str | None = None
        """Why it does not run; None while it does."""

    def start(self) -> None:
        """Run it from now on."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """End it: it is asked, and killed when it does not end within a second."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(grace_seconds + _GRACE)

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = self._clock.monotonic_ns()
            self.failure = self._once()
            if self._stopping.is_set():
                return
            ran = (self._clock.monotonic_ns() - began) / NS
            if ran > _LONGEST:
                self._pause = self._first
            LOG.warning("%s: %s; it is run again in %g s", self._command[0], self.failure, self._pause)
            self._stopping.wait(self._pause)
            self._pause = min(self._pause * 2, _LONGEST)

    def _once(self) -> str:
        """Run it until it ends, or is not wanted. Returns why it ended."""
        self.starts += 1
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's configuration names it
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be run: {error.strerror}"
        self.failure = None
        assert process.stdout is not None
        try:
            self._follow(process.stdout)
        finally:
            process.stdout.close()
            code = _end(process)
        return f"ended with status {code}"

    def _follow(self, output: IO[bytes]) -> None:
        lines, before = Lines(self._line), self.oversized
        # Not select(): it knows no descriptors from 1024 on, and files of the kernel's are kept open.
        ready = select.poll()
        ready.register(output, select.POLLIN)
        while not self._stopping.is_set():
            if not ready.poll(_LOOK * 1000):
                continue
            piece = os.read(output.fileno(), _PIECE)
            if not piece:
                return
            if found := lines.feed(piece):
                self._take(found)
            self.oversized = before + lines.oversized
            self._stopping.wait(_REST)


def _end(process: "subprocess.Popen[bytes]") -> int:
    """End a process with all that it started, and wait for it."""
    _signal(process.pid, signal.SIGTERM)
    for _ in range(round(_GRACE / _REST)):
        # Not waited for yet, it keeps its number, and no other group can have it.
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(_REST)
    _signal(process.pid, signal.SIGKILL)
    return process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
