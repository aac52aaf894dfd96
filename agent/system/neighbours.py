# SPDX-License-Identifier: Apache-2.0
"""Addresses of containers and pods that are certain to be on this machine.

A network namespace has what addresses it likes, so an address in one is no proof: what is sent there follows our own
routes. They are followed only where they lead, without a gateway, to a virtual cable (veth) or to a bridge of such
cables alone: who answers there is on this machine. Sources: /proc/PID/net/fib_trie, /proc/net/route, /sys/class/net.
"""

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.system.processes import PROC, read

SYS = Path("/sys")
_LIMIT = 1 << 20
_UP, _GATEWAY = 1, 2
_FLAGS, _DESTINATION, _MASK = 3, 1, 7
_MOST = 64
"""Addresses of one network that are looked at."""
_LOWER = 1024


class _Route(NamedTuple):
    interface: str
    network: int
    mask: int
    flags: int


def reached(folder: Path, root: Path = PROC, sys_root: Path = SYS) -> list[str]:
    """List the IPv4 addresses of a network, its /proc/PID/net, that our routes reach without leaving the machine."""
    routes = list(_routes(read(root / "net" / "route", _LIMIT) or b""))
    found = []
    for address in _local(read(folder / "fib_trie", _LIMIT) or b""):
        fits = [route for route in routes if int(address) & route.mask == route.network and route.flags & _UP]
        best = max(fits, key=lambda route: route.mask, default=None)
        if best and not best.flags & _GATEWAY and stays(best.interface, sys_root):
            found.append(str(address))
    return found


def own_addresses(root: Path = PROC) -> frozenset[str]:
    """List the IPv4 addresses of the agent's own network, without loopback."""
    return frozenset(str(address) for address in _local(read(root / "net" / "fib_trie", _LIMIT) or b""))


def stays(interface: str, sys_root: Path = SYS) -> bool:
    """Say whether what is sent on an interface stays on this machine: a veth, or a bridge of nothing else."""
    folder = sys_root / "class" / "net" / interface
    kind = _kind(folder)
    if kind == "bridge":
        try:
            lower = [one.name.removeprefix("lower_") for _, one in zip(range(_LOWER + 1), folder.glob("lower_*"))]  # noqa: B905 - the shorter counts
        except OSError:
            return False
        cables = [_kind(sys_root / "class" / "net" / one) == "veth" for one in lower]
        return bool(cables) and len(cables) <= _LOWER and all(cables)
    return kind == "veth"


def _kind(folder: Path) -> str | None:
    """Tell bridge and veth from all others. A veth names no kind, has no hardware, and its other end is elsewhere."""
    uevent = read(folder / "uevent", _LIMIT)
    if uevent is None or (folder / "device").exists() or _number(folder / "type") != 1:
        return None
    kind = next((line[8:] for line in uevent.splitlines() if line.startswith(b"DEVTYPE=")), None)
    if kind is not None:
        return "bridge" if kind == b"bridge" else None
    return "veth" if _number(folder / "iflink") != _number(folder / "ifindex") else None


def _number(path: Path) -> int | None:
    text = (read(path, 64) or b"").strip()
    return int(text) if text.isdigit() else None


def _local(trie: bytes) -> Iterator[ipaddress.IPv4Address]:
    """Find what a network calls its own: in a trie, the line after an address says what it is."""
    found: dict[ipaddress.IPv4Address, None] = {}
    before = b""
    for line in trie.splitlines():
        if line.strip() == b"/32 host LOCAL" and before.strip().startswith(b"|-- ") and len(found) < _MOST:
            try:
                address = ipaddress.IPv4Address(before.strip()[4:].decode("ascii", "replace"))
            except ValueError:
                continue
            if not address.is_loopback:
                found[address] = None
        before = line
    yield from found


def _routes(table: bytes) -> Iterator[_Route]:
    for line in table.splitlines()[1:]:
        words = line.split()
        try:
            network, mask = (_word(words[place]) for place in (_DESTINATION, _MASK))
            yield _Route(words[0].decode("utf-8", "replace"), network, mask, int(words[_FLAGS], 16))
        except (IndexError, ValueError, OverflowError):
            continue


def _word(text: bytes) -> int:
    """Read an address as the kernel writes it here: one word in the machine's byte order."""
    return int.from_bytes(int(text, 16).to_bytes(4, sys.byteorder), "big")
