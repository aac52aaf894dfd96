# SPDX-License-Identifier: Apache-2.0
"""What the host does: CPUs, memory, disks, file systems, pressure. Also in the demo it is of the real host.

`include` and `exclude` are patterns of the names of disks; without `include` disks with hardware behind them are read.
With `detail` each CPU has its series, and disks have those of their operations.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial

from agent.catalogue import host as catalogue
from agent.catalogue.own import SERIES_DROPPED
from agent.collectors.groups import Group, LeftOut, each
from agent.collectors.node import Node, NodeCollector, Read
from agent.config import DetailedSettings
from agent.entities import Collector
from agent.errors import NotSupported, Unavailable
from agent.host_entities import (
    CpuMode,
    Disk,
    DiskDirection,
    Filesystem,
    FilesystemState,
    Host,
    HugepageState,
    LoadWindow,
    MemoryState,
    NumaAllocation,
    NumaNode,
    NumaState,
    PagingDirection,
    PagingFault,
    PagingState,
    Pressure,
    ProcessState,
    SlabState,
)
from agent.metric import Sample, Series
from agent.system import cpu_times, disks, mounts, numa, pressure
from agent.system.kernel_files import named_numbers, whole

NAME = "host"
DISKS, MOUNTS, NODES = 16, 16, 16
"""The most of each that have series; of disks those with the most traffic when they are first seen."""
_OF_A_DISK = 3
_OF_A_MOUNT = 4
_OF_A_NODE = 6
_BACKWARDS = 3.0
"""Seconds by which the kernel's idle time may go back without having begun again."""
_HOST = Host()


