# SPDX-License-Identifier: Apache-2.0
"""Whose a request is: the owner of the GPUs that served it, and which of its attributes requests are told.

Of GPUs with one owner in common it is that one's. Where there are several, the container or pod that the sender names
decides, and then the control group of the processes that it names. What nothing decides is nobody's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from agent.catalogue.owners import GPU_OWNER
from agent.entity import attributes, attributes_of
from agent.metric import Series
from agent.otlp.values import span_attribute
from agent.owner_entities import GpuOwner, Owner
from agent.processors.clues import Clues
from agent.processors.kinship import Device
from agent.snapshot import Snapshot, Source
from agent.system.cgroup import Cgroup

COLLECTOR = "owners"
_SHORTEST_ID = 12
"""Characters of a container id that Docker shows."""


class Labelled(NamedTuple):
    """An owner: its key, and of its attributes those that requests are told."""

    key: str
    labels: Owner


class _Known(NamedTuple):
    """The owners that are in some series: by device and key."""

    series: tuple[Series, ...]
    owners: Mapping[str, Mapping[str, GpuOwner]]


class OwnerLookup:
    """Finds owners in what the collector of owners said last. Any thread may ask."""

    def __init__(self, snapshot: Callable[[], Snapshot], labels: Sequence[str]) -> None:
        """Tell requests the attributes named in `labels`."""
        self._snapshot = snapshot
        self._told = [attribute.name in labels for attribute in attributes_of(Owner)]
        self._last = _Known((), {})

    def known(self) -> bool:
        """Say whether owners have been read."""
        return Source(COLLECTOR) in self._snapshot().batches

    def of(
        self, devices: Iterable[Device], clues: Clues, groups: Callable[[], Iterable[Cgroup]] = tuple
    ) -> Labelled | None:
        """Find whose a request is that these devices served. `groups` gives control groups of its processes."""
        owners = self._known().owners
        each = [owners.get(device.id, {}) for device in devices]
        common = set.intersection(*(set(one) for one in each)) if each else set()
        found = {key: each[0][key] for key in common}
        for way in (_by_clues(clues), *map(_by_group, groups() if len(found) > 1 else ())):
            if len(found) > 1 and (fitting := {key: one for key, one in found.items() if way(one.who)}):
                found = fitting
        if len(found) != 1:
            return None
        ((key, one),) = found.items()
        return Labelled(key, self._labels(one.who))

    def _labels(self, who: Owner) -> Owner:
        return Owner(*(value if told else None for value, told in zip(who, self._told, strict=True)))

    def _known(self) -> "_Known":
        """Read the owners where they are others than before: a batch keeps its series while it says the same."""
        batch = self._snapshot().batches.get(Source(COLLECTOR))
        series = batch.series if batch else ()
        known = self._last
        if series is not known.series:
            owners: dict[str, dict[str, GpuOwner]] = {}
            for metric, entity in series:
                if metric is GPU_OWNER and isinstance(entity, GpuOwner):
                    owners.setdefault(entity.device, {})[entity.key] = entity
            self._last = known = _Known(series, owners)
        return known


def owner_attributes(owner: Owner, span: Mapping[str, Any]) -> bytes:
    """Encode an owner's attributes as those of a span, without those that it has already."""
    each, whole = _encoded(owner)
    if span.keys().isdisjoint(each):
        return whole
    return b"".join(encoded for name, encoded in each.items() if name not in span)


@lru_cache(1024)
def _encoded(owner: Owner) -> tuple[Mapping[str, bytes], bytes]:
    each = {name: span_attribute(name, value) for name, value in attributes(owner)}
    return each, b"".join(each.values())


def _by_clues(clues: Clues) -> Callable[[Owner], bool]:
    container = clues.container if clues.container and len(clues.container) >= _SHORTEST_ID else None

    def fits(who: Owner) -> bool:
        if container and who.container:
            return who.container.startswith(container)
        return clues.pod is not None and clues.pod == who.pod_uid

    return fits


def _by_group(group: Cgroup) -> Callable[[Owner], bool]:
    def fits(who: Owner) -> bool:
        if group.slurm_job is not None:
            return (group.slurm_job, group.slurm_step) == (who.slurm_job, who.slurm_step)
        if group.container is not None:
            return group.container == who.container
        return group.unit is not None and group.unit == who.unit

    return fits
