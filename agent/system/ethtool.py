# SPDX-License-Identifier: Apache-2.0
"""Statistics of network drivers, `ethtool -S`, from the kernel's ioctl: no right is needed, nor a program.

Source: include/uapi/linux/ethtool.h and net/ethtool/ioctl.c of Linux. The call holds the lock of the network's
configuration (rtnl), and some drivers ask their firmware in it: it takes microseconds to milliseconds.
"""

import fcntl
import os
import socket
import struct
from array import array
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from agent.errors import NotSupported, Unavailable
from agent.system.sysfs import failure

_SIOCETHTOOL = 0x8946
_DRIVER_INFO, _STRINGS, _STATISTICS, _SET_INFO = 0x3, 0x1B, 0x1D, 0x37
_STATISTICS_SET = 1
_NAME = 32
_HEAD = 8
"""Bytes before the statistics: the command and their number."""
_STRINGS_HEAD = 12
_SET = struct.Struct("=IIQI")
_INTERFACE_NAME = 16
_DRIVER = struct.Struct("=I32s32s32s32s32s12s5I")
_MOST = 1 << 16
"""Statistics of one interface; mlx5 has some thousands."""
_SLACK = 1 << 14
"""Statistics beyond those counted for which there is room: kernels before 6.13 write as many as there are by then."""


class Driver(NamedTuple):
    """What a driver says of itself; empty where it does not."""

    name: str
    firmware: str


class Ethtool(Protocol):
    """Asks network drivers. Every call raises NotSupported, NoPermission or Unavailable."""

    def names(self, interface: str) -> tuple[str, ...]:
        """List what the statistics are called."""
        ...

    def values(self, interface: str, count: int) -> Sequence[int]:
        """Read the statistics, `count` of them. Raises Unavailable where there are others than that by now.

        What is returned is written over by the next call.
        """
        ...

    def driver(self, interface: str) -> Driver:
        """Ask which driver and firmware it has."""
        ...


class KernelEthtool:
    """Asks the kernel, in the network namespace of the thread that made it. Not for several threads at once."""

    def __init__(self) -> None:
        """Open a socket; any will do, as nothing is sent on it."""
        self._descriptor = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()
        self._buffer = array("Q", bytes(8 * (_SLACK + 1)))

    def __del__(self) -> None:
        """Close it, where it could be opened."""
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None:
            os.close(descriptor)

    def names(self, interface: str) -> tuple[str, ...]:
        """See Ethtool."""
        count = self._count(interface)
        buffer = array("B", bytes(_STRINGS_HEAD + _NAME * (count + _SLACK)))
        struct.pack_into("=III", buffer, 0, _STRINGS, _STATISTICS_SET, count)
        self._call(interface, buffer)
        found = min(count, struct.unpack_from("=III", buffer)[2])
        raw = buffer[_STRINGS_HEAD : _STRINGS_HEAD + _NAME * found].tobytes()
        return tuple(_text(raw[start : start + _NAME]) for start in range(0, len(raw), _NAME))

    def values(self, interface: str, count: int) -> Sequence[int]:
        """See Ethtool."""
        if len(self._buffer) < count + 1 + _SLACK:
            self._buffer = array("Q", bytes(8 * (count + 1 + _SLACK)))
        struct.pack_into("=II", self._buffer, 0, _STATISTICS, count)
        self._call(interface, self._buffer)
        found = struct.unpack_from("=II", self._buffer)[1]
        if found != count:
            raise Unavailable(f"{interface}: its driver has {found} statistics now instead of {count}")
        return memoryview(self._buffer)[1 : count + 1]

    def driver(self, interface: str) -> Driver:
        """See Ethtool."""
        buffer = array("B", bytes(_DRIVER.size))
        struct.pack_into("=I", buffer, 0, _DRIVER_INFO)
        self._call(interface, buffer)
        _, name, _, firmware, *_ = _DRIVER.unpack(buffer)
        return Driver(_text(name), _text(firmware))

    def _count(self, interface: str) -> int:
        buffer = array("B", _SET.pack(_SET_INFO, 0, 1 << _STATISTICS_SET, 0))
        self._call(interface, buffer)
        _, _, mask, count = _SET.unpack(buffer)
        if not mask or not count:
            raise NotSupported(f"{interface}: its driver has no statistics")
        if count > _MOST:
            raise NotSupported(f"{interface}: its driver has {count} statistics, more than {_MOST}")
        return int(count)

    def _call(self, interface: str, buffer: "array[int]") -> None:
        """Let the kernel read and write `buffer`, which must be as long as what it writes."""
        name = interface.encode("utf-8", "surrogateescape")
        if len(name) >= _INTERFACE_NAME:
            raise NotSupported(f"{interface}: is no name of an interface")
        try:
            fcntl.ioctl(self._descriptor, _SIOCETHTOOL, struct.pack("16sP16x", name, buffer.buffer_info()[0]))
        except OSError as error:
            raise failure(f"{interface}: ethtool", error) from error


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace").strip()
