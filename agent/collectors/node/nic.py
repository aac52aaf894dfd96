# SPDX-License-Identifier: Apache-2.0
"""Network interfaces as the kernel sees them: traffic, errors, drops, link, speed and what they are."""

from collections.abc import Iterator
from typing import NamedTuple

from agent.catalogue.nic import (
    BOND_MEMBERS,
    CARRIER_CHANGES,
    NETWORK_BANDWIDTH,
    NETWORK_IO,
    NETWORK_PACKETS,
    NETWORK_UP,
    NIC_DROPPED,
    NIC_ERROR_KINDS,
    NIC_ERRORS,
    NIC_INFO,
    NIC_MTU,
    NIC_TEMPERATURE,
    NICS_LEFT_OUT,
    VIRTUAL_FUNCTIONS,
)
from agent.clock import NS
from agent.collectors.nic_choice import choose
from agent.collectors.node import Node, NodeCollector, Read
from agent.errors import JoulespanError
from agent.metric import Sample, Series
from agent.network_entities import Nic, NicError, NicErrorKind, NicInfo, NicIo, NicMembers, NicSensor, NicsLeftOut
from agent.system.ethtool import Ethtool, KernelEthtool
from agent.system.netdevs import STATISTICS, Interface, NetDevices, SysNetDevices
from agent.system.pci import address_in

_SLOW = 10 * NS
"""ns between readings of what seldom changes, or what the driver takes a lock for."""
_GOLDEN = 0.618
"""Multiples of it fill a circle evenly."""
_ANEW = 60 * NS
"""ns after which everything is described anew."""


class _Known(NamedTuple):
    """An interface, and its series in the order of Traffic's fields."""

    about: Interface
    nic: Nic
    traffic: tuple[Series, ...]
    up: Series
    changes: Series
    info: Sample


class NicReader:
    """Reads the interfaces that are wanted. What seldom changes is read each 10 s, of one interface after the other."""

    def __init__(self, node: Node, devices: NetDevices, ethtool: Ethtool) -> None:
        """Read from `devices`, and firmware versions through `ethtool`."""
        self._node = node
        self._devices = devices
        self._ethtool = ethtool
        self._found: object = None
        self._known: dict[str, _Known] = {}
        self._left_out: list[Sample] = []
        self._described = 0
        self._slow: dict[str, tuple[int, int | None, list[Sample]]] = {}

    def read(self) -> list[Sample]:
        """Read all. One file that cannot be read costs its series."""
        now = self._node.clock.monotonic_ns()
        self._look(now)
        traffic = self._devices.traffic()
        found = list(self._left_out)
        for name, known in self._known.items():
            found.append(known.info)
            if counters := traffic.get(name):
                found.extend(map(Sample, known.traffic, counters))
            up = self._node.ask(self._devices.up, known.about)
            if up is not None:
                found.append(Sample(known.up, up))
            changes = self._node.ask(self._devices.carrier_changes, known.about)
            if changes is not None:
                found.append(Sample(known.changes, changes))
            found.extend(self._seldom(known, now, changes))
        return found

    def _look(self, now: int) -> None:
        """See which interfaces there are."""
        anew = now - self._described >= _ANEW or not self._described
        found = self._devices.scan(anew=anew)
        if anew:
            self._described = now
        if found is self._found:
            return
        self._found = found
        chosen = choose(found, self._node.settings)
        before = self._known
        self._known = {
            one.name: known if (known := before.get(one.name)) and known.about == one else self._describe(one)
            for one in chosen.nics
        }
        self._slow = {name: kept for name, kept in self._slow.items() if before.get(name) is self._known.get(name)}
        self._left_out = [NICS_LEFT_OUT(NicsLeftOut(kind), number) for kind, number in sorted(chosen.left_out.items())]

    def _describe(self, one: Interface) -> _Known:
        nic = Nic(one.id, one.name)
        ways = ("receive", "transmit")
        series = [
            (
                NETWORK_IO.series(NicIo(nic, way)),
                NETWORK_PACKETS.series(NicIo(nic, way)),
                NIC_ERRORS.series(NicError(nic, "interface", way)),
                NIC_DROPPED.series(NicIo(nic, way)),
            )
            for way in ways
        ]
        info = NicInfo(
            nic,
            one.kind,
            parent=one.parent,
            driver=one.driver,
            firmware=self._firmware(one),
            model=one.model,
            pci=one.pci,
            numa=one.numa,
            address=one.address,
            rdma=one.rdma,
        )
        up, changes = NETWORK_UP.series(nic), CARRIER_CHANGES.series(nic)
        return _Known(one, nic, (*series[0], *series[1]), up, changes, NIC_INFO(info, 1))

    def _firmware(self, one: Interface) -> str | None:
        if one.pci is None:
            return None
        try:
            return self._ethtool.driver(one.name).firmware or None
        except JoulespanError:
            return None

    def _seldom(self, known: _Known, now: int, changes: int | None) -> list[Sample]:
        """Give what is read each 10 s, and again when the link changed."""
        name = known.about.name
        read, before, samples = self._slow.get(name, (None, None, []))
        if read is None or now - read >= _SLOW or changes != before:
            # At first all of them are read, and from then on each at its own time.
            at = now if read is not None else now - int(len(self._slow) * _GOLDEN % 1 * _SLOW)
            samples = list(self._read_seldom(known))
            self._slow[name] = (at, changes, samples)
        return samples

    def _read_seldom(self, known: _Known) -> Iterator[Sample]:
        about, nic, devices, ask = known.about, known.nic, self._devices, self._node.ask
        if (speed := ask(devices.speed, about)) is not None:
            yield NETWORK_BANDWIDTH(nic, speed)
        if (mtu := ask(devices.mtu, about)) is not None:
            yield NIC_MTU(nic, mtu)
        if about.kind == "bond" and (members := ask(devices.members, about)) is not None:
            yield BOND_MEMBERS(NicMembers(nic, "up"), members.up)
            yield BOND_MEMBERS(NicMembers(nic, "down"), members.down)
        if about.kind != "physical":
            return
        if (functions := ask(devices.virtual_functions, about)) is not None:
            yield VIRTUAL_FUNCTIONS(nic, functions)
        for location, celsius in ask(devices.temperatures, about) or ():
            yield NIC_TEMPERATURE(NicSensor(nic, location), celsius)
        for file in STATISTICS:
            if (count := ask(devices.statistic, about, file)) is not None:
                way, _, kind = file.removesuffix("_errors").partition("_")
                direction = "receive" if way == "rx" else "transmit"
                yield NIC_ERROR_KINDS(NicErrorKind(nic, kind, direction), count)


def _open(node: Node) -> Read:
    if node.simulated_since is not None:
        from agent.simulation.nics import simulated_nics  # noqa: PLC0415 - only the demo has them

        simulated = simulated_nics(node.simulated_since, node.clock)
        return NicReader(node, simulated, simulated).read
    return NicReader(node, SysNetDevices(node.root), KernelEthtool()).read


def _on_the_bus(device: str) -> bool:
    """Requests are joined with NICs that are near GPUs: those on the PCI bus."""
    return address_in(device) is not None


COLLECTOR = NodeCollector("nic", _open, history=frozenset({NETWORK_IO}), remembered=_on_the_bus)
