# SPDX-License-Identifier: Apache-2.0
"""RDMA ports, InfiniBand and RoCE: traffic, congestion, loss, errors, state and speed."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from agent.catalogue.own import SERIES_DROPPED
from agent.catalogue.rdma import (
    RDMA_BANDWIDTH,
    RDMA_CNP,
    RDMA_ECN_MARKED,
    RDMA_INFO,
    RDMA_IO,
    RDMA_LINK_STATE,
    RDMA_RETRANSMITS,
    RDMA_STATE,
    RDMA_UP,
)
from agent.clock import NS
from agent.collectors.groups import LeftOut
from agent.collectors.node import Node, NodeCollector, Read
from agent.collectors.rdma_names import Whole, meaning, wraps
from agent.config import NodeSettings
from agent.entities import Collector
from agent.metric import Sample, Series
from agent.network_entities import RdmaInfo, RdmaPort, RdmaState
from agent.system.rdma import Port, RdmaPorts, SysRdmaPorts

_ANEW = 60 * NS
"""ns after which what the ports are, and which counters they have, is looked up anew."""
NAME = "rdma"
MOST = 256
"""Ports that are read."""
_OF_A_PORT = 24
"""Series that a port has, about."""


class _Counter(NamedTuple):
    """A file that is published."""

    file: str
    series: Series
    scale: int
    whole: Whole | None


class _Known(NamedTuple):
    """A port with its counters."""

    port: Port
    entity: RdmaPort
    info: Sample
    counters: tuple[_Counter, ...]


class RdmaReader:
    """Reads the ports that are wanted."""

    def __init__(self, node: Node, ports: RdmaPorts) -> None:
        """Read from `ports`."""
        self._node = node
        self._ports = ports
        self._known: list[_Known] = []
        self._found: object = None
        self._looked: int | None = None
        self._whole: dict[Series, Whole] = {}
        self._left_out = LeftOut()

    def read(self) -> Iterator[Sample]:
        """Read all. One file that cannot be read costs its series."""
        self._look()
        for known in self._known:
            yield known.info
            yield from self._state(known)
            for file, series, scale, whole in known.counters:
                value = self._node.ask(self._ports.counter, known.port, file)
                if value is not None:
                    yield Sample(series, (whole.take(value) if whole else value) * scale)
        yield SERIES_DROPPED(Collector(NAME), self._left_out.total)

    def _look(self) -> None:
        now = self._node.clock.monotonic_ns()
        anew = self._looked is None or now - self._looked >= _ANEW
        found = self._ports.scan(anew=anew)
        if found is self._found and not anew:
            return
        self._found, self._looked = found, now
        wanted = [port for port in found if _wanted(port, self._node.settings)]
        self._left_out.note("ports", max(0, len(wanted) - MOST) * _OF_A_PORT)
        self._known = [self._describe(port) for port in wanted[:MOST]]
        there = {one.series for known in self._known for one in known.counters}
        self._whole = {series: whole for series, whole in self._whole.items() if series in there}

    def _describe(self, port: Port) -> _Known:
        entity = RdmaPort(port.id, port.device, port.number)
        about = self._ports.about(port)
        info = RdmaInfo(
            entity,
            layer=about.layer,
            node_guid=about.node_guid,
            port_guid=about.port_guid,
            nic=about.nic,
            firmware=about.firmware,
            model=about.model,
            gid_type=about.gid_type,
        )
        counters: dict[Series, _Counter] = {}
        for file in self._ports.files(port):
            if meant := meaning(file):
                series = meant.series(entity)
                whole = self._whole.setdefault(series, Whole()) if wraps(file, port.driver) else None
                counters.setdefault(series, _Counter(file, series, meant.scale, whole))
        return _Known(port, entity, RDMA_INFO(info, 1), tuple(counters.values()))

    def _state(self, known: _Known) -> Iterator[Sample]:
        port, entity, ask = known.port, known.entity, self._node.ask
        if state := ask(self._ports.state, port):
            yield RDMA_UP(entity, state == "active")
            yield RDMA_STATE(RdmaState(entity, state), 1)
        if link := ask(self._ports.link_state, port):
            yield RDMA_LINK_STATE(RdmaState(entity, link), 1)
        if (rate := ask(self._ports.rate, port)) is not None:
            yield RDMA_BANDWIDTH(entity, rate)


def _wanted(port: Port, settings: NodeSettings) -> bool:
    if any(fnmatchcase(port.device, pattern) for pattern in settings.exclude):
        return False
    if settings.include:
        return any(fnmatchcase(port.device, pattern) for pattern in settings.include)
    return not port.virtual


def _open(node: Node) -> Read:
    if node.simulated_since is not None:
        from agent.simulation.nics import SimulatedPorts, simulated_nics  # noqa: PLC0415 - only the demo has them

        return RdmaReader(node, SimulatedPorts(simulated_nics(node.simulated_since, node.clock))).read
    return RdmaReader(node, SysRdmaPorts(node.root)).read


COLLECTOR = NodeCollector(
    NAME, _open, history=frozenset({RDMA_INFO, RDMA_IO, RDMA_ECN_MARKED, RDMA_CNP, RDMA_RETRANSMITS})
)
