# SPDX-License-Identifier: Apache-2.0
"""What engines' processes and their control groups use, and what they are held back from.

Which processes those are is looked at every 30 s, or sooner when engines or the processes on GPUs change: reading all
processes of the node takes tens of ms. In between only an engine's own are read. `include` and `exclude` are patterns
of the names of engines.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from agent.catalogue import engine_processes as catalogue
from agent.catalogue.own import SERIES_DROPPED
from agent.clock import NS
from agent.collectors.groups import LeftOut
from agent.collectors.node import Node, NodeCollector, Read
from agent.entities import Collector
from agent.host_entities import (
    EngineCpuMode,
    EngineFault,
    EngineIo,
    EnginePressure,
    EngineProcesses,
    EngineSwitch,
    Host,
)
from agent.metric import Counter, Sample, Series
from agent.processors.engine_groups import Engines, engines_of, groups_of
from agent.processors.kinship import Kinship
from agent.processors.tally import Tally
from agent.processors.topology import gpus_of, holders_of
from agent.system import cgroup_stat, process_stat
from agent.system.cgroup_stat import Groups, GroupUse
from agent.system.machine import LocalMachine
from agent.system.process_stat import ProcessUse

NAME = "engine_processes"
ENGINES = 64
_LOOK, _LOOK_SOON = 30 * NS, 5 * NS
_OF_AN_ENGINE = 24


class EngineReading:
    """Reads the processes of engines; keeps what those that ended had counted."""

    def __init__(self, node: Node) -> None:
        """Look at the first reading."""
        self._node = node
        self._root = str(node.root).rstrip("/")
        self._machine = LocalMachine(node.root / "proc", node.root / "sys")
        self._looked: int | None = None
        self._known: tuple[Engines, frozenset[int]] = ({}, frozenset())
        self._groups: Mapping[str, Sequence[int]] = {}
        self._left_out = 0
        self._beyond = LeftOut()
        self._tallies: dict[str, Tally[tuple[int, int]]] = {}
        self._cgroups: dict[str, Tally[Groups]] = {}

    def read(self) -> Iterator[Sample]:
        """Read them."""
        self._look()
        self._beyond.note("engines", max(0, len(self._groups) - ENGINES) * _OF_AN_ENGINE)
        for engine in sorted(self._groups)[:ENGINES]:
            yield from self._engine(engine, self._groups[engine])
        yield SERIES_DROPPED(Collector(NAME), self._beyond.total)
        yield catalogue.LEFT_OUT(Host(), self._left_out)

    def _look(self) -> None:
        now, snapshot = self._node.clock.monotonic_ns(), self._node.snapshot()
        engines = {name: gpus for name, gpus in engines_of(snapshot).items() if self._wanted(name)}
        holders = holders_of(snapshot)
        known = (engines, frozenset(holders))
        patience = _LOOK if known == self._known else _LOOK_SOON
        if self._looked is not None and now - self._looked < patience:
            return
        self._looked, self._known = now, known
        if not engines or not holders:
            self._groups = {}
        else:
            kinship = Kinship(self._machine, holders, gpus_of(snapshot))
            self._groups, self._left_out = groups_of(engines, kinship, self._machine.service_name)
        for tallies in (self._tallies, self._cgroups):
            for engine in [engine for engine in tallies if engine not in engines]:
                del tallies[engine]

    def _wanted(self, engine: str) -> bool:
        settings = self._node.settings
        usual = not settings.include or any(fnmatchcase(engine, one) for one in settings.include)
        return usual and not any(fnmatchcase(engine, one) for one in settings.exclude)

    def _engine(self, engine: str, pids: Sequence[int]) -> Iterator[Sample]:
        uses = {pid: use for pid in pids if (use := process_stat.process_use(self._root, pid))}
        if not uses:
            return
        whole = EngineProcesses(engine)
        yield catalogue.PROCESSES(whole, len(uses))
        yield catalogue.THREADS(whole, sum(use.threads for use in uses.values()))
        yield catalogue.MEMORY(whole, sum(use.resident for use in uses.values()))
        counts = {(pid, use.start): self._counts(pid, use) for pid, use in uses.items()}
        totals = self._tallies.setdefault(engine, Tally()).take(counts)
        for name, series in _counters(engine).items():
            if name in totals:
                yield Sample(series, totals[name])
        yield from self._cgroup(engine, list(uses))

    def _counts(self, pid: int, use: ProcessUse) -> dict[str, float]:
        found: dict[str, float] = {"user": use.user, "system": use.system, "minor": use.minor, "major": use.major}
        if switches := process_stat.context_switches(self._root, pid):
            found["voluntary"], found["involuntary"] = switches
        if moved := process_stat.disk_bytes(self._root, pid):
            found["read"], found["write"] = moved
        return found

    def _cgroup(self, engine: str, pids: Sequence[int]) -> Iterator[Sample]:
        groups = dict.fromkeys(found for pid in pids if (found := cgroup_stat.groups_of(self._root, pid)))
        uses = {group: cgroup_stat.group_use(group) for group in groups}
        whole = EngineProcesses(engine)
        totals = self._cgroups.setdefault(engine, Tally()).take({group: _counted(use) for group, use in uses.items()})
        for name, metric in _CGROUP.items():
            if name in totals:
                yield metric(whole, totals[name])
        for name, total in totals.items():
            resource, separator, stall = name.partition("/")
            if separator:
                yield catalogue.CGROUP_PRESSURE(EnginePressure(engine, resource, stall), total)
        memory = [use.memory for use in uses.values() if use.memory is not None]
        limits = [use.limit for use in uses.values() if use.limit is not None]
        if memory:
            yield catalogue.CGROUP_MEMORY(whole, sum(memory))
        if limits and len(limits) == len(uses):
            yield catalogue.CGROUP_MEMORY_LIMIT(whole, sum(limits))


_CGROUP: Mapping[str, Counter[EngineProcesses]] = {
    "periods": catalogue.CGROUP_PERIODS,
    "throttled_periods": catalogue.CGROUP_THROTTLED_PERIODS,
    "throttled": catalogue.CGROUP_THROTTLED_TIME,
    "oom_kills": catalogue.CGROUP_OOM_KILLS,
}


def _counters(engine: str) -> dict[str, Series]:
    return {
        "user": catalogue.CPU_TIME.series(EngineCpuMode(engine, "user")),
        "system": catalogue.CPU_TIME.series(EngineCpuMode(engine, "system")),
        "minor": catalogue.FAULTS.series(EngineFault(engine, "minor")),
        "major": catalogue.FAULTS.series(EngineFault(engine, "major")),
        "voluntary": catalogue.SWITCHES.series(EngineSwitch(engine, "voluntary")),
        "involuntary": catalogue.SWITCHES.series(EngineSwitch(engine, "involuntary")),
        "read": catalogue.DISK_IO.series(EngineIo(engine, "read")),
        "write": catalogue.DISK_IO.series(EngineIo(engine, "write")),
    }


def _counted(use: GroupUse) -> dict[str, float]:
    found: dict[str, float] = {name: value for name in _CGROUP if (value := getattr(use, name)) is not None}
    for resource, stalls in use.pressure.items():
        found |= {f"{resource}/{stall}": seconds for stall, seconds in stalls.items()}
    return found


def _open(node: Node) -> Read:
    return EngineReading(node).read


COLLECTOR = NodeCollector(NAME, _open)
