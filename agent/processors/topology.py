# SPDX-License-Identifier: Apache-2.0
"""Which engine served a request, and on which GPUs.

Asked in this order: the configuration, GPU ids that the span names, process ids that it names, the process at the
other end of its connection, its container or pod. What names GPUs or processes and turns out wrong is not guessed at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from agent.catalogue.gpu import MIG_PROCESS_MEMORY, PROCESS_MEMORY
from agent.clock import NS
from agent.config import Engine as EngineConfig
from agent.entities import Gpu, GpuInfo, MigInstance
from agent.processors.clues import GPU_KEYS, MOST, Clues, clues_of, gpu_ids, gpus_named
from agent.processors.kinship import Device, Kinship, Machine
from agent.processors.owner_lookup import Labelled, OwnerLookup
from agent.processors.senders import Found, Reason, by_group, by_pids, by_socket
from agent.requests import Request
from agent.snapshot import Snapshot
from agent.spans import Source
from agent.system.cgroup import Cgroup

REMEMBERED = 4096
"""Places that are kept at a time: one for each sender, with the processes and GPUs that its spans name."""
_MAPPED, _UNMAPPED = 30 * NS, 5 * NS
_FRESH = 5 * NS
"""ns that a reading of the processes serves for."""
_SHOWN = 900 * NS
_SOURCES = 64
_SHORTEST = 8
"""Characters from which on the start of a UUID is taken for it."""
_Key: TypeAlias = "tuple[Clues, str, tuple[int, ...], tuple[str, ...]]"


class Placement(NamedTuple):
    """Where a request was served. `source` says how that is known; without GPUs, `reason` says why they are not.

    `owner` is whose these GPUs are, as far as that is known.
    """

    engine: str
    gpus: tuple[Device, ...] = ()
    source: str | None = None
    reason: str | None = None
    owner: Labelled | None = None


class Sender(NamedTuple):
    """What somebody who sent spans said of itself, and where its requests were placed."""

    clues: Clues
    placement: Placement


class _Kept(NamedTuple):
    placement: Placement
    until: int
    looked: int


class Topology:
    """Places requests. Looking is slow (it reads all processes) and done at most once in 5 s per sender."""

    def __init__(
        self,
        engines: Sequence[EngineConfig],
        machine: Machine,
        holders: Callable[[], Mapping[int, Sequence[Device]]],
        gpus: Callable[[], Sequence[Device]],
        owners: OwnerLookup | None = None,
    ) -> None:
        """Know `engines` by name. `holders` gives the processes that hold memory of GPUs, `gpus` all GPUs, now."""
        self.forgotten = 0
        """Places that were forgotten while they might still be asked for, because there were too many."""
        self.news = 0
        """How often a place was new, or another than before."""
        self._engines = {engine.service_name or engine.name: engine for engine in reversed(engines)}
        self._machine = machine
        self._holders = holders
        self._gpus = gpus
        self._owners = owners
        self._kept: dict[_Key, _Kept] = {}
        self._clues: dict[int, tuple[Source, Clues]] = {}
        self._kinship: Kinship | None = None
        self._read = 0

    def place(self, request: Request, now_ns: int) -> Placement:
        """Place a request. `now_ns` is monotonic. Answers from memory for 30 s, or for 5 s where it is not mapped."""
        span = request.span
        known = self._clues.get(id(span.source)) or self._learn(span.source)
        gpus = request.gpus
        if not span.attributes.keys().isdisjoint(GPU_KEYS):
            gpus += gpus_named(span.attributes)
        key = (known[1], request.dialect, request.pids, gpus)
        kept = self._kept.get(key)
        if kept is None or kept.until <= now_ns:
            return self._look(key, request.end, now_ns)
        return kept.placement

    def placements(self, now_ns: int) -> Iterator[Placement]:
        """Give the places of the last 15 minutes, once each. Another thread may call place() meanwhile."""
        recent = (kept.placement for kept in list(self._kept.values()) if kept.looked > now_ns - _SHOWN)
        yield from dict.fromkeys(recent)

    def senders(self, now_ns: int) -> Iterator[Sender]:
        """Give who sent requests in the last 15 minutes. Another thread may call place() meanwhile."""
        for (clues, _, pids, gpus), kept in list(self._kept.items()):
            if kept.looked > now_ns - _SHOWN:
                yield Sender(clues._replace(pids=(*pids, *clues.pids)[:MOST], gpus=gpus or clues.gpus), kept.placement)

    def _learn(self, source: Source) -> tuple[Source, Clues]:
        """Read a source. It is kept, as its id may not come back for another one, but only while it is in use."""
        if len(self._clues) >= _SOURCES:
            self._clues.clear()
        known = self._clues[id(source)] = (source, clues_of(source))
        return known

    def _look(self, key: _Key, ended: int, now_ns: int) -> Placement:
        clues, dialect, pids, gpus = key
        numbers = tuple(dict.fromkeys((*pids, *clues.pids)))[:MOST]
        told = clues._replace(pids=numbers, gpus=gpu_ids(gpus) or clues.gpus)
        placement = self._owned(self._placed(told, dialect, ended, now_ns), told, now_ns)
        lasts = placement.gpus and (self._owners is None or self._owners.known())
        self._keep(key, _Kept(placement, now_ns + (_MAPPED if lasts else _UNMAPPED), now_ns))
        return placement

    def _owned(self, placement: Placement, clues: Clues, now_ns: int) -> Placement:
        """Add whose the GPUs are."""
        if self._owners is None or not placement.gpus:
            return placement
        groups = partial(self._groups, placement.gpus, clues, now_ns)
        return placement._replace(owner=self._owners.of(placement.gpus, clues, groups))

    def _groups(self, gpus: Sequence[Device], clues: Clues, now_ns: int) -> list[Cgroup]:
        """Give the control groups of the processes that a sender names, as far as they lead to these GPUs."""
        kinship = self._processes(self._gpus(), now_ns)
        pids = [pid for number in clues.pids for pid in kinship.numbered(number)]
        led = [pid for pid in pids if not set(gpus).isdisjoint(kinship.gpus_of(pid))]
        return [group for pid in led if (group := kinship.cgroup(pid))]

    def _keep(self, key: _Key, kept: _Kept) -> None:
        """Remember; the last looked at is last, and the first is forgotten when there is no room."""
        before = self._kept.pop(key, None)
        self.news += before is None or before.placement != kept.placement
        if len(self._kept) >= REMEMBERED:
            oldest = self._kept.pop(next(iter(self._kept)))
            self.forgotten += oldest.looked > kept.looked - _SHOWN
        self._kept[key] = kept

    def _placed(self, clues: Clues, dialect: str, ended: int, now_ns: int) -> Placement:
        configured = self._engines.get(clues.service) if clues.service else None
        engine = configured.name if configured else engine_name(clues.service, dialect)
        devices = self._gpus()
        if not devices:
            return Placement(engine, reason=Reason.NO_GPUS)
        for source, words in (("config", configured.gpus if configured else ()), ("attribute", clues.gpus)):
            if words:
                named = tuple(dict.fromkeys(gpu for word in words if (gpu := gpu_called(word, devices))))
                return Placement(engine, named, source) if named else Placement(engine, reason=Reason.UNKNOWN_GPU)
        return _searched(engine, clues, self._processes(devices, now_ns), ended)

    def _processes(self, devices: Sequence[Device], now_ns: int) -> Kinship:
        if self._kinship is None or now_ns - self._read >= _FRESH:
            self._kinship, self._read = Kinship(self._machine, self._holders(), devices), now_ns
        return self._kinship


def _searched(engine: str, clues: Clues, kinship: Kinship, ended: int) -> Placement:
    """Ask one after the other. The first reason that says more than that nothing was found is the one that is told."""
    reasons: list[str] = []
    for look in (by_pids, by_socket, by_group):
        found: Found = look(clues, kinship, ended)
        if found.gpus:
            return Placement(engine, found.gpus, found.source)
        if found.reason:
            reasons.append(found.reason)
    telling = [reason for reason in reasons if reason != Reason.PROCESS_GONE]
    return Placement(engine, reason=next(iter(telling or reasons), Reason.NO_PROCESS_ID))


def engine_name(service: str | None, dialect: str) -> str:
    """Name an engine that the configuration does not: by its service, or by its kind where no service was set."""
    return dialect if service is None or service.startswith("unknown_service") else service


def gpu_called(word: str | int, gpus: Sequence[Device]) -> Device | None:
    """Find the GPU or MIG instance of a UUID, the start of a UUID that only one has, a name, or an NVML index."""
    name = str(word).strip().lower()
    for gpu in gpus:
        if name in (gpu.id.lower(), gpu.name.lower(), gpu.id.lower().removeprefix("gpu-")):
            return gpu
        if name.isdecimal() and gpu.name == f"gpu{int(name)}":
            return gpu
    begin = [gpu for gpu in gpus if len(name) >= _SHORTEST and gpu.id.lower().startswith((name, f"gpu-{name}"))]
    return begin[0] if len(begin) == 1 else None


def holders_of(snapshot: Snapshot) -> dict[int, list[Device]]:
    """List the processes that hold memory of GPUs: by host pid, MIG instances instead of the GPUs they are part of."""
    found: dict[int, list[Device]] = {}
    for series, _ in snapshot.of(PROCESS_MEMORY, MIG_PROCESS_MEMORY):
        device, pid = series.entity[:2]
        found.setdefault(pid, []).append(device)
    return {pid: _without_parents(devices) for pid, devices in found.items()}


def _without_parents(devices: Sequence[Device]) -> list[Device]:
    """Drop the GPUs of which there are instances: the driver lists a process on a MIG instance on both."""
    parents = {device.parent for device in devices if isinstance(device, MigInstance)}
    return [device for device in devices if device.id not in parents]


def gpus_of(snapshot: Snapshot) -> list[Device]:
    """List the GPUs and MIG instances of this node, in the order of their names."""
    found: set[Device] = set()
    for batch in snapshot.batches.values():
        for series in batch.series:
            entity = series.entity
            device = entity.gpu if isinstance(entity, GpuInfo) else entity
            if isinstance(device, Gpu | MigInstance):
                found.add(device)
    return sorted(found, key=_order)


def _order(device: Device) -> tuple[int, str]:
    index, _, place = device.name.removeprefix("gpu").partition("/")
    return (int(index) if index.isdecimal() else 0, place)
