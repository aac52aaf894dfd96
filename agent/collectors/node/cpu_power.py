# SPDX-License-Identifier: Apache-2.0
"""Power and energy of CPUs, memory and superchip modules, and how much of the node's energy is measured.

`include` and `exclude` are patterns of what the meters call themselves, as in `package-*`. In the demo the meters are
simulated.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from agent.catalogue import cpu_power as catalogue
from agent.catalogue.gpu import ENERGY
from agent.collectors.node import Node, NodeCollector, Read
from agent.errors import NotSupported, Unavailable
from agent.host_entities import CpuMeter, MemoryMeter, ModuleMeter, NodePart, PowerMeterInfo, PowerRail
from agent.metric import Counter, Gauge, Sample
from agent.processors.meter_energy import Growth, IntegratedPower, WrappingCounter
from agent.simulation.host import simulated_meters
from agent.system.power_meters import Meter, find_meters, watts

NAME = "cpu_power"
_MOST = 256
_MICRO = 1_000_000
_METRICS: Mapping[str, tuple[Gauge[Any], Counter[Any]]] = {
    "cpu": (catalogue.CPU_POWER, catalogue.CPU_ENERGY),
    "memory": (catalogue.MEMORY_POWER, catalogue.MEMORY_ENERGY),
    "module": (catalogue.MODULE_POWER, catalogue.MODULE_ENERGY),
    "rail": (catalogue.RAIL_POWER, catalogue.RAIL_ENERGY),
}


class CpuPower:
    """Reads the meters that there were at the start, and adds up their energy."""

    def __init__(self, node: Node, meters: Sequence[Meter]) -> None:
        """Read `meters`."""
        self._node = node
        self._meters = [Followed(meter) for meter in meters]
        self._gpus = Growth()

    def read(self) -> Iterator[Sample]:
        """Read them, one by one."""
        read: dict[str, list[bool]] = {}
        for followed in self._meters:
            taken = self._take(followed)
            read.setdefault(followed.meter.kind, []).append(taken)
            yield catalogue.METER_INFO(followed.info, 1)
            if taken:
                yield from followed.samples()
        gpus = self._gpu_energies()
        self._gpus.take(gpus)
        measured = {kind: all(read.get(kind, [False])) for kind in ("cpu", "memory", "module")}
        for part, whole in {"gpu": bool(gpus), **measured}.items():
            yield catalogue.NODE_MEASURED(NodePart(part), whole)
            if whole and part != "module":  # A module contains the others.
                joules = self._gpus.total if part == "gpu" else self._sum(part)
                yield catalogue.NODE_ENERGY(NodePart(part), joules)

    def _take(self, followed: "Followed") -> bool:
        try:
            followed.take(followed.meter.read(), self._node.clock.monotonic_ns())
        except NotSupported:
            return False
        except Unavailable as error:
            self._node.failed(error)
            return False
        return True

    def _sum(self, kind: str) -> float:
        return sum(followed.joules for followed in self._meters if followed.meter.kind == kind)

    def _gpu_energies(self) -> dict[str, float]:
        return {series.entity[0]: value for series, value in self._node.snapshot().of(ENERGY)}


class Followed:
    """A meter, and its energy since the start."""

    def __init__(self, meter: Meter) -> None:
        """Nothing has been read."""
        self.meter = meter
        self.info = PowerMeterInfo(
            meter.id, meter.name, meter.scope, meter.source, "integrated" if meter.wraps_at is None else "counter"
        )
        self._power, self._energy = (metric.series(_entity(meter)) for metric in _METRICS[meter.kind])
        self._counter = None if meter.wraps_at is None else WrappingCounter(meter.wraps_at, _MICRO)
        self._integral = IntegratedPower()
        self._watts: float | None = None

    @property
    def joules(self) -> float:
        """Energy since the start."""
        return self._integral.joules if self._counter is None else self._counter.joules

    def take(self, value: int, time: int) -> None:
        """Take in a reading, ns."""
        if self._counter is None:
            self._watts = watts(value)
            self._integral.take(self._watts, time)
        else:
            self._counter.take(value, time)
            self._watts = self._counter.watts

    def samples(self) -> Iterator[Sample]:
        """Say what it told last."""
        if self._watts is not None:
            yield Sample(self._power, self._watts)
        yield Sample(self._energy, self.joules)


def _entity(meter: Meter) -> CpuMeter | MemoryMeter | ModuleMeter | PowerRail:
    if meter.kind == "cpu":
        return CpuMeter(meter.id, meter.name, meter.scope, meter.parent)
    if meter.kind == "memory":
        return MemoryMeter(meter.id, meter.name, meter.scope, meter.parent)
    if meter.kind == "module":
        return ModuleMeter(meter.id, meter.name, meter.scope)
    return PowerRail(meter.id, meter.name, meter.scope, meter.parent)


def _open(node: Node) -> Read:
    settings = node.settings
    found = find_meters(str(node.root).rstrip("/")) if node.simulated_since is None else simulated_meters(node.clock)
    wanted = [
        meter
        for meter in found
        if (not settings.include or any(fnmatchcase(meter.name, one) for one in settings.include))
        and not any(fnmatchcase(meter.name, one) for one in settings.exclude)
    ]
    return CpuPower(node, wanted[:_MOST]).read


COLLECTOR = NodeCollector(
    NAME, _open, frozenset({catalogue.CPU_ENERGY, catalogue.MEMORY_ENERGY, catalogue.MODULE_ENERGY})
)
