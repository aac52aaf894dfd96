# SPDX-License-Identifier: Apache-2.0
"""Whose the energy of the host's CPUs and memory is: in proportion to what the ledger divided of the GPUs'.

What the host took up to the moment that the ledger has closed is divided by what the ledger gave to each class of
requests, to idling and to nobody since the last time. All of it is given away, so at any time what classes, idling and
nobody have adds up to what was divided; while the ledger closes nothing, it waits.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeAlias

from agent.catalogue import energy as catalogue
from agent.host_entities import Host
from agent.metric import Sample
from agent.processors.meter_energy import Growth
from agent.request_entities import RequestClass

IDLE, UNATTRIBUTED = "idle", "unattributed"
_HOST = Host()
_Key: TypeAlias = "tuple[Hashable, RequestClass | str]"
"""Under what the ledger counts something, a phase or a GPU, and whose it is."""


class Overhead:
    """Divides the energy of the host. Not to be shared between threads."""

    def __init__(self) -> None:
        """Nothing has been divided."""
        self._host = Growth()
        self._given = 0.0
        self._before: dict[_Key, float] | None = None
        self._nobodys = {IDLE: 0.0, UNATTRIBUTED: 0.0}
        self._classes: dict[RequestClass, float] = {}

    def take(self, host: Mapping[str, float], gpus: Iterable[Sample]) -> None:
        """Take in what the host's meters had counted when the ledger closed, J, and what the ledger says now."""
        self._host.take(dict(host))
        now = _divided(gpus)
        before, self._before = self._before, now
        if before is None:
            return
        there = {owner for _, owner in now}
        # A class whose series ended begins again at 0, should it come back.
        self._classes = {kind: joules for kind, joules in self._classes.items() if kind in there}
        self._divide({key: _grown(value, before.get(key, 0.0)) for key, value in now.items()})

    def samples(self) -> Iterator[Sample]:
        """Say what was divided. Nothing, before there was anything."""
        if not self._given:
            return
        yield catalogue.OVERHEAD_MEASURED(_HOST, self._given)
        yield catalogue.OVERHEAD_IDLE(_HOST, self._nobodys[IDLE])
        yield catalogue.OVERHEAD_UNATTRIBUTED(_HOST, self._nobodys[UNATTRIBUTED])
        for kind, joules in self._classes.items():
            yield catalogue.OVERHEAD(kind, joules)

    def _divide(self, weights: Mapping[_Key, float]) -> None:
        whole, waiting = sum(weights.values()), self._host.total - self._given
        if whole <= 0.0 or waiting <= 0.0:
            return
        for (_, owner), weight in weights.items():
            share = waiting * weight / whole
            if isinstance(owner, RequestClass):
                self._classes[owner] = self._classes.get(owner, 0.0) + share
            else:
                self._nobodys[owner] += share
        self._given = self._host.total


def _divided(samples: Iterable[Sample]) -> dict[_Key, float]:
    """Tell what the ledger gave to whom, by what it is counted under."""
    found: dict[_Key, float] = {}
    for (metric, entity), value in samples:
        if metric is catalogue.ENERGY_ATTRIBUTED:
            engine, model, tenant, phase, owner = entity
            found[phase, RequestClass(engine, model, tenant, owner)] = value
        elif metric is catalogue.ENERGY_IDLE:
            found[entity, IDLE] = value
        elif metric is catalogue.ENERGY_UNATTRIBUTED:
            found[entity, UNATTRIBUTED] = value
    return found


def _grown(value: float, before: float) -> float:
    return value - before if value >= before else value
