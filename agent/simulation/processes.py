# SPDX-License-Identifier: Apache-2.0
"""The processes of the simulated engines and their switch: started at once, told later where to send."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from agent.simulation import DEMO
from agent.simulation.deployment import SimulatedEngine

_EXPORT_EVERY = 1.0
"""Seconds: sooner than vLLM's 5, so that a demo shows something soon."""
_GRACE = 1.0
"""Seconds that they get to end."""


class SimulatedEngines:
    """The engines and the switch of the demo, one process each. What they send looks as if it were real."""

    def __init__(self, started_ns: int, names: Iterable[str] = tuple(DEMO), *, faults: bool = False) -> None:
        """Start the processes. `started_ns`, of CLOCK_MONOTONIC, is when the simulation began."""
        self.started_ns = started_ns
        self.faults = faults
        self._processes = {name: _spawn(name, started_ns, faults=faults) for name in names}
        self._switch = _spawned("agent.simulation.switch", started_ns, "switch")

    @property
    def pids(self) -> list[int]:
        """Process ids."""
        return [process.pid for process in self._processes.values()]

    @property
    def engines(self) -> list[SimulatedEngine]:
        """What the reader needs in order to let their GPUs work."""
        return [SimulatedEngine(name, process.pid, self.started_ns) for name, process in self._processes.items()]

    def start(self, endpoint: str) -> None:
        """Let them send to an OTLP gRPC receiver, http://HOST:PORT. It need not listen yet."""
        for process in (*self._processes.values(), self._switch):
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # It has ended; nobody needs to know.
                process.stdin.write(f"{endpoint}\n".encode())
                process.stdin.close()

    def stop(self) -> None:
        """End them. Returns within a second, even when they hang."""
        for process in (*self._processes.values(), self._switch):
            process.terminate()
        deadline = time.monotonic() + _GRACE
        for process in (*self._processes.values(), self._switch):
            _end(process, deadline)


def _spawn(name: str, started_ns: int, *, faults: bool) -> "subprocess.Popen[bytes]":
    told = ["--name", name, "--every", str(_EXPORT_EVERY), *(["--faults"] if faults else [])]
    return _spawned("agent.simulation.engine", started_ns, name, *told)


def _spawned(module: str, started_ns: int, name: str, *more: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", module, "--started-ns", str(started_ns), "--parent", str(os.getpid())]
    return subprocess.Popen([*command, *more], stdin=subprocess.PIPE, env=_environment(os.environ, name))  # noqa: S603 - our own module


def _environment(ours: Mapping[str, str], name: str) -> dict[str, str]:
    """Name the engine, and leave out what is meant for the agent's own telemetry, and what gRPC says of refusals."""
    kept = {key: value for key, value in ours.items() if not key.startswith("OTEL_")}
    return {**kept, "GRPC_VERBOSITY": "NONE", "OTEL_SERVICE_NAME": name}


def _end(process: "subprocess.Popen[bytes]", deadline: float) -> None:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        with suppress(BrokenPipeError):
            process.stdin.close()
