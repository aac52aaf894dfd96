# SPDX-License-Identifier: Apache-2.0
"""What a process has used, from /proc/PID. Source: proc(5). A process that is gone is None."""

import os
from typing import NamedTuple

from agent.system.kernel_files import is_number
from agent.system.processes import read

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LIMIT = 8192
_MINOR, _MAJOR, _USER, _SYSTEM, _THREADS, _START, _RESIDENT = 10, 12, 14, 15, 20, 22, 24
"""Places in /proc/PID/stat, counted from 1."""
_FIRST = 3
"""The place of what follows the name."""


class ProcessUse(NamedTuple):
    """What a process has used since it began at `start`, in ticks after the host: seconds, bytes and counts."""

    start: int
    user: float
    system: float
    minor: int
    major: int
    threads: int
    resident: int


def process_use(root: str, pid: int) -> ProcessUse | None:
    """Read what a process has used, over all its threads."""
    return parse_use(read(f"{root}/proc/{pid}/stat", _LIMIT) or b"")


def parse_use(stat: bytes) -> ProcessUse | None:
    """Read /proc/PID/stat; None where it is none. The name is in parentheses and may have some of its own."""
    _, closed, rest = stat.rpartition(b")")
    words = rest.split()
    if not closed or len(words) <= _RESIDENT - _FIRST:
        return None
    found = [words[place - _FIRST] for place in (_START, _USER, _SYSTEM, _MINOR, _MAJOR, _THREADS, _RESIDENT)]
    if not all(map(is_number, found)):
        return None
    start, user, system, minor, major, threads, resident = map(int, found)
    return ProcessUse(start, user / _TICKS, system / _TICKS, minor, major, threads, resident * _PAGE)


def context_switches(root: str, pid: int) -> tuple[int, int] | None:
    """Read how often the main thread waited, and how often it had to make room: voluntary, involuntary."""
    return parse_switches(read(f"{root}/proc/{pid}/status", _LIMIT) or b"")


def parse_switches(status: bytes) -> tuple[int, int] | None:
    """Read the last two lines of /proc/PID/status."""
    found = dict(line.split(b":", 1) for line in status.splitlines() if b"ctxt_switches:" in line)
    voluntary, other = (found.get(name, b"").strip() for name in (b"voluntary_ctxt_switches", _OTHER))
    return (int(voluntary), int(other)) if is_number(voluntary) and is_number(other) else None


_OTHER = b"nonvoluntary_ctxt_switches"


def disk_bytes(root: str, pid: int) -> tuple[int, int] | None:
    """Read the bytes that a process read from disks and wrote; None where it is another user's and this is not root."""
    return parse_io(read(f"{root}/proc/{pid}/io", _LIMIT) or b"")


def parse_io(text: bytes) -> tuple[int, int] | None:
    """Read /proc/PID/io."""
    found = dict(line.split(b":", 1) for line in text.splitlines() if b":" in line)
    got, put = (found.get(name, b"").strip() for name in (b"read_bytes", b"write_bytes"))
    return (int(got), int(put)) if is_number(got) and is_number(put) else None
