# SPDX-License-Identifier: Apache-2.0
"""Network interfaces as their drivers and firmware see them: the port, pauses, marks, discards, PCIe and RDMA bytes."""

from collections.abc import Iterator
from typing import NamedTuple

from agent.catalogue.nic import ECN_RECEIVED, NIC_RDMA_IO, STATISTICS_UNKNOWN
from agent.clock import NS
from agent.collectors.ethtool_names import Place, places
from agent.collectors.nic_choice import HARDWARE, choose
from agent.collectors.node import Node, NodeCollector, Read
from agent.errors import NotSupported, Unavailable
from agent.metric import Sample
from agent.network_entities import Nic
from agent.system.ethtool import Ethtool, KernelEthtool
from agent.system.netdevs import NetDevices, SysNetDevices

_AGAIN = 600 * NS
"""ns after which a driver without statistics, or with those that another firmware brought, is asked for their names."""


class _Known(NamedTuple):
    """An interface, how many statistics it has, and which of them are published. None of them: it has none."""

    nic: Nic
    total: int
    places: tuple[Place, ...]
    unknown: Sample | None
    asked: int


class EthtoolReader:
    """Reads the statistics of the interfaces that are wanted. Their names are asked for once."""

    def __init__(self, node: Node, devices: NetDevices, ethtool: Ethtool) -> None:
        """Read the interfaces of `devices` through `ethtool`."""
        self._node = node
        self._devices = devices
        self._ethtool = ethtool
        self._found: object = None
        self._wanted: tuple[Nic, ...] = ()
        self._known: dict[Nic, _Known] = {}

    def read(self) -> Iterator[Sample]:
        """Read all. One interface that fails costs its series."""
        found = self._devices.scan()
        if found is not self._found:
            self._found = found
            chosen = choose(found, self._node.settings, HARDWARE)
            self._wanted = tuple(Nic(one.id, one.name) for one in chosen.nics)
            self._known = {nic: known for nic, known in self._known.items() if nic in self._wanted}
        now = self._node.clock.monotonic_ns()
        for nic in self._wanted:
            try:
                yield from self._statistics(nic, now)
            except Unavailable as error:
                # The names may be others by now.
                self._known.pop(nic, None)
                self._node.failed(error)

    def _statistics(self, nic: Nic, now: int) -> list[Sample]:
        known = self._known.get(nic)
        if known is None or now - known.asked > _AGAIN:
            known = self._known[nic] = self._learn(nic, now)
        if known.unknown is None:
            return []
        if not known.places:  # Nobody needs to be asked for what is not told.
            return [known.unknown]
        try:
            values = self._ethtool.values(nic.name, known.total)
        except NotSupported:
            return []
        samples = [
            Sample(series, values[at] * scale) for at, series, scale, used in known.places if values[at] or not used
        ]
        return [*samples, known.unknown]

    def _learn(self, nic: Nic, now: int) -> _Known:
        try:
            names = self._ethtool.names(nic.name)
        except NotSupported:
            return _Known(nic, 0, (), None, now)
        found = tuple(places(nic, names))
        return _Known(nic, len(names), found, STATISTICS_UNKNOWN(nic, len(names) - len(found)), now)


def _open(node: Node) -> Read:
    if node.simulated_since is not None:
        from agent.simulation.nics import simulated_nics  # noqa: PLC0415 - only the demo has them

        simulated = simulated_nics(node.simulated_since, node.clock)
        return EthtoolReader(node, simulated, simulated).read
    return EthtoolReader(node, SysNetDevices(node.root), KernelEthtool()).read


COLLECTOR = NodeCollector("ethtool", _open, history=frozenset({NIC_RDMA_IO, ECN_RECEIVED}))
