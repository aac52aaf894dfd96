# SPDX-License-Identifier: Apache-2.0
"""The kernel log, where it may be read: the NVIDIA driver writes its XIDs there even when it is stuck."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

KMSG = Path("/dev/kmsg")
_RECORD = 8192
"""Bytes; /dev/kmsg gives one record a read, at most this long."""
_XID = re.compile(
    rb"NVRM: Xid \(PCI:(?P<pci>[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.\d)?\): (?P<xid>\d{1,6})\b"
)


class KernelXid(NamedTuple):
    """An XID line: domain:bus:device.0 of the GPU, the code, and ns of the kernel's monotonic clock."""

    pci: str
    xid: int
    time: int


def parse(record: bytes) -> KernelXid | None:
    """Read one record of /dev/kmsg ("level,sequence,microseconds,flags;text"); None when it is no XID.

    Source: Documentation/ABI/testing/dev-kmsg of Linux.
    """
    head, _, text = record.partition(b";")
    found = _XID.search(text)
    fields = head.split(b",")
    if not found or len(fields) < 3 or not fields[2].isdigit():  # noqa: PLR2004 - level, sequence, time
        return None
    domain, bus, device = found["pci"].decode().lower().split(":")
    return KernelXid(f"{int(domain, 16):04x}:{bus}:{device}.0", int(found["xid"]), int(fields[2]) * 1000)


class KernelLog:
    """Follows the kernel log from now on."""

    def __init__(self, path: Path = KMSG) -> None:
        """Open at the end. Raises OSError where it may not be read (kernel.dmesg_restrict, no device)."""
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):  # A pipe has no end to seek.
            os.lseek(self._fd, 0, os.SEEK_END)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._fd

    def read(self) -> list[KernelXid]:
        """Read the records there are now. Records that were overwritten before they could be read are lost."""
        found: list[KernelXid] = []
        while True:
            try:
                record = os.read(self._fd, _RECORD)
            except BlockingIOError:
                return found
            except BrokenPipeError:
                continue  # The kernel's way to say that records were overwritten.
            if not record:
                return found
            if xid := parse(record):
                found.append(xid)

    def close(self) -> None:
        """Close."""
        os.close(self._fd)
