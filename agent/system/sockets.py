# SPDX-License-Identifier: Apache-2.0
"""Which process of this machine is at the other end of a connection, from /proc/net/tcp and /proc/PID/fd.

Both ends of a connection inside one network namespace are in that namespace's table. The end of a container with a
namespace of its own is in the table that /proc/PID/net has for any of its processes.
"""

import ipaddress
import os
import sys
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from agent.spans import Peer
from agent.system.processes import PROC, process_ids, read

_LIMIT = 16 << 20
"""Bytes of a table that are read: about 100 000 connections."""
_REMOTE, _INODE = 1, 8
"""Columns of a line from its local address on."""
_LONGEST_LINE = 512
_DESCRIPTORS = 65_536
"""Open files of one process that are looked at."""


class Owners(NamedTuple):
    """Who holds a socket: process ids, and how many processes could not be looked into for want of a right."""

    pids: tuple[int, ...]
    refused: int = 0


def is_loopback(host: str) -> bool:
    """Say whether an address is of this machine alone."""
    address = _address(host)
    return address is not None and address.is_loopback


def socket_inode(peer: Peer, root: Path = PROC, pid: int | None = None) -> int | None:
    """Find the inode of the socket at the peer's end; None when this machine does not have it, or not any more.

    Looks in the network namespace of process `pid`, or in the agent's own.
    """
    address = _address(peer.host)
    if address is None:
        return None
    folder = root / "net" if pid is None else root / str(pid) / "net"
    for table, wanted in _written(address):
        if inode := find(read(folder / table, _LIMIT) or b"", f"{wanted}:{peer.port:04X}", peer.local_port):
            return inode
    return None


def find(table: bytes, local: str, remote_port: int) -> int | None:
    """Find in the text of a table the inode of the socket with this local address and remote port, as written there.

    A connection that is closed and only waits (TIME_WAIT) has the inode 0 and belongs to nobody: None.
    """
    needle, port = b": %b " % local.encode(), b":%04X" % remote_port
    place = table.find(needle)
    while place >= 0:
        words = table[place + 2 : place + _LONGEST_LINE].split(None, _INODE + 1)
        if len(words) > _INODE + 1 and words[_REMOTE].endswith(port) and words[_INODE].isdigit() and int(words[_INODE]):
            return int(words[_INODE])
        place = table.find(needle, place + 1)
    return None


def pids_of_inodes(inodes: Collection[int], root: Path = PROC, pids: Iterable[int] | None = None) -> Owners:
    """Find who has one of these sockets open, among `pids` or all processes. Blocks for about 1 µs per open file."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found: list[int] = []
    refused = 0
    for pid in process_ids(root) if pids is None else pids:
        try:
            if _holds(f"{root}/{pid}/fd", wanted):
                found.append(pid)
        except PermissionError:
            refused += 1
        except OSError:
            continue
    return Owners(tuple(found), refused)


def _holds(folder: str, wanted: Collection[str]) -> bool:
    with os.scandir(folder) as descriptors:
        for descriptor in islice(descriptors, _DESCRIPTORS):
            try:
                if os.readlink(descriptor.path) in wanted:  # noqa: PTH115 - a Path each costs more than the reading
                    return True
            except FileNotFoundError:  # Closed in between.
                continue
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _written(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[tuple[str, str]]:
    """Give the tables an address can be in, and how it is written there: 32-bit words in the machine's byte order."""
    if isinstance(address, ipaddress.IPv6Address):
        return [("tcp6", _words(address.packed))]
    # A socket that speaks both families has its IPv4 addresses mapped.
    return [("tcp", _words(address.packed)), ("tcp6", _words(b"\0" * 10 + b"\xff" * 2 + address.packed))]


def _words(packed: bytes) -> str:
    words = (packed[start : start + 4] for start in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
