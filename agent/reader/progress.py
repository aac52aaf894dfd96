# SPDX-License-Identifier: Apache-2.0
"""Which driver call is under way, in memory that agent and reader share.

Written before every call and read only when the reader has gone silent: the last entry is then the call that hangs.
"""

import mmap
import os
import struct
from typing import NamedTuple

_ENTRY = struct.Struct("=i60s")


class Call(NamedTuple):
    """A driver call: the NVML index of the GPU, -1 for a call on none, and the function."""

    device: int
    name: str


class SharedProgress:
    """The board on which the reader writes and the agent looks."""

    def __init__(self, fd: int) -> None:
        """Map a memfd of at least one entry."""
        self._memory = mmap.mmap(fd, _ENTRY.size)
        self._known: dict[tuple[int, str], bytes] = {}

    @staticmethod
    def create() -> int:
        """Make the memory; the descriptor is the caller's to close."""
        fd = os.memfd_create("joulespan-progress", os.MFD_CLOEXEC)
        os.ftruncate(fd, _ENTRY.size)
        return fd

    def enter(self, device: int, call: str) -> None:
        """See nvml.ask.Progress."""
        entry = self._known.get((device, call))
        if entry is None:
            entry = self._known[device, call] = _ENTRY.pack(device, call.encode()[:60])
        self._memory[:] = entry

    def current(self) -> Call | None:
        """Read the last call that was entered; None before the first."""
        device, name = _ENTRY.unpack(self._memory[:])
        return Call(device, name.rstrip(b"\0").decode("utf-8", "replace")) if name.strip(b"\0") else None

    def close(self) -> None:
        """Unmap."""
        self._memory.close()
