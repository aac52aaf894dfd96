# SPDX-License-Identifier: Apache-2.0
"""Which NICs are near which GPUs, from the PCIe tree and NUMA: NVML can tell it of GPUs only."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from agent.catalogue.affinity import GPU_NIC_INFO
from agent.catalogue.gpu import GPU_INFO
from agent.catalogue.own import SERIES_DROPPED
from agent.collectors.groups import LeftOut
from agent.collectors.nic_choice import HARDWARE, choose
from agent.collectors.node import Node, NodeCollector, Read
from agent.entities import Collector, Gpu, GpuInfo
from agent.errors import NotSupported
from agent.metric import Sample
from agent.network_entities import GpuNic
from agent.snapshot import Snapshot
from agent.system.netdevs import NetDevices, SysNetDevices
from agent.system.pci import Bus, Function, SysBus, nearness
from agent.system.rdma import RdmaPorts, SysRdmaPorts

NAME = "affinity"
_MOST = 64
"""NICs that are compared with every GPU."""


class _Nic(NamedTuple):
    """A NIC: a network interface, an RDMA device, or both."""

    id: str
    interface: str | None
    rdma: str | None
    function: Function


class Affinity:
    """Compares places of GPUs and NICs."""

    def __init__(self, node: Node, devices: NetDevices, ports: RdmaPorts, bus: Bus) -> None:
        """Compare what `devices` and `ports` list with the GPUs of the snapshot, on `bus`."""
        self._node = node
        self._devices = devices
        self._ports = ports
        self._bus = bus
        self._left_out = LeftOut()

    def read(self) -> Iterator[Sample]:
        """Compare all. GPUs that the bus does not have, as on another machine's, have no NICs."""
        nics, there = self._nics(), gpus(self._node.snapshot())
        self._left_out.note("nics", max(0, len(nics) - _MOST) * len(there))
        for info in there:
            place = self._bus.function(info.pci) if info.pci else None
            if place is not None:
                yield from compared(info.gpu, place, nics[:_MOST])
        yield SERIES_DROPPED(Collector(NAME), self._left_out.total)

    def _nics(self) -> Sequence[_Nic]:
        found: dict[str, _Nic] = {}
        for nic in choose(self._devices.scan(), self._node.settings, HARDWARE).nics:
            if nic.pci and (function := self._bus.function(nic.pci)):
                found[nic.id] = _Nic(nic.id, nic.name, nic.rdma, function)
        # InfiniBand need not have a network interface.
        for pci, port in self._rdma().items():
            if port not in {nic.rdma for nic in found.values()} and (function := self._bus.function(pci)):
                found[pci] = _Nic(pci, None, port, function)
        return list(found.values())

    def _rdma(self) -> Mapping[str, str]:
        try:
            return {port.id: port.device for port in self._ports.scan() if not port.virtual}
        except NotSupported:
            return {}


def gpus(snapshot: Snapshot) -> list[GpuInfo]:
    """List what is known of the GPUs."""
    series = (one for batch in snapshot.batches.values() for one in batch.series if one.metric is GPU_INFO)
    return [one.entity for one in series if isinstance(one.entity, GpuInfo)]


def compared(gpu: Gpu, place: Function, nics: Sequence[_Nic]) -> Iterator[Sample]:
    """Say how near each NIC is to a GPU, and which are the nearest."""
    paths = {nic.id: nearness(place, nic.function) for nic in nics}
    best = min(paths.values(), default=None)
    for nic in nics:
        path = paths[nic.id]
        nearest = "true" if path == best else "false"
        yield GPU_NIC_INFO(GpuNic(gpu, nic.id, nic.interface, nic.rdma, path.name, nearest), 1)


def _open(node: Node) -> Read:
    if node.simulated_since is not None:
        from agent.simulation.nics import SimulatedPorts, simulated_nics  # noqa: PLC0415 - only the demo has them

        simulated = simulated_nics(node.simulated_since, node.clock)
        return Affinity(node, simulated, SimulatedPorts(simulated), simulated).read
    return Affinity(node, SysNetDevices(node.root), SysRdmaPorts(node.root), SysBus(node.root)).read


COLLECTOR = NodeCollector(NAME, _open, history=frozenset({GPU_NIC_INFO}))
