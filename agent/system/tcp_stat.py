# SPDX-License-Identifier: Apache-2.0
"""What the kernel counts of TCP and IP, of the network namespace of the thread that asks.

Source: the kernel's Documentation/networking/snmp_counter.rst. Names are the kernel's, with the protocol before them:
Tcp.RetransSegs, TcpExt.TCPTimeouts, IpExt.InCEPkts, Ip6.InCEPkts.
"""

import os
from collections.abc import Mapping

from agent.errors import Unavailable
from agent.system.kernel_files import is_number, lines_of_words, whole

_PROTOCOLS = {b"Tcp:", b"TcpExt:", b"IpExt:"}
_HEX = 16
_DIGITS = 8
_SQUEEZED, _DROPPED = 2, 1


def net_folder(root: str) -> str:
    """Name the folder of this thread's network namespace, which is where a test may have put it."""
    own = f"{root}/proc/thread-self/net"
    return own if os.path.isdir(own) else f"{root}/proc/net"  # noqa: PTH112 - a Path takes longer


def parse_pairs(table: bytes) -> dict[str, int]:
    """Read snmp or netstat: a line of names, then one of values, both beginning with `Tcp:`, `TcpExt:` or `IpExt:`."""
    found: dict[str, int] = {}
    names: list[bytes] = []
    for words in lines_of_words(table):
        if names and words[0] == names[0] and len(words) == len(names):
            protocol = words[0].rstrip(b":").decode("ascii", "replace")
            for name, value in zip(names[1:], words[1:], strict=True):
                if is_number(value.removeprefix(b"-")):
                    found[f"{protocol}.{name.decode('ascii', 'replace')}"] = int(value)
            names = []
        else:
            names = words if words[0] in _PROTOCOLS else []
    return found


def parse_six(table: bytes) -> dict[str, int]:
    """Read snmp6: lines of a name, such as Ip6InCEPkts, and a value."""
    found: dict[str, int] = {}
    for words in lines_of_words(table):
        if len(words) > 1 and words[0].startswith(b"Ip6") and is_number(words[1]):
            found[f"Ip6.{words[0][3:].decode('ascii', 'replace')}"] = int(words[1])
    return found


def parse_sockets(table: bytes) -> Mapping[str, int]:
    """Read the line of TCP in sockstat: `inuse`, `orphan`, `tw`, `alloc`, `mem` (pages)."""
    for words in lines_of_words(table):
        if words[0] == b"TCP:":
            pairs = zip(words[1::2], words[2::2], strict=False)
            return {name.decode("ascii", "replace"): int(value) for name, value in pairs if is_number(value)}
    return {}


def parse_softnet(table: bytes) -> tuple[int, int]:
    """Add up softnet_stat over all CPUs: packets dropped, times squeezed. Raises Unavailable.

    Each line is of a CPU; its numbers are hexadecimal and of 32 bits, and wrap there.
    """
    dropped = squeezed = 0
    try:
        for words in lines_of_words(table):
            dropped += int(words[_DROPPED][:_DIGITS], _HEX)
            squeezed += int(words[_SQUEEZED][:_DIGITS], _HEX)
    except (ValueError, IndexError) as error:
        raise Unavailable("softnet_stat: has a line that is none") from error
    return dropped, squeezed


def read_counts(folder: str) -> dict[str, int]:
    """Read snmp and netstat. Raises as whole(), and Unavailable where TCP is not in them."""
    found = parse_pairs(whole(f"{folder}/snmp")) | parse_pairs(whole(f"{folder}/netstat"))
    if "Tcp.OutSegs" not in found:
        raise Unavailable(f"{folder}/snmp: has no TCP")
    return found
