# SPDX-License-Identifier: Apache-2.0
"""RDMA devices from /sys/class/infiniband: InfiniBand and RoCE ports, what they are and what they count.

Source: Documentation/ABI/stable/sysfs-class-infiniband of Linux. Files under `counters` are of the port; those under
`hw_counters` of the device's own choice, mlx5's in drivers/infiniband/hw/mlx5/counters.c.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from agent.errors import JoulespanError, NotSupported, Unavailable
from agent.system import sysfs
from agent.system.pci import address_in
from agent.system.sysfs import KeptFiles

WORD = 4
"""Bytes in which port_xmit_data and port_rcv_data count."""
_STATE = re.compile(r"(?P<number>\d+): (?P<name>[A-Za-z0-9_ ]+)")
_RATE = re.compile(r"(?P<gigabits>\d+(?:\.\d+)?) Gb/sec.*")
_GIGA = 1_000_000_000
_BITS = 8
_LOWEST_GID = 16
_SUB_FUNCTION = re.compile(r"\w+\.sf\.\d+")


class Port(NamedTuple):
    """A port of a device. `virtual` is of a virtual function, whose user is a container or a machine."""

    device: str
    number: int
    id: str
    folder: str
    driver: str | None
    virtual: bool


class About(NamedTuple):
    """What a port is; None what it does not say."""

    layer: str | None = None
    node_guid: str | None = None
    port_guid: str | None = None
    nic: str | None = None
    gid_type: str | None = None
    firmware: str | None = None
    model: str | None = None


class RdmaPorts(Protocol):
    """The RDMA ports of a node. Every reading raises NotSupported, NoPermission or Unavailable."""

    def scan(self, *, anew: bool = False) -> Sequence[Port]:
        """List the ports: the same object as before while no device came or went. With `anew` nothing is kept."""
        ...

    def about(self, port: Port) -> About:
        """Tell what a port is."""
        ...

    def files(self, port: Port) -> Sequence[str]:
        """List its counters, as `counters/NAME` and `hw_counters/NAME`."""
        ...

    def counter(self, port: Port, file: str) -> int:
        """Read one of them, as it stands in the file."""
        ...

    def state(self, port: Port) -> str:
        """Tell the port's state: down, init, armed, active, active_defer."""
        ...

    def link_state(self, port: Port) -> str:
        """Tell the link's state: sleep, polling, disabled, linkup, …."""
        ...

    def rate(self, port: Port) -> float:
        """Read its speed in one direction, By/s."""
        ...