class HostReading:
    """Reads the host. Keeps what must not go back, and which disks have series."""

    def __init__(
        self,
        node: Node,
        *,
        detail: bool = False,
        statvfs: Callable[[str], "os.statvfs_result"] = os.statvfs,
    ) -> None:
        """Prepare. `statvfs` asks a file system for its space."""
        self._root = str(node.root).rstrip("/")
        self._node = node
        self._detail = detail
        self._statvfs = statvfs
        self._wanted = disk_filter(self._root, node.settings.include, node.settings.exclude)
        self._disks: set[str] = set()
        self._steady: dict[Series, float] = {}
        self._left_out = LeftOut()
        self._cores = cpu_times.cores(self._root)

    def read(self) -> Iterator[Sample]:
        """Read all of it."""
        stalls = [partial(self._pressure, resource) for resource in pressure.RESOURCES]
        groups: list[Group] = [
            self._cpus,
            self._load,
            self._uptime,
            *stalls,
            self._memory,
            self._paging,
            self._numa,
            self._disk_counts,
            self._filesystems,
        ]
        yield from each(groups, self._node.failed)
        yield SERIES_DROPPED(Collector(NAME), self._left_out.total)

    def _cpus(self) -> Iterator[Sample]:
        stat = cpu_times.read_stat(self._root, each=self._detail)
        assert stat.total is not None
        rows: list[tuple[int | None, cpu_times.CpuTimes]] = [*stat.each.items()] or [(None, stat.total)]
        for number, times in rows:
            for mode, seconds in times._asdict().items():
                yield self._forward(catalogue.CPU_TIME.series(CpuMode(mode, number)), seconds)
        yield catalogue.CPU_LOGICAL_COUNT(_HOST, stat.cpus)
        if self._cores is not None:
            yield catalogue.CPU_PHYSICAL_COUNT(_HOST, self._cores)
        for metric, count in (
            (catalogue.CONTEXT_SWITCHES, stat.switches),
            (catalogue.INTERRUPTS, stat.interrupts),
            (catalogue.PROCESSES_CREATED, stat.created),
        ):
            if count is not None:
                yield metric(_HOST, count)
        for state, threads in (("running", stat.running), ("blocked", stat.blocked)):
            if threads is not None:
                yield catalogue.THREADS(ProcessState(state), threads)

    def _forward(self, series: Series, seconds: float) -> Sample:
        """Hold a time that went back a little: it would look as if the counter had begun again."""
        before = self._steady.get(series, seconds)
        value = before if before - _BACKWARDS < seconds < before else seconds
        self._steady[series] = value
        return Sample(series, value)

    def _load(self) -> Iterator[Sample]:
        load = cpu_times.parse_load(whole(f"{self._root}/proc/loadavg"))
        for window, value in zip(("1m", "5m", "15m"), load, strict=True):
            yield catalogue.LOAD(LoadWindow(window), value)

    def _uptime(self) -> Iterator[Sample]:
        yield catalogue.UPTIME(_HOST, cpu_times.parse_uptime(whole(f"{self._root}/proc/uptime")))

    def _pressure(self, resource: str) -> Iterator[Sample]:
        for kind, seconds in pressure.host_pressure(self._root, resource).items():
            yield catalogue.PRESSURE(Pressure(resource, kind), seconds)

    def _memory(self) -> Iterator[Sample]:
        path = f"{self._root}/proc/meminfo"
        told = named_numbers(whole(path))
        if "MemTotal" not in told:
            raise Unavailable(f"{path}: has no MemTotal")
        yield catalogue.MEMORY_LIMIT(_HOST, told["MemTotal"])
        if "MemAvailable" in told:
            yield catalogue.MEMORY_AVAILABLE(_HOST, told["MemAvailable"])
            yield catalogue.MEMORY_USAGE(MemoryState("used"), max(0, told["MemTotal"] - told["MemAvailable"]))
        for state, name in (("free", "MemFree"), ("buffers", "Buffers"), ("cached", "Cached")):
            if name in told:
                yield catalogue.MEMORY_USAGE(MemoryState(state), told[name])
        if "Shmem" in told:
            yield catalogue.MEMORY_SHARED(_HOST, told["Shmem"])
        for state, name in (("reclaimable", "SReclaimable"), ("unreclaimable", "SUnreclaim")):
            if name in told:
                yield catalogue.SLAB_USAGE(SlabState(state), told[name])
        yield from _hugepages(told)
        if "SwapTotal" in told and "SwapFree" in told:
            yield catalogue.PAGING_USAGE(PagingState("used"), max(0, told["SwapTotal"] - told["SwapFree"]))
            yield catalogue.PAGING_USAGE(PagingState("free"), told["SwapFree"])

    def _paging(self) -> Iterator[Sample]:
        told = named_numbers(whole(f"{self._root}/proc/vmstat"))
        if "pgfault" in told and "pgmajfault" in told:
            yield catalogue.PAGING_FAULTS(PagingFault("major"), told["pgmajfault"])
            yield catalogue.PAGING_FAULTS(PagingFault("minor"), max(0, told["pgfault"] - told["pgmajfault"]))
        for direction, name in (("in", "pswpin"), ("out", "pswpout")):
            if name in told:
                yield catalogue.PAGING_OPERATIONS(PagingDirection(direction), told[name])
        if "oom_kill" in told:
            yield catalogue.OOM_KILLS(_HOST, told["oom_kill"])

    def _numa(self) -> Iterator[Sample]:
        nodes = numa.numa_nodes(self._root)
        self._left_out.note("numa", max(0, len(nodes) - NODES) * _OF_A_NODE)
        yield from each([partial(self._numa_node, number) for number in nodes[:NODES]], self._node.failed)

    def _numa_node(self, number: int) -> Iterator[Sample]:
        memory = numa.numa_memory(self._root, number)
        if memory.total == 0:
            return
        yield catalogue.NUMA_LIMIT(NumaNode(number), memory.total)
        yield catalogue.NUMA_USAGE(NumaState(number, "used"), max(0, memory.total - memory.free))
        yield catalogue.NUMA_USAGE(NumaState(number, "free"), memory.free)
        for kind, pages in numa.numa_allocations(self._root, number).items():
            yield catalogue.NUMA_ALLOCATIONS(NumaAllocation(number, kind), pages)

    def _disk_counts(self) -> Iterator[Sample]:
        for disk in self._chosen(disks.read_disks(self._root, self._wanted)):
            read, write = DiskDirection(disk.name, "read"), DiskDirection(disk.name, "write")
            yield catalogue.DISK_IO(read, disk.read_bytes)
            yield catalogue.DISK_IO(write, disk.written_bytes)
            yield catalogue.DISK_IO_TIME(Disk(disk.name), disk.busy)
            if self._detail:
                yield catalogue.DISK_OPERATIONS(read, disk.reads)
                yield catalogue.DISK_OPERATIONS(write, disk.writes)
                yield catalogue.DISK_OPERATION_TIME(read, disk.reading)
                yield catalogue.DISK_OPERATION_TIME(write, disk.writing)

    def _chosen(self, found: Sequence[disks.DiskCounts]) -> list[disks.DiskCounts]:
        """Take the disks that have series: once chosen they stay, as long as they are there."""
        there = {disk.name for disk in found}
        kept = self._disks & there
        fresh = sorted((disk for disk in found if disk.name not in kept), key=lambda disk: -disk.traffic)
        kept |= {disk.name for disk in fresh[: DISKS - len(kept)]}
        self._disks = kept
        self._left_out.note("disks", (len(there) - len(kept)) * _OF_A_DISK)
        return [disk for disk in found if disk.name in kept]

    def _filesystems(self) -> Iterator[Sample]:
        found = mounts.read_mounts(self._root)
        self._left_out.note("mounts", max(0, len(found) - MOUNTS) * _OF_A_MOUNT)
        yield from each([partial(self._filesystem, mount) for mount in found[:MOUNTS]], self._node.failed)

    def _filesystem(self, mount: mounts.Mount) -> Iterator[Sample]:
        try:
            told = self._statvfs(mount.point)
        except FileNotFoundError as error:
            raise NotSupported(str(error)) from error
        except OSError as error:
            raise Unavailable(f"{mount.point}: {error.strerror}") from error
        entity = Filesystem(mount.device, mount.point, mount.type, mount.mode)
        block = told.f_frsize or told.f_bsize
        yield catalogue.FILESYSTEM_LIMIT(entity, told.f_blocks * block)
        for state, blocks in (
            ("used", told.f_blocks - told.f_bfree),
            ("free", told.f_bavail),
            ("reserved", told.f_bfree - told.f_bavail),
        ):
            yield catalogue.FILESYSTEM_USAGE(FilesystemState(entity, state), max(0, blocks) * block)


