# SPDX-License-Identifier: Apache-2.0
"""Places on the PCI bus, from the paths of /sys/devices: addresses, and how near two functions are to each other."""

import re
from enum import IntEnum
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, Protocol

from agent.system.sysfs import maybe

_FUNCTION = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_HOST_BRIDGE = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}")
_BELOW_A_SWITCH = 2
"""Steps from the upstream port of a switch to a function behind it: a downstream port, and the function."""


class Nearness(IntEnum):
    """How two functions reach each other, the nearest first; in the words of nvidia-smi topo."""

    PIX = 0
    PXB = 1
    PHB = 2
    NODE = 3
    SYS = 4


class Function(NamedTuple):
    """A PCI function: its address, the components of its path below /sys/devices, and its NUMA node, -1 if unknown."""

    address: str
    path: tuple[str, ...]
    numa: int


class Bus(Protocol):
    """Looks up PCI functions."""

    def function(self, address: str) -> Function | None:
        """Look a function up by its address, as NVML or sysfs write it; None when it is not on this machine's bus."""
        ...


class SysBus:
    """Reads /sys below a root."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Read nothing yet."""
        self._devices = root / "sys/bus/pci/devices"

    def function(self, address: str) -> Function | None:
        """See Bus."""
        link = self._devices / normal(address)
        if not link.exists():
            return None
        return Function(link.name, components(link.resolve()), numa_node(str(link)))


def components(path: Path) -> tuple[str, ...]:
    """Give the components of a resolved path that are host bridges and PCI functions."""
    return tuple(part for part in path.parts if _HOST_BRIDGE.fullmatch(part) or _FUNCTION.fullmatch(part))


def address_in(path: str) -> str | None:
    """Give the last PCI address in a resolved path: that of the device or of what it hangs on."""
    found = [part for part in Path(path).parts if _FUNCTION.fullmatch(part)]
    return found[-1] if found else None


def normal(address: str) -> str:
    """Write an address as sysfs does: NVML may write the domain with eight digits."""
    domain, _, rest = address.strip().lower().partition(":")
    return f"{domain[-4:] if domain[:-4].strip('0') == '' else domain}:{rest}"


def numa_node(device: str) -> int:
    """Read the NUMA node of a device's folder; -1 where the firmware does not say it."""
    told = maybe(f"{device}/numa_node") or ""
    return int(told) if re.fullmatch(r"[0-9]{1,6}", told) else -1


def nearness(one: Function, other: Function) -> Nearness:
    """Say how near two functions are to each other."""
    common = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one.path, other.path, strict=False))))
    if common == 0:
        return Nearness.NODE if one.numa == other.numa else Nearness.SYS
    if common == 1 and _HOST_BRIDGE.fullmatch(one.path[0]):
        return Nearness.PHB
    below = max(len(one.path), len(other.path)) - common
    return Nearness.PIX if below <= _BELOW_A_SWITCH else Nearness.PXB
