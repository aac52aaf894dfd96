# SPDX-License-Identifier: Apache-2.0
"""Whose the GPUs are: what the kubelet and the batch system gave out, and the processes that hold memory of them.

Each source is asked by itself. One that is not there is no failure and is asked again the next time; what one that
fails said last is believed for three rounds, as while a kubelet restarts.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from agent.catalogue import owners as catalogue
from agent.catalogue.gpu import MIG_PROCESS_MEMORY, PROCESS_COUNT, PROCESS_MEMORY
from agent.clock import NS
from agent.collectors.node import Node, NodeCollector, Read
from agent.config import OwnersCollector
from agent.entities import MigInstance
from agent.errors import JoulespanError, NoPermission, NotSupported
from agent.metric import Sample
from agent.owner_entities import DeviceOwner, OwnerGap, OwnerSource, ProcessOwner
from agent.processors.device_ids import devices_of, parents
from agent.processors.owner_energy import OwnerEnergy
from agent.processors.owners import Evidence, Holder, Owned, Patterns, owned
from agent.processors.topology import gpus_of
from agent.snapshot import Snapshot
from agent.system.job_map import job_map
from agent.system.kubelet import Kubelet
from agent.system.pod_logs import PodNames, pod_names
from agent.system.pod_resources import Given
from agent.system.who import Identity, Who

T = TypeVar("T")
_BELIEVED = 3
"""Rounds for which the last answer of a source that fails is believed."""
_NODE_NAMES = ("K8S_NODE_NAME", "NODE_NAME")
"""Variables in which pods are usually told the name of their node."""


class Sources(NamedTuple):
    """Where owners are looked up. Each raises NotSupported where it is not there now, Unavailable where it fails."""

    processes: Callable[[Sequence[Holder]], Mapping[int, Identity]]
    kubelet: Callable[[], Sequence[Given]]
    pod_logs: Callable[[], PodNames]
    job_map: Callable[[], Mapping[str, Sequence[str]]]
    container_names: Callable[[], Mapping[str, str]]
    node: str | None = None
    """Name of the node in Kubernetes."""


class OwnersReader:
    """Reads all sources and puts together who has what."""

    def __init__(self, node: Node, sources: Sources) -> None:
        """Read the sources of `node`."""
        self._node = node
        self._sources = sources
        self._patterns = Patterns(node.settings.include, node.settings.exclude)
        self._energy = OwnerEnergy()
        self._last: dict[str, tuple[int, Any]] = {}
        self._up: dict[str, bool] = {}
        self._dropped: Counter[str] = Counter()

    def read(self) -> Iterator[Sample]:
        """Tell owners. Raises NotSupported while no GPU is known."""
        snapshot = self._node.snapshot()
        devices = gpus_of(snapshot)
        if not devices:
            raise NotSupported("no GPU is known")
        holders, told = holders_in(snapshot)
        self._up = {}
        sources = self._sources
        identities: Mapping[int, Identity] = self._ask("processes", lambda: sources.processes(holders), {})
        evidence = Evidence(
            devices_of(snapshot, devices),
            holders,
            identities,
            self._ask("kubelet", sources.kubelet, ()),
            self._ask("pod_logs", sources.pod_logs, PodNames()),
            sources.container_names(),
            self._ask("job_map", sources.job_map, {}),
            sources.node,
        )
        found = owned(evidence, self._patterns)
        self._dropped["bound"] += found.dropped
        self._energy.advance(snapshot, found.owners, parents(devices))
        yield from _samples(found, told)
        yield from _process_samples(found)
        yield from self._own_samples(found)

    def _ask(self, source: str, question: Callable[[], T], nothing: T) -> T:
        """Ask a source; give what it said last where it fails, for a while."""
        now = self._node.clock.monotonic_ns()
        try:
            answer = question()
        except NotSupported:
            self._last.pop(source, None)
            return nothing
        except JoulespanError as error:
            self._up[source] = False
            self._node.failed(error)
            at, last = self._last.get(source, (now, nothing))
            return last if now - at <= _BELIEVED * self._node.settings.interval * NS else nothing
        self._up[source] = True
        self._last[source] = (now, answer)
        return answer

    def _own_samples(self, found: Owned) -> Iterator[Sample]:
        for (device, key), joules in self._energy.joules.items():
            yield catalogue.OWNER_ENERGY(DeviceOwner(device, key), joules)
        for source, up in self._up.items():
            yield catalogue.OWNER_SOURCE_UP(OwnerSource(source), up)
        for reason in ("device", "name", "process"):
            yield catalogue.OWNER_UNRESOLVED(OwnerGap(reason), found.gaps.get(reason, 0))
        for reason, number in self._dropped.items():
            yield catalogue.OWNER_DROPPED(OwnerGap(reason), number)


def holders_in(snapshot: Snapshot) -> tuple[list[Holder], frozenset[str]]:
    """Find the processes that hold memory, and the devices whose processes are known, also where there are none.

    A process on a MIG instance is listed on its GPU too: it counts on the instance.
    """
    found: list[Holder] = []
    inside: set[tuple[int, str]] = set()
    told: set[str] = set()
    for (metric, entity), value in snapshot.of(PROCESS_COUNT, PROCESS_MEMORY, MIG_PROCESS_MEMORY):
        if metric is PROCESS_COUNT:
            told.add(entity[0])
        else:
            device, pid = entity[:2]
            found.append(Holder(pid, device, value))
            told.add(device.id)
            if isinstance(device, MigInstance):
                inside.add((pid, device.parent))
    return [one for one in found if (one.pid, one.device.id) not in inside], frozenset(told)


def _samples(found: Owned, told: Iterable[str]) -> Iterator[Sample]:
    known = frozenset(told)
    for one in found.owners:
        place = (one.device, one.key)
        yield catalogue.GPU_OWNER(one, 1)
        if place in found.memory:
            yield catalogue.OWNER_MEMORY(DeviceOwner(*place), found.memory[place])
        # Who was given a GPU and holds nothing of it is worth a number, where it is known that nobody does.
        if place in found.processes or one.device in known:
            yield catalogue.OWNER_PROCESSES(DeviceOwner(*place), found.processes.get(place, 0))


def sources_of(root: Path, settings: OwnersCollector, environ: Mapping[str, str]) -> Sources:
    """Give the sources of a machine, whose proc, etc and var are below `root`."""
    who = Who(root, environment=settings.environment)
    kubelet = Kubelet(Path(settings.kubelet_socket))
    return Sources(
        lambda holders: _identities(who, {one.pid for one in holders}),
        kubelet.given,
        lambda: pod_names(Path(settings.logs)),
        lambda: job_map(Path(settings.job_map)) if settings.job_map else _absent(),
        lambda: who.container_names,
        next((environ[name] for name in _NODE_NAMES if environ.get(name)), None),
    )


def _identities(who: Who, pids: set[int]) -> dict[int, Identity]:
    found = who.identities(pids)
    if pids and not found:
        raise NoPermission("no process that holds a GPU is to be seen: in Kubernetes that takes hostPID")
    return found


def _absent() -> dict[str, list[str]]:
    raise NotSupported("collectors.owners.job_map is not set")


def _simulated() -> Sources:
    from agent.simulation import owners  # noqa: PLC0415 - only the demo has them

    return Sources(
        lambda holders: owners.identities([(one.pid, one.device.name) for one in holders]),
        owners.given,
        owners.names,
        owners.jobs,
        dict,
        owners.NODE,
    )


def _process_samples(found: Owned) -> Iterator[Sample]:
    for pid, key in sorted(found.pids.items()):
        yield catalogue.PROCESS_OWNER(ProcessOwner(pid, key), 1)


def _open(node: Node) -> Read:
    assert isinstance(node.settings, OwnersCollector)
    simulated = node.simulated_since is not None
    return OwnersReader(node, _simulated() if simulated else sources_of(node.root, node.settings, os.environ)).read


COLLECTOR = NodeCollector("owners", _open)
