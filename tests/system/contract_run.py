# SPDX-License-Identifier: Apache-2.0
"""Runs the GPU collectors over an NVML library and prints what came: `python -m tests.system.contract_run [full]`.

A real library has to be on LD_LIBRARY_PATH when a process starts, hence a process. In full it also watches the energy
counter and, where the library is the mock with a control file, breaks it.
"""

import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from agent.collectors.gpu import GpuCollector, Read, Target, discover
from agent.entities import Gpu
from agent.errors import DriverGone, Unavailable
from agent.metric import Info
from agent.system.nvml import fields as nvml
from agent.system.nvml.ask import NOT_SUPPORTED
from agent.system.nvml.device import Device, Library
from tests.mock_nvml.control import ControlFile

ROUNDS = 3
ROUND_PAUSE = 0.15
"""Seconds; GPM samples must be more than 0.1 s apart."""
ENERGY_READINGS = 12
ENERGY_PAUSE = 0.03
FAILING = {"gpu_memory": "nvmlDeviceGetBAR1MemoryInfo", "gpu_energy": "field 186"}
"""A collector and one of its readings."""


class Switch(Protocol):
    """Breaks a library: what FakeLibrary can do to itself."""

    def lose(self, index: int) -> None:
        """Let a GPU fall off the bus."""
        ...

    def restore(self, index: int) -> None:
        """Take everything back."""
        ...

    def raise_xid(self, index: int, code: int) -> None:
        """Let a GPU report an XID."""
        ...

    def fail(self, index: int, reading: str) -> None:
        """Let a reading fail."""
        ...


class MockSwitch:
    """Breaks the mock library of this process."""

    def __init__(self, path: Path) -> None:
        """Write the control file at `path`."""
        self._control = ControlFile(path)
        self._xids: list[str] = []

    def lose(self, index: int) -> None:
        """See Switch."""
        self._set(f"lost.{index}", 1)

    def restore(self, index: int) -> None:  # noqa: ARG002 - see Switch
        """See Switch."""
        self._control.clear()
        self._settle()

    def raise_xid(self, index: int, code: int) -> None:
        """See Switch."""
        self._xids.append(f"{len(self._xids) + 1}:{code}")
        self._set(f"xid.{index}", ",".join(self._xids))

    def fail(self, index: int, reading: str) -> None:
        """See Switch."""
        kind, _, number = reading.partition(" ")
        self._set(f"fielderror.{number}.{index}" if kind == "field" else f"error.{reading}.{index}", "UNKNOWN")

    def _set(self, key: str, value: str | int) -> None:
        self._control.set(**{key: value})
        self._settle()

    def _settle(self) -> None:
        time.sleep(0.02)  # The library looks at the file every 5 ms.


class Calls:
    """Counts the questions by name; a Progress."""

    def __init__(self) -> None:
        """Start at none."""
        self._count: Counter[str] = Counter()

    def enter(self, device: int, call: str) -> None:  # noqa: ARG002 - see Progress
        """See Progress."""
        self._count[call] += 1

    def take(self) -> dict[str, int]:
        """Hand over the counts since the last call."""
        count, self._count = self._count, Counter()
        return dict(count)


@dataclass
class Reading:
    """What one collector read of one GPU, between two times of CLOCK_MONOTONIC, and the calls it took."""

    collector: str
    gpu: int
    before: float
    after: float
    values: dict[str, float]
    calls: dict[str, int] = field(default_factory=dict)


@dataclass
class Recording:
    """What came of a library. `units` is unit and whether it is an identity, by metric."""

    rounds: list[list[Reading]] = field(default_factory=list)
    units: dict[str, tuple[str, bool]] = field(default_factory=dict)
    unsupported: dict[str, list[str]] = field(default_factory=dict)
    energy: list[tuple[float, float, float]] = field(default_factory=list)
    lost: dict[str, list[str]] = field(default_factory=dict)
    reopened: str = ""
    failed: dict[str, list[str]] = field(default_factory=dict)
    xids: list[tuple[str, int] | None] = field(default_factory=list)
    error: str = ""