class SysRdmaPorts:
    """Reads /sys below a root."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Read nothing yet."""
        self._class = f"{str(root).rstrip('/')}/sys/class/infiniband"
        self._files = KeptFiles()
        self._links: dict[str, int] = {}
        self._ports: tuple[Port, ...] = ()

    def scan(self, *, anew: bool = False) -> Sequence[Port]:
        """See RdmaPorts. Raises NotSupported where the node has no RDMA."""
        try:
            with os.scandir(self._class) as entries:
                links = {entry.name: entry.inode() for entry in entries}
        except OSError as error:
            raise sysfs.failure(self._class, error) from error
        if anew or links != self._links:
            for port in self._ports:
                self._files.forget(port.folder)
            self._links = links
            ports = tuple(port for name in sorted(links) for port in _ports(f"{self._class}/{name}", name))
            self._ports = self._ports if ports == self._ports else ports
        return self._ports

    def about(self, port: Port) -> About:
        """See RdmaPorts."""
        device = port.folder.rpartition("/ports/")[0]
        kind, board = sysfs.maybe(f"{device}/hca_type"), sysfs.maybe(f"{device}/board_id")
        gid = sysfs.maybe(f"{port.folder}/gids/0") or ""
        types = {sysfs.maybe(f"{port.folder}/gid_attrs/types/{number}") for number in range(_LOWEST_GID)}
        found = [sysfs.maybe(f"{port.folder}/gid_attrs/ndevs/{number}") for number in range(_LOWEST_GID)]
        return About(
            layer=sysfs.maybe(f"{port.folder}/link_layer"),
            node_guid=sysfs.maybe(f"{device}/node_guid"),
            port_guid=":".join(gid.split(":")[4:]) or None,
            nic=next((name for name in found if name), None) or _interface(device, port.number),
            gid_type=",".join(sorted(kind for kind in types if kind)) or None,
            firmware=sysfs.maybe(f"{device}/fw_ver"),
            model=" ".join(part for part in (kind, board) if part) or None,
        )

    def files(self, port: Port) -> Sequence[str]:
        """See RdmaPorts."""
        return [
            f"{group}/{name}"
            for group in ("counters", "hw_counters")
            for name in sorted(_names(f"{port.folder}/{group}"))
            if name != "lifespan"
        ]

    def counter(self, port: Port, file: str) -> int:
        """See RdmaPorts."""
        value = self._files.number(port.folder, file)
        if value < 0:
            raise Unavailable(f"{port.folder}/{file}: is negative")
        return value

    def state(self, port: Port) -> str:
        """See RdmaPorts."""
        return _state(self._files.content(port.folder, "state"), f"{port.folder}/state")

    def link_state(self, port: Port) -> str:
        """See RdmaPorts."""
        return _state(self._files.content(port.folder, "phys_state"), f"{port.folder}/phys_state")

    def rate(self, port: Port) -> float:
        """See RdmaPorts. The file is like `400 Gb/sec (4X NDR)`."""
        told = self._files.content(port.folder, "rate").decode("ascii", "replace").strip()
        return parse_rate(told, f"{port.folder}/rate")


def parse_rate(told: str, where: str = "rate") -> float:
    """Read a rate, By/s. Raises Unavailable; NotSupported where it is 0, as without a link."""
    found = _RATE.fullmatch(told)
    if not found or len(found["gigabits"]) > 9:  # noqa: PLR2004 - more are no rate
        raise Unavailable(f"{where}: is no rate")
    rate = float(found["gigabits"]) * _GIGA / _BITS
    if not rate:
        raise NotSupported(f"{where}: no link")
    return rate


def parse_state(told: str) -> str | None:
    """Read a state, as in `4: ACTIVE`; None where it is none."""
    found = _STATE.fullmatch(told.strip())
    return found["name"].strip().lower().replace(" ", "_") if found else None


def _state(raw: bytes, where: str) -> str:
    state = parse_state(raw.decode("ascii", "replace"))
    if not state:
        raise Unavailable(f"{where}: is no state")
    return state


def _ports(folder: str, name: str) -> list[Port]:
    real = os.path.realpath(f"{folder}/device")
    pci = address_in(real)
    inner = os.path.basename(real)  # noqa: PTH119 - text throughout
    identity = name if pci is None else pci if inner == pci else f"{pci}/{inner}"
    virtual = os.path.lexists(f"{folder}/device/physfn") or bool(_SUB_FUNCTION.fullmatch(inner))
    driver = sysfs.target(f"{folder}/device/driver")
    numbers = sorted(int(one) for one in _names(f"{folder}/ports") if re.fullmatch(r"[0-9]{1,3}", one))
    return [
        # As the network interface of a port that is not the first is called.
        Port(name, n, identity if n < 2 else f"{identity}/{n - 1}", f"{folder}/ports/{n}", driver, virtual)  # noqa: PLR2004
        for n in numbers
    ]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - text throughout
    except OSError:
        return []


def _interface(device: str, number: int) -> str | None:
    """Find the port's interface where no GID names it, as on InfiniBand: that of the same function and port."""
    for name in sorted(_names(f"{device}/device/net")):
        try:
            port = sysfs.number(f"{device}/device/net/{name}/dev_port")
        except JoulespanError:
            port = 0
        if port == number - 1:
            return name
    return None