def _hugepages(told: dict[str, int]) -> Iterator[Sample]:
    if "HugePages_Total" not in told:
        return
    total = told["HugePages_Total"]
    yield catalogue.HUGEPAGES_LIMIT(_HOST, total)
    if total and "HugePages_Free" in told:
        yield catalogue.HUGEPAGES_USAGE(HugepageState("used"), max(0, total - told["HugePages_Free"]))
        yield catalogue.HUGEPAGES_USAGE(HugepageState("free"), told["HugePages_Free"])
        yield catalogue.HUGEPAGES_SIZE(_HOST, told.get("Hugepagesize", 0))


def disk_filter(root: str, include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """Make what says whether a disk is read. Looks at each name once, as long as they are few."""
    known: dict[str, bool] = {}

    def wanted(name: str) -> bool:
        if name not in known:
            if len(known) >= 4096:  # noqa: PLR2004 - names come and go: forget, never grow
                known.clear()
            usual = any(fnmatchcase(name, one) for one in include) if include else disks.is_hardware(root, name)
            known[name] = usual and not any(fnmatchcase(name, one) for one in exclude)
        return known[name]

    return wanted


def _open(node: Node) -> Read:
    settings = node.settings
    return HostReading(node, detail=isinstance(settings, DetailedSettings) and settings.detail).read


COLLECTOR = NodeCollector(NAME, _open)
