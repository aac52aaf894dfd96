# SPDX-License-Identifier: Apache-2.0
"""Network interfaces of this network namespace, from /sys/class/net: what each is, and what the kernel says of it."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from agent.errors import NotSupported, Unavailable
from agent.system import net_dev, sysfs
from agent.system.net_dev import Traffic
from agent.system.pci import address_in, numa_node
from agent.system.sysfs import KeptFiles

_REPRESENTOR = re.compile(r"(c\d+)?pf\d+(vf\d+|sf\d+|hpf)")
_SUB_FUNCTION = re.compile(r"\w+\.sf\.\d+")
_LOOPBACK = "772"
_TABLE = 4 << 20
"""Bytes; /proc/net/dev of 20 000 interfaces."""
_BITS = 8
_MEGA = 1_000_000
STATISTICS = (
    "rx_crc_errors",
    "rx_frame_errors",
    "rx_fifo_errors",
    "rx_missed_errors",
    "tx_aborted_errors",
    "tx_carrier_errors",
    "tx_fifo_errors",
)
"""Files of `statistics` that tell kinds of errors, which /proc/net/dev adds up; those that still happen."""


class Interface(NamedTuple):
    """What an interface is. `id` stays when it is renamed, where it has a PCI function; `folder` is in /sys."""

    name: str
    id: str
    kind: str
    folder: str
    parent: str | None = None
    pci: str | None = None
    driver: str | None = None
    model: str | None = None
    numa: int | None = None
    address: str | None = None
    rdma: str | None = None


class Members(NamedTuple):
    """The members of a bond, by whether their link is up."""

    up: int
    down: int


class NetDevices(Protocol):
    """The network interfaces of a node. Every reading raises NotSupported, NoPermission or Unavailable."""

    def scan(self, *, anew: bool = False) -> Sequence[Interface]:
        """List the interfaces: the same object as before while none came, went or was renamed.

        What is kept of an interface may be old where a bond took it in: with `anew` nothing is kept.
        """
        ...

    def traffic(self) -> Mapping[str, Traffic]:
        """Read the counters of all, by name."""
        ...

    def up(self, nic: Interface) -> bool:
        """Tell whether it is up and has a carrier."""
        ...

    def carrier_changes(self, nic: Interface) -> int:
        """Count how often it got or lost its carrier."""
        ...

    def speed(self, nic: Interface) -> float:
        """Read its speed in one direction, By/s."""
        ...

    def mtu(self, nic: Interface) -> int:
        """Read the size of its largest packet, bytes."""
        ...

    def statistic(self, nic: Interface, name: str) -> int:
        """Read one of STATISTICS."""
        ...

    def temperatures(self, nic: Interface) -> Sequence[tuple[str, float]]:
        """Read its sensors: place and degrees Celsius."""
        ...

    def members(self, nic: Interface) -> Members:
        """Count the members of a bond."""
        ...

    def virtual_functions(self, nic: Interface) -> int:
        """Count the virtual functions that it is divided into."""
        ...


class SysNetDevices:
    """Reads /sys and /proc below a root."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Read nothing yet."""
        self._net = f"{str(root).rstrip('/')}/sys/class/net"
        self._table = f"{str(root).rstrip('/')}/proc/net/dev"
        self._files = KeptFiles()
        self._links: dict[str, int] = {}
        self._known: dict[str, Interface] = {}
        self._listed: tuple[Interface, ...] = ()

    def scan(self, *, anew: bool = False) -> Sequence[Interface]:
        """See NetDevices. A link that was made anew, as renaming does, has another inode."""
        try:
            with os.scandir(self._net) as entries:
                # Beside the interfaces there may be files: bonding_masters.
                links = {entry.name: entry.inode() for entry in entries if entry.is_symlink() or entry.is_dir()}
        except OSError as error:
            raise sysfs.failure(self._net, error) from error
        if anew or links != self._links:
            same: set[str] = (
                set() if anew else {name for name, inode in links.items() if self._links.get(name) == inode}
            )
            for name in self._links.keys() - same:
                self._files.forget(f"{self._net}/{name}")
            self._known = {
                name: self._known[name] if name in same else _describe(f"{self._net}/{name}", name)
                for name in sorted(links)
            }
            self._links = links
            listed = tuple(self._known.values())
            self._listed = self._listed if listed == self._listed else listed
        return self._listed

    def traffic(self) -> Mapping[str, Traffic]:
        """See NetDevices."""
        return net_dev.parse(_whole(self._table))

    def up(self, nic: Interface) -> bool:
        """See NetDevices. Interfaces without a link of their own say `unknown` and have a carrier."""
        state = self._files.content(nic.folder, "operstate").strip()
        return state == b"up" or (state == b"unknown" and sysfs.maybe(f"{nic.folder}/carrier") == "1")

    def carrier_changes(self, nic: Interface) -> int:
        """See NetDevices."""
        return self._files.number(nic.folder, "carrier_changes")

    def speed(self, nic: Interface) -> float:
        """See NetDevices. The file is in Mb/s, and -1 or an error where there is no link."""
        speed = sysfs.number(f"{nic.folder}/speed")
        if not 0 < speed < 1 << 31:
            raise NotSupported(f"{nic.folder}/speed: no link")
        return speed * _MEGA / _BITS

    def mtu(self, nic: Interface) -> int:
        """See NetDevices."""
        return sysfs.number(f"{nic.folder}/mtu")

    def statistic(self, nic: Interface, name: str) -> int:
        """See NetDevices."""
        return self._files.number(nic.folder, f"statistics/{name}")

    def temperatures(self, nic: Interface) -> Sequence[tuple[str, float]]:
        """See NetDevices. Files are in thousandths of a degree; mlx5 labels its own `asic`, others `Module0`."""
        found = []
        for place in _entries(f"{nic.folder}/device/hwmon"):
            for file in _entries(place):
                if re.fullmatch(r"temp\d+_input", os.path.basename(file)):  # noqa: PTH119 - text throughout
                    label = sysfs.maybe(file.replace("_input", "_label")) or "asic"
                    found.append((_location(label), sysfs.number(file) / 1000))
        return found

    def members(self, nic: Interface) -> Members:
        """See NetDevices."""
        names = sysfs.text(f"{nic.folder}/bonding/slaves").split()
        states = [sysfs.maybe(f"{self._net}/{name}/bonding_slave/mii_status") for name in names]
        return Members(states.count("up"), len(states) - states.count("up"))

    def virtual_functions(self, nic: Interface) -> int:
        """See NetDevices."""
        return sysfs.number(f"{nic.folder}/device/sriov_numvfs")


