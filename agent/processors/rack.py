# SPDX-License-Identifier: Apache-2.0
"""The NVLink domain as this node sees it, from what its GPUs say of the fabric and of their place in the rack."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from agent.catalogue import rack
from agent.catalogue.gpu import FABRIC_INFO, PLATFORM_INFO
from agent.catalogue.health import FABRIC_HEALTH, FABRIC_STATUS, NODE_GPUS
from agent.entities import Agent, Fabric, GpuError, Platform
from agent.metric import Sample
from agent.rack_entities import Domain, DomainGpus, DomainProblem, RackPlace
from agent.snapshot import Snapshot

_NO_CLUSTER = frozenset("0-")
"""All that the UUID of a baseboard has whose switches form no fabric with those of other nodes."""
_Host: TypeAlias = tuple[str, int, int, int]


class _Seen(NamedTuple):
    domains: dict[str, Domain]
    """By the UUID of the GPU."""
    problems: dict[str, set[str]]
    places: dict[_Host, list[int]]
    """Modules by chassis, slot, tray and host."""
    gpus: int | None
    """How many the node has, lost ones too."""


class RackView:
    """Says what part this node has in its domain; remembers the domain and how many GPUs there were at the most."""

    def __init__(self) -> None:
        """Know of no domain yet."""
        self._main: Domain | None = None
        self._most = 0

    def samples(self, snapshot: Snapshot) -> Iterator[Sample]:
        """Say it of one moment. Where there is neither rack nor domain there is nothing to say."""
        seen = _look(snapshot)
        if seen.gpus is None:  # The reader has said nothing yet, or nothing any more.
            return
        members = Counter(seen.domains.values())
        if members:
            self._main = max(members, key=lambda domain: (members[domain], domain == self._main))
        self._most = max(self._most, seen.gpus, members.total())
        yield from _places(seen, self._main)
        if self._main is None:
            return
        yield rack.CLIQUES(Agent(), len(members))
        missing = self._most - members.total()
        for domain in members or (self._main,):
            yield from _domain(domain, seen, missing if domain == self._main else 0)


def _domain(domain: Domain, seen: _Seen, missing: int) -> Iterator[Sample]:
    gpus = [gpu for gpu, of in seen.domains.items() if of == domain]
    degraded = sum(bool(seen.problems.get(gpu)) for gpu in gpus)
    yield rack.EXPECTED(domain, len(gpus) + missing)
    states = (("healthy", len(gpus) - degraded), ("degraded", degraded), ("missing", missing))
    for state, number in states:
        yield rack.GPUS(DomainGpus(*domain, state), number)
    yield rack.COMPLETE(domain, not missing and not degraded)
    problems = Counter(problem for gpu in gpus for problem in seen.problems.get(gpu, ()))
    for problem, number in sorted(problems.items()):
        yield rack.PROBLEMS(DomainProblem(*domain, problem), number)


def _places(seen: _Seen, domain: Domain | None) -> Iterator[Sample]:
    for (chassis, slot, tray, host), modules in sorted(seen.places.items()):
        joined = ",".join(map(str, sorted(modules)))
        place = RackPlace(chassis, str(tray), str(slot), str(host), joined)
        if domain is not None:
            place = place._replace(cluster=domain.cluster, clique=str(domain.clique))
        yield rack.PLACE(place, 1)


def _look(snapshot: Snapshot) -> _Seen:
    seen = _Seen({}, defaultdict(set), defaultdict(list), None)
    gpus = 0.0
    known = False
    for source, batch in snapshot.batches.items():
        if source.collector not in {"gpu_fabric", "gpu_identity", "agent"}:
            continue
        for (metric, entity), value in batch.samples():
            if metric is NODE_GPUS:
                gpus, known = gpus + value, True
            elif metric is FABRIC_INFO:
                assert isinstance(entity, Fabric)
                if not set(entity.cluster) <= _NO_CLUSTER:
                    seen.domains[entity.gpu.id] = Domain(entity.cluster, entity.clique)
            elif metric is FABRIC_HEALTH and value:
                assert isinstance(entity, GpuError)
                seen.problems[entity.gpu.id].add(entity.type)
            elif metric is FABRIC_STATUS and value:
                seen.problems[entity[0]].add("registration")
            elif metric is PLATFORM_INFO:
                assert isinstance(entity, Platform)
                seen.places[entity.chassis, entity.slot, entity.tray, entity.host].append(entity.module)
    return seen._replace(gpus=int(gpus) if known else None)
