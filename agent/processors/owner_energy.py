# SPDX-License-Identifier: Apache-2.0
"""The energy of owners: all of a GPU that is one's alone, and of a shared one what the ledger gave to each's requests.

Of a shared GPU, owners and `shared` add up to what the ledger has divided. An engine counts for its owner where it runs
on this GPU alone: what one of several GPUs took for it is not told apart. For one thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from agent.catalogue.energy import ENERGY_ATTRIBUTED, ENERGY_MEASURED, ENGINE_UNATTRIBUTED
from agent.catalogue.gpu import ENERGY
from agent.catalogue.owners import ENGINE_OWNER
from agent.catalogue.requests import ENGINE_GPU
from agent.metric import Metric, Series
from agent.owner_entities import GpuOwner
from agent.snapshot import Snapshot

SHARED = "shared"
_COUNTERS: frozenset[Metric[Any]] = frozenset({ENERGY, ENERGY_MEASURED, ENERGY_ATTRIBUTED, ENGINE_UNATTRIBUTED})


class _Moment(NamedTuple):
    """What there is to know at one time: J by which counters grew, and the GPUs and owners of engines."""

    grown: Mapping[Series, float]
    gpus: Mapping[str, set[str]]
    owners: Mapping[str, set[str]]

    def of_engine(self, engine: str) -> float:
        """Give what the ledger gave to an engine, explained by spans or not."""
        return sum(
            joules
            for (metric, entity), joules in self.grown.items()
            if metric in (ENERGY_ATTRIBUTED, ENGINE_UNATTRIBUTED) and entity[0] == engine
        )


class OwnerEnergy:
    """Counts from when it is made."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.joules: dict[tuple[str, str], float] = {}
        """By GPU and owner."""
        self._last: dict[Series, float] = {}
        self._alone: dict[str, str] = {}

    def advance(self, snapshot: Snapshot, owners: Sequence[GpuOwner], parents: Mapping[str, str]) -> None:
        """Count what was used since the last time. `parents` gives the GPU of each device."""
        moment = self._moment(snapshot, parents)
        by_gpu: dict[str, list[GpuOwner]] = {}
        for one in owners:
            by_gpu.setdefault(one.parent or one.device, []).append(one)
        alone = {gpu: some[0].key for gpu, some in by_gpu.items() if _is_alone(some)}
        here = {(gpu, one.key) for gpu, some in by_gpu.items() for one in some}
        self.joules = {place: joules for place, joules in self.joules.items() if place in here or place[1] == SHARED}
        for (metric, entity), joules in moment.grown.items():
            gpu = entity[0]
            if metric is ENERGY and gpu in alone:
                # Of the time in which it changed hands, nobody knows how much was whose.
                self._add(gpu, alone[gpu], joules if self._alone.get(gpu) == alone[gpu] else 0.0)
            elif metric is ENERGY_MEASURED and gpu in by_gpu and gpu not in alone:
                self._split(gpu, joules, by_gpu[gpu], moment)
        self._alone = alone

    def _split(self, gpu: str, measured: float, owners: Iterable[GpuOwner], moment: _Moment) -> None:
        keys = {one.key for one in owners}
        for engine, gpus in moment.gpus.items():
            whose = moment.owners.get(engine, set())
            if gpus == {gpu} and len(whose) == 1 and whose <= keys:
                joules = moment.of_engine(engine)
                self._add(gpu, next(iter(whose)), joules)
                measured -= joules
        self._add(gpu, SHARED, max(0.0, measured))

    def _add(self, gpu: str, key: str, joules: float) -> None:
        self.joules[gpu, key] = self.joules.get((gpu, key), 0.0) + joules

    def _moment(self, snapshot: Snapshot, parents: Mapping[str, str]) -> _Moment:
        grown: dict[Series, float] = {}
        gpus: dict[str, set[str]] = {}
        owners: dict[str, set[str]] = {}
        last: dict[Series, float] = {}
        for series, value in snapshot.of(*_COUNTERS, ENGINE_GPU, ENGINE_OWNER):
            if series.metric in _COUNTERS:
                last[series] = value
                grown[series] = self._growth(series, value)
            elif series.metric is ENGINE_GPU:
                gpus.setdefault(series.entity[0], set()).add(parents.get(series.entity[1], series.entity[1]))
            elif series.metric is ENGINE_OWNER:
                owners.setdefault(series.entity[0], set()).add(series.entity[1])
        self._last = last
        return _Moment(grown, gpus, owners)

    def _growth(self, series: Series, value: float) -> float:
        """Tell by how much a counter grew. The ledger's begin at zero, unless they were there before us."""
        begun = 0.0 if self._last and series.metric is not ENERGY else value
        last = self._last.get(series, begun)
        return value - last if value >= last else value


def _is_alone(owners: Sequence[GpuOwner]) -> bool:
    return len(owners) == 1 and owners[0].parent is None and owners[0].shared == "false"
