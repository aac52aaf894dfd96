# SPDX-License-Identifier: Apache-2.0
"""Times every driver call that the collectors make on GPU 0: `python -m tests.hardware.calls [ROUNDS]`.

Prints a JSON object: by collector and call, microseconds from entry to return and what the driver answered. The
fields that a collector reads in one batch are also asked one by one, under `field`.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from unittest import mock

from agent.collectors.gpu import Target, discover
from agent.entities import Gpu
from agent.system.nvml import fields as nvml
from agent.system.nvml.ask import Asker
from agent.system.nvml.device import Device
from agent.system.nvml.fields import Field
from agent.system.nvml.library import PynvmlLibrary

_PAUSE = 0.15
"""Seconds between rounds; GPM samples must be more than 0.1 s apart."""
_SINGLES = 5


@dataclass
class Cost:
    """How long a call took, us, and its last answer."""

    times: int
    least: float
    median: float
    most: float
    answer: str


class Stopwatch:
    """Times calls, by the part of the agent that makes them."""

    def __init__(self) -> None:
        """Start with nothing timed."""
        self.part = ""
        self.times: dict[tuple[str, str], list[float]] = {}

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a call."""

        def clocked(*args: object) -> Any:
            started = time.perf_counter_ns()
            try:
                return call(*args)
            finally:
                took = (time.perf_counter_ns() - started) / 1e3
                self.times.setdefault((self.part, name), []).append(took)

        return clocked

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Time every question of every device meanwhile."""
        ask, checked = Asker.__call__, Asker.checked

        def timed_ask(asker: Asker, reading: str, call: Callable[..., Any], *args: object) -> Any:
            return ask(asker, reading, self.timed(reading, call), *args)

        def timed_check(asker: Asker, reading: str, function: Callable[..., int], *args: object) -> None:
            checked(asker, reading, self.timed(reading, function), *args)

        with mock.patch.object(Asker, "__call__", timed_ask), mock.patch.object(Asker, "checked", timed_check):
            yield

    def costs(self, answers: dict[str, str]) -> dict[str, dict[str, object]]:
        """Sum up."""
        return {
            f"{part}: {name}": asdict(
                Cost(len(spent), min(spent), statistics.median(spent), max(spent), answers.get(name, ""))
            )
            for (part, name), spent in self.times.items()
        }


def measure(rounds: int) -> dict[str, dict[str, object]]:
    """Run every collector `rounds` times, then every field alone."""
    library, stopwatch = PynvmlLibrary(), Stopwatch()
    device = library.open(0)
    target = Target(
        Gpu(device.identity.uuid, "gpu0"),
        device,
        detail=True,
        driver_version=library.driver_version,
        cuda_version=library.cuda_version,
        confidential_compute=library.confidential_compute,
    )
    with stopwatch.watch():
        reads = {}
        for collector in discover():
            stopwatch.part = f"{collector.name} at first"
            reads[collector.name] = collector.open(target)
            list(reads[collector.name]())
        for _ in range(rounds):
            time.sleep(_PAUSE)
            for stopwatch.part, read in reads.items():
                list(read())
        answers = dict(device.notes.support)
        _one_by_one(device, stopwatch)
    library.close()
    return stopwatch.costs(answers)


def _one_by_one(device: Device, stopwatch: Stopwatch) -> None:
    """Time each field that the collectors know, in a call of its own; those that answer."""
    for name, field in vars(nvml).items():
        if isinstance(field, Field):
            stopwatch.part = f"field {field.id} {name}"
            reader = device.fields([field])
            answers = [reader.read()[0] for _ in range(_SINGLES)]
            if answers[-1] is None:
                stopwatch.times = {key: spent for key, spent in stopwatch.times.items() if key[0] != stopwatch.part}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20)))
