# SPDX-License-Identifier: Apache-2.0
"""Which port of which switch each network interface of this node is connected to, by LLDP of either end."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from agent.catalogue.nic import NIC_INFO
from agent.catalogue.switch import LINK, NEIGHBOUR
from agent.metric import Sample
from agent.network_entities import Nic, NicInfo
from agent.snapshot import Snapshot
from agent.switch_entities import SwitchLink, SwitchNeighbour


class Heard(NamedTuple):
    """What this host's LLDP heard at one of its interfaces."""

    interface: str
    switch: str
    port: str


def links(snapshot: Snapshot, heard: Iterable[Heard], names: Iterable[str]) -> Iterator[Sample]:
    """Join interfaces and ports. `names` are those that this host goes by.

    An interface has one link: what the switch tells counts, and what the host heard where no switch tells.
    """
    nics, told = _look(snapshot)
    found: dict[Nic, SwitchLink] = {}
    for one in heard:
        if (nic := nics.by_name.get(one.interface)) is not None:
            found[nic] = SwitchLink(nic, one.switch, one.port, "host")
    ours = {name.lower() for name in names if name}
    for neighbour in told:
        if (nic := _nic(neighbour, nics, ours)) is not None:
            found[nic] = SwitchLink(nic, neighbour.switch, neighbour.port, "switch")
    for link in found.values():
        yield LINK(link, 1)


class _Nics(NamedTuple):
    by_name: Mapping[str, Nic]
    by_address: Mapping[str, Nic | None]
    """None where several have the address: a bond and its parts."""


def _look(snapshot: Snapshot) -> tuple[_Nics, list[SwitchNeighbour]]:
    by_name: dict[str, Nic] = {}
    by_address: dict[str, Nic | None] = {}
    told: list[SwitchNeighbour] = []
    for source, batch in snapshot.batches.items():
        if source.collector not in {"nic", "switches"}:
            continue
        for metric, entity in batch.series:
            if metric is NIC_INFO:
                assert isinstance(entity, NicInfo)
                by_name[entity.nic.name] = entity.nic
                if entity.address:
                    address = entity.address.lower()
                    by_address[address] = None if address in by_address else entity.nic
            elif metric is NEIGHBOUR:
                assert isinstance(entity, SwitchNeighbour)
                told.append(entity)
    return _Nics(by_name, by_address), told


def _nic(neighbour: SwitchNeighbour, nics: _Nics, ours: set[str]) -> Nic | None:
    port = neighbour.neighbour or ""
    # A MAC address is this host's own, whatever name it goes by; eth0 is everybody's.
    if (nic := nics.by_address.get(port.lower())) is not None:
        return nic
    system = (neighbour.system or "").lower()
    if system in ours or system.partition(".")[0] in ours:
        return nics.by_name.get(port)
    return None
