# SPDX-License-Identifier: Apache-2.0
"""A child process that calls the real nvidia-ml-py on request.

The library must be on LD_LIBRARY_PATH when a process starts, and a call may hang: both ask for a process.
Requests and answers are JSON lines. An argument may be {"gpu": i}, {"mig": [i, k]}, {"handle": n} (an opaque
result of an earlier call), {"struct": name, field: value, ...} or {"ref": name, ...} (passed by reference).
"""

import ctypes
import json
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gave, and when it began and ended."""

    before: float
    after: float
    value: Any
    out: list[Any]
    error: str | None


class NvmlCaller:
    """The parent's side: one child, one call at a time."""

    def __init__(self, env: Mapping[str, str], *, init: bool = True) -> None:
        """Start the child and, unless told not to, initialise NVML there."""
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__))],
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if init:
            self.value("nvmlInit")

    def __enter__(self) -> Self:
        """Nothing to do: the child runs."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child, hung or not."""
        self._child.kill()
        self._child.communicate()

    def send(self, function: str, *arguments: object) -> None:
        """Begin a call."""
        assert self._child.stdin
        self._child.stdin.write(json.dumps([function, arguments]).encode() + b"\n")
        self._child.stdin.flush()

    def receive(self, timeout: float = 10.0) -> Answer | None:
        """Wait for the end of the call; None when it does not come."""
        assert self._child.stdout
        if not select.select([self._child.stdout], [], [], timeout)[0]:
            return None
        return Answer(**json.loads(self._child.stdout.readline()))

    def call(self, function: str, *arguments: object) -> Answer:
        """Call and wait."""
        self.send(function, *arguments)
        answer = self.receive()
        assert answer, f"{function} hangs"
        return answer

    def value(self, function: str, *arguments: object) -> Any:
        """Call, expect success, return the result (or what was written by reference)."""
        answer = self.call(function, *arguments)
        assert answer.error is None, f"{function}: {answer.error}"
        return answer.out[0] if answer.out else answer.value

    def error(self, function: str, *arguments: object) -> str | None:
        """Call and return the name of the error, None for success."""
        return self.call(function, *arguments).error

    def finish(self) -> None:
        """Let the child end in its own way."""
        self._child.communicate()


class _Child:
    """The child's side."""

    def __init__(self) -> None:
        import pynvml

        self.nvml = pynvml
        self.handles: list[object] = []
        self.errors = {
            code: name.removeprefix("NVML_ERROR_")
            for name, code in vars(pynvml).items()
            if name.startswith("NVML_ERROR_")
        }

    def run(self, line: str) -> dict[str, object]:
        function, arguments = json.loads(line)
        refs: list[ctypes.Structure] = []
        value, error = None, None
        before = after = time.monotonic()
        try:
            ready = [self.argument(a, refs) for a in arguments]
            before = time.monotonic()
            value = getattr(self.nvml, function)(*ready)
            after = time.monotonic()
        except self.nvml.NVMLError as failure:
            after = time.monotonic()
            error = self.errors[failure.value]
        return {
            "before": before,
            "after": after,
            "value": self.plain(value),
            "out": [self.plain(r) for r in refs],
            "error": error,
        }

    def argument(self, given: object, refs: list[ctypes.Structure]) -> object:
        match given:
            case {"gpu": index}:
                return self.nvml.nvmlDeviceGetHandleByIndex(index)
            case {"mig": [gpu, index]}:
                parent = self.nvml.nvmlDeviceGetHandleByIndex(gpu)
                return self.nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, index)
            case {"handle": number}:
                return self.handles[number]
            case {"struct": str(name), **fields}:
                refs.append(self.filled(name, fields))
                return refs[-1]
            case {"ref": str(name), **fields}:
                refs.append(self.filled(name, fields))
                return ctypes.byref(refs[-1])
            case _:
                return given

    def filled(self, name: str, fields: Mapping[Any, object]) -> ctypes.Structure:
        made: ctypes.Structure = getattr(self.nvml, name)()
        self.fill(made, fields)
        return made

    def fill(self, into: ctypes.Structure, fields: Mapping[Any, object]) -> None:
        for name, value in fields.items():
            match value:
                case list():
                    for slot, item in zip(getattr(into, name), value, strict=False):
                        self.fill(slot, item)
                case _:
                    setattr(into, name, self.argument(value, []))

    def plain(self, value: object) -> object:
        """JSON of a result. Structures are read past nvidia-ml-py, which decodes raw bytes as text."""
        match value:
            case None | int() | float() | str():
                return value
            case bytes():
                return value.decode("latin-1")
            case ctypes.Structure() | ctypes.Union():
                read = ctypes.Structure.__getattribute__ if isinstance(value, ctypes.Structure) else getattr
                return {field[0]: self.plain(read(value, field[0])) for field in value._fields_}
            case ctypes.Array() | list() | tuple():
                return [self.plain(item) for item in value]
            case self.nvml.nvmlFriendlyObject():
                return vars(value)
            case _:
                self.handles.append(value)
                return {"handle": len(self.handles) - 1}


def _serve() -> None:
    child = _Child()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(child.run(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
