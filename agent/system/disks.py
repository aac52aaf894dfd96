# SPDX-License-Identifier: Apache-2.0
"""Disks: what /proc/diskstats counts of them. Source: the kernel's Documentation/ABI/testing/procfs-diskstats."""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from agent.system.kernel_files import is_number, lines_of_words, whole

_SECTOR = 512
"""Bytes; a sector of the kernel's counts, whatever the disk's are."""
_MS = 1000
_COLUMNS = 13


class DiskCounts(NamedTuple):
    """What a disk has done since the start of the host: bytes, operations and seconds."""

    name: str
    read_bytes: int
    written_bytes: int
    reads: int
    writes: int
    reading: float
    writing: float
    busy: float

    @property
    def traffic(self) -> int:
        """Bytes in both directions."""
        return self.read_bytes + self.written_bytes


def read_disks(root: str, wanted: Callable[[str], bool]) -> list[DiskCounts]:
    """Read the disks whose names are wanted. Raises as whole()."""
    return [disk for disk in parse_disks(whole(f"{root}/proc/diskstats")) if wanted(disk.name)]


def parse_disks(table: bytes) -> Iterator[DiskCounts]:
    """Read lines of /proc/diskstats, partitions included; lines of another form are left out."""
    for words in lines_of_words(table):
        numbers = words[3 : _COLUMNS + 1]
        if len(words) <= _COLUMNS or not all(map(is_number, numbers)):
            continue
        reads, _, read, reading, writes, _, written, writing, _, busy = map(int, numbers[:10])
        name = words[2].decode("utf-8", "replace")
        yield DiskCounts(
            name, read * _SECTOR, written * _SECTOR, reads, writes, reading / _MS, writing / _MS, busy / _MS
        )


def is_hardware(root: str, name: str) -> bool:
    """Say whether this is a whole disk with a device behind it: no partition, loop, RAID or mapping."""
    # A slash in a disk's name is an exclamation mark in sysfs.
    return os.path.exists(f"{root}/sys/block/{name.replace('/', '!')}/device")  # noqa: PTH110 - a Path takes longer
