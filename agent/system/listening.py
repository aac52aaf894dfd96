# SPDX-License-Identifier: Apache-2.0
"""On which TCP ports processes listen, and where these are reached from here: /proc/PID/net/tcp, tcp6 and fd.

Which process has a socket open is told by its descriptors, for which another user's processes need a right. Where it
is missing, the sockets of the same user stand in, never root's, and in another network all of it: a pod's or
container's. Which network a process is in is told without any right by the number of its table's file.
"""

import ipaddress
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

from agent.system.neighbours import SYS, reached
from agent.system.processes import PROC, read

_LIMIT = 1 << 20
"""Bytes of a table that are read: sockets that listen come first, and these are about 6000."""
_LISTENS = b"0A"
_LOCAL, _STATE, _UID, _INODE = 1, 3, 7, 9
_DESCRIPTORS = 65_536
"""Open files of one process that are looked at."""
_MOST = 4096
"""Sockets of one network that are kept."""
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Listener(NamedTuple):
    """A socket that waits for connections: where it is reached from here, its inode, and a process that has it."""

    host: str
    port: int
    inode: int
    pid: int
    own_network: bool = True
    """Whether it is in the agent's own network namespace."""


class Listening(NamedTuple):
    """What was found, and how many processes could not be looked into for want of a right."""

    listeners: tuple[Listener, ...]
    refused: int = 0


class Socket(NamedTuple):
    """A line of a table."""

    address: _Address
    port: int
    uid: int
    inode: int


def listening(pids: Iterable[int], root: Path = PROC, sys_root: Path = SYS) -> Listening:
    """Find the sockets on which these processes listen. Blocks for about 1 µs per open file of theirs."""
    networks: dict[int | None, list[int]] = {}
    own = _network(root / "net")
    for pid in sorted(set(pids)):
        network = _network(root / str(pid) / "net")
        networks.setdefault(None if network in (None, own) else network, []).append(pid)
    found: dict[int, Listener] = {}
    refused = 0
    for network, members in networks.items():
        folder = root / "net" if network is None else root / str(members[0]) / "net"
        table = {socket.inode: socket for name in ("tcp", "tcp6") for socket in _sockets(folder / name)}
        hosts = None if network is None else reached(folder, root, sys_root)
        for pid in members if table else ():
            inodes = _inodes(pid, root, table)
            if inodes is None:
                refused += 1
                inodes = _likely(pid, root, table, alone=network is not None)
            for inode in inodes:
                if inode not in found and (host := _host(table[inode].address, hosts)):
                    found[inode] = Listener(host, table[inode].port, inode, pid, network is None)
    return Listening(tuple(found.values()), refused)


def sockets(table: bytes) -> Iterator[Socket]:
    """Read the sockets that listen from the text of a table, in its order."""
    for line in table.splitlines()[1:]:
        words = line.split(None, _INODE + 1)
        if len(words) > _INODE and words[_STATE] == _LISTENS and words[_UID].isdigit() and words[_INODE].isdigit():
            host, _, port = words[_LOCAL].partition(b":")
            if (address := _address(host)) and (number := _port(port)) and int(words[_INODE]):
                yield Socket(address, number, int(words[_UID]), int(words[_INODE]))


def _sockets(path: Path) -> list[Socket]:
    return list(islice(sockets(read(path, _LIMIT) or b""), _MOST))


def _address(words: bytes) -> _Address | None:
    """Read an address as the kernel writes it: 32-bit words in the machine's byte order."""
    if len(words) not in (8, 32):
        return None
    try:
        packed = b"".join(
            int(words[at : at + 8], 16).to_bytes(4, sys.byteorder, signed=False) for at in range(0, len(words), 8)
        )
    except (ValueError, OverflowError):
        return None
    address = ipaddress.ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address


def _port(text: bytes) -> int | None:
    try:
        return int(text, 16) if len(text) == 4 else None  # noqa: PLR2004 - as it is written
    except ValueError:
        return None


def _host(address: _Address, hosts: Iterable[str] | None) -> str | None:
    """Say where a socket is reached: `hosts` are what leads into its network, None for the agent's own."""
    if hosts is None:
        if address.is_unspecified:
            return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 - IPv4
        return str(address)
    return next((host for host in hosts if address.is_unspecified or host == str(address)), None)


def _network(folder: Path) -> int | None:
    """Tell networks apart: each has a file of its own for its table."""
    try:
        return (folder / "tcp").stat().st_ino
    except OSError:
        return None


def _inodes(pid: int, root: Path, table: Mapping[int, Socket]) -> list[int] | None:
    """List the sockets of the table that a process has open, in order; None when it may not be looked into."""
    found = set()
    try:
        with os.scandir(root / str(pid) / "fd") as descriptors:
            for descriptor in islice(descriptors, _DESCRIPTORS):
                try:
                    name = os.readlink(descriptor.path)  # noqa: PTH115 - a Path each costs more than the reading
                except FileNotFoundError:  # Closed in between.
                    continue
                if name.startswith("socket:[") and (inode := int(name[8:-1])) in table:
                    found.add(inode)
    except PermissionError:
        return None
    except (OSError, ValueError):  # It has ended.
        return []
    return [inode for inode in table if inode in found]


def _likely(pid: int, root: Path, table: Mapping[int, Socket], *, alone: bool) -> list[int]:
    if alone:
        return list(table)
    try:
        uid = (root / str(pid)).stat().st_uid
    except OSError:
        return []
    return [inode for inode, socket in table.items() if uid and socket.uid == uid]