def _whole(path: str) -> bytes:
    """Read a file that is longer than one read of it gives."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - text throughout
            parts = []
            left = _TABLE
            while left > 0 and (part := file.read(left)):
                parts.append(part)
                left -= len(part)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
    return b"".join(parts)


def _entries(folder: str) -> list[str]:
    try:
        return sorted(f"{folder}/{name}" for name in os.listdir(folder))  # noqa: PTH208 - text throughout
    except OSError:
        return []


def _location(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") or "asic"


def _describe(folder: str, name: str) -> Interface:
    kind = _kind(folder, name)
    device = f"{folder}/device"
    if not os.path.exists(device):  # noqa: PTH110 - text throughout
        parent = sysfs.target(f"{folder}/master") or _lower(folder, kind)
        return Interface(name, name, kind, folder, parent, address=sysfs.maybe(f"{folder}/address"))
    real = os.path.realpath(device)
    pci = address_in(real)
    numa = numa_node(device)
    vendor, model = sysfs.maybe(f"{device}/vendor"), sysfs.maybe(f"{device}/device")
    return Interface(
        name,
        _identity(folder, real, pci, name, kind),
        kind,
        folder,
        parent=_parent(folder, kind, pci),
        pci=pci,
        driver=sysfs.target(f"{device}/driver"),
        model=f"{vendor.removeprefix('0x')}:{model.removeprefix('0x')}" if vendor and model else None,
        numa=None if numa < 0 else numa,
        address=sysfs.maybe(f"{folder}/address"),
        rdma=next((os.path.basename(one) for one in _entries(f"{device}/infiniband")), None),  # noqa: PTH119 - as above
    )


def _kind(folder: str, name: str) -> str:
    if os.path.exists(f"{folder}/device"):  # noqa: PTH110 - text throughout
        if _REPRESENTOR.fullmatch(sysfs.maybe(f"{folder}/phys_port_name") or ""):
            return "representor"
        if os.path.lexists(f"{folder}/device/physfn"):
            return "virtual_function"
        real = os.path.basename(os.path.realpath(f"{folder}/device"))  # noqa: PTH119 - as above
        return "sub_function" if _SUB_FUNCTION.fullmatch(real) else "physical"
    if os.path.isdir(f"{folder}/bonding"):  # noqa: PTH112 - as above
        return "bond"
    told = (sysfs.maybe(f"{folder}/uevent") or "").splitlines()
    for kind in ("vlan", "bridge"):
        if f"DEVTYPE={kind}" in told:
            return kind
    return "loopback" if name == "lo" or sysfs.maybe(f"{folder}/type") == _LOOPBACK else "virtual"


def _identity(folder: str, real: str, pci: str | None, name: str, kind: str) -> str:
    """Name an interface by its place, so that it is the same one when it is called otherwise.

    Ports of one function have a number, representors a name; what is not itself a PCI function, nor the virtio device
    of one, has the name of its device beside.
    """
    if pci is None:
        return os.path.basename(real) or name  # noqa: PTH119 - text throughout
    device = os.path.basename(real)  # noqa: PTH119 - as above
    inner = "" if device == pci or device.startswith("virtio") else f"/{device}"
    if kind == "representor":
        return f"{pci}{inner}/{sysfs.maybe(f'{folder}/phys_port_name')}"
    port = sysfs.maybe(f"{folder}/dev_port") or "0"
    return f"{pci}{inner}" if port in ("0", "-1") else f"{pci}{inner}/{port}"


def _parent(folder: str, kind: str, pci: str | None) -> str | None:
    if kind == "virtual_function":
        return sysfs.target(f"{folder}/device/physfn")
    if kind in ("representor", "sub_function"):
        return pci
    return sysfs.target(f"{folder}/master")


def _lower(folder: str, kind: str) -> str | None:
    """Name the interface that a VLAN is on; its `hw.id` where that has no PCI function."""
    return next(_lowers(folder), None) if kind == "vlan" else None


def _lowers(folder: str) -> Iterator[str]:
    for entry in _entries(folder):
        name = os.path.basename(entry)  # noqa: PTH119 - text throughout
        if name.startswith("lower_"):
            real = os.path.realpath(f"{entry}/device")
            yield address_in(real) or name.removeprefix("lower_")