class Node:
    """The GPUs of a library with every collector prepared for them when first read."""

    def __init__(self, library: Library) -> None:
        """Open every GPU."""
        self.library = library
        self.devices = [library.open(index) for index in range(library.device_count())]
        self.collectors = discover()
        self.units: dict[str, tuple[str, bool]] = {}
        self._reads: dict[tuple[str, int], Read] = {}

    def read(self, collector: GpuCollector, index: int) -> dict[str, float]:
        """Run a collector on a GPU: values by series."""
        values: dict[str, float] = {}
        if (collector.name, index) not in self._reads:
            self._reads[collector.name, index] = collector.open(self._target(index))
        for (metric, entity), value in self._reads[collector.name, index]():
            self.units[metric.name] = metric.unit.name, isinstance(metric, Info)
            values[f"{metric.name} {entity}"] = float(value)
        return values

    def outcome(self, collector: GpuCollector, index: int) -> str:
        """Run a collector on a GPU: the name of the error, or nothing."""
        try:
            self.read(collector, index)
        except Unavailable as error:
            return type(error).__name__
        return ""

    def unsupported(self) -> dict[str, list[str]]:
        """List what each GPU has said it does not have."""
        return {
            device.identity.uuid: sorted(name for name, state in device.notes.support.items() if state == NOT_SUPPORTED)
            for device in self.devices
        }

    def _target(self, index: int) -> Target:
        device, library = self.devices[index], self.library
        return Target(
            Gpu(device.identity.uuid, f"gpu{index}"),
            device,
            detail=True,
            driver_version=library.driver_version,
            cuda_version=library.cuda_version,
            confidential_compute=library.confidential_compute,
        )


def record(library: Library, calls: Calls, *, full: bool, switch: Switch | None) -> Recording:
    """Run the collectors over a library; in full also longer, and with a switch what happens when it breaks."""
    node, found = Node(library), Recording()
    for number in range(ROUNDS if full else 2):
        time.sleep(ROUND_PAUSE if number else 0)
        found.rounds.append([_reading(node, c, i, calls) for c in node.collectors for i in range(len(node.devices))])
    found.units, found.unsupported = node.units, node.unsupported()
    if full:
        found.energy = _energy(node.devices[0])
        if switch:
            _break(node, switch, found)
    library.close()
    return found


def _reading(node: Node, collector: GpuCollector, index: int, calls: Calls) -> Reading:
    calls.take()
    before = time.monotonic()
    values = node.read(collector, index)
    return Reading(collector.name, index, before, time.monotonic(), values, calls.take())


def _energy(device: Device) -> list[tuple[float, float, float]]:
    reader = device.fields([nvml.ENERGY])
    found = []
    for _ in range(ENERGY_READINGS):
        before = time.monotonic()
        (joules,) = reader.read()
        if joules is not None:
            found.append((before, joules, time.monotonic()))
        time.sleep(ENERGY_PAUSE)
    return found


def _break(node: Node, switch: Switch, found: Recording) -> None:
    switch.lose(0)
    for collector in node.collectors:
        found.lost[collector.name] = [node.outcome(collector, index) for index in range(len(node.devices))]
    try:
        node.library.open(0)
    except Unavailable as error:
        found.reopened = type(error).__name__
    switch.restore(0)
    device = node.devices[0]
    device.notes.take_failures()
    for collector in node.collectors:
        if reading := FAILING.get(collector.name):
            switch.fail(0, reading)
            node.read(collector, 0)
            switch.restore(0)
            node.read(collector, 0)
            found.failed[reading] = [f"{failed.reading}: {failed.error}" for failed in device.notes.take_failures()]
    found.xids = [node.library.wait_xid(0.05)]  # The driver keeps XIDs only from the first wait on.
    switch.raise_xid(1, 79)
    found.xids += [node.library.wait_xid(seconds) for seconds in (1.0, 0.1)]


def main() -> Recording:
    """Record the library that this process finds as libnvidia-ml.so.1."""
    from agent.system.nvml.library import PynvmlLibrary

    calls = Calls()
    try:
        library = PynvmlLibrary(calls)
    except DriverGone as error:
        return Recording(error=str(error))
    control = os.environ.get("MOCK_NVML_FILE")
    return record(library, calls, full="full" in sys.argv, switch=MockSwitch(Path(control)) if control else None)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(main())))
