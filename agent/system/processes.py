# SPDX-License-Identifier: Apache-2.0
"""The processes of this machine: parents, names in each pid namespace, and when they began. Source: proc(5).

All numbers are of the pid namespace of `root`, which for an agent on the host is NVML's. What ends while it is read
is left out, and so is what a mount of /proc with hidepid hides.
"""

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

PROC = Path("/proc")
LIMIT = 65_536
"""Processes that a table has at most: those with the smallest numbers."""
_PAGE = 4096
_ENVIRON = 1 << 20
_LONGEST_NAME = 256
_NS = 1_000_000_000
_TICKS = os.sysconf("SC_CLK_TCK")
_START_TIME = 22
_STATE = 3


class Process(NamedTuple):
    """A process: its number, its parent's, its session's, its name (15 characters), and the names of the number.

    `numbers` is what the process is called in each pid namespace, from that of /proc to its own. `parent` is 0 for
    one whose parent is not in the namespace of /proc; `session` is None where the kernel does not say.
    """

    pid: int
    parent: int
    session: int | None
    name: str
    numbers: tuple[int, ...]


def process_ids(root: Path = PROC) -> list[int]:
    """List the processes, in the order of their numbers; none where /proc cannot be read."""
    try:
        with os.scandir(root) as entries:
            return sorted(int(entry.name) for entry in entries if entry.name.isdecimal())[:LIMIT]
    except OSError:
        return []


def process_table(root: Path = PROC) -> dict[int, Process]:
    """Read every process, without its threads. Blocks for about 10 µs per process."""
    found: dict[int, Process] = {}
    for pid in process_ids(root):
        if (status := read(f"{root}/{pid}/status", _PAGE)) and (process := parse_status(pid, status)):
            found[pid] = process
    return found


def parse_status(pid: int, status: bytes) -> Process | None:
    """Read /proc/PID/status; None when it is not one, or that of a thread."""
    try:
        if int(_field(status, b"\nTgid:\t")) != pid:
            return None
        parent = int(_field(status, b"\nPPid:\t"))
        numbers = tuple(int(number) for number in _field(status, b"\nNSpid:\t").split()) or (pid,)
        session = _field(status, b"\nNSsid:\t").split()
        name = _field(status, b"Name:\t").decode("utf-8", "replace")
        return Process(pid, parent, int(session[0]) if session else None, name, numbers)
    except ValueError:
        return None


def process_of_thread(thread: int, root: Path = PROC) -> int | None:
    """Give the process that a thread id, or a process id, belongs to; None when there is none."""
    status = read(root / str(thread) / "status", _PAGE)
    number = _field(status or b"", b"\nTgid:\t")
    return int(number) if number.isdigit() else None


def boot_time(root: Path = PROC) -> int | None:
    """Read when the machine started: unix ns, to the second; None when it is not said."""
    for line in (read(root / "stat", 1 << 20) or b"").splitlines():
        if line.startswith(b"btime ") and line[6:].isdigit():
            return int(line[6:]) * _NS
    return None


def started(pid: int, boot: int, root: Path = PROC) -> int | None:
    """Tell when a process started: unix ns, within a second, given the boot time; None when it is gone.

    A process id together with this is unique: the id alone comes back for another process.
    """
    # The name is in parentheses and can have spaces and parentheses of its own.
    _, closed, rest = (read(root / str(pid) / "stat", _PAGE) or b"").rpartition(b")")
    words = rest.split()
    ticks = words[_START_TIME - _STATE] if closed and len(words) > _START_TIME - _STATE else b""
    return boot + int(ticks) * _NS // _TICKS if ticks.isdigit() else None


def service_name(pid: int, root: Path = PROC) -> str | None:
    """Tell what OpenTelemetry calls a process by its environment; None where that is not set, or not for us to read.

    OTEL_SERVICE_NAME goes before the service.name of OTEL_RESOURCE_ATTRIBUTES. Nothing else of it is kept.
    """
    environ = read(root / str(pid) / "environ", _ENVIRON) or b""
    found = dict(entry.partition(b"=")[::2] for entry in environ.split(b"\0") if entry.startswith(b"OTEL_"))
    pairs = (pair.partition(b"=")[::2] for pair in found.get(b"OTEL_RESOURCE_ATTRIBUTES", b"").split(b","))
    named = {key.strip(): value.strip() for key, value in pairs}
    name = found.get(b"OTEL_SERVICE_NAME") or unquote_to_bytes(named.get(b"service.name", b""))
    return name.decode("utf-8", "replace")[:_LONGEST_NAME] or None


def foreign_descriptors_readable(root: Path = PROC) -> bool | None:
    """Say whether this user may see what files the processes of other users have open; None when there are none.

    That takes CAP_SYS_PTRACE and, to list them, CAP_DAC_READ_SEARCH.
    """
    own = os.geteuid()
    for pid in process_ids(root):
        folder = root / str(pid)
        try:
            if pid == os.getpid() or folder.stat().st_uid == own != 0:
                continue
            for descriptor in (folder / "fd").iterdir():
                descriptor.readlink()
                return True
        except PermissionError:
            return False
        except OSError:
            continue
    return None


def read(path: "str | Path", limit: int) -> bytes | None:
    """Read at most `limit` bytes of a file of /proc; None when it is gone or not for us."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # The kernel gives what a page or more of lines hold and may stop before the end; a small file comes at once.
        parts = [os.read(file, limit)]
        while limit > _PAGE and parts[-1] and (left := limit - sum(map(len, parts))) > 0:
            parts.append(os.read(file, left))
        return b"".join(parts)
    except OSError:  # ESRCH: the process ended after the file was opened.
        return None
    finally:
        os.close(file)


def _field(status: bytes, label: bytes) -> bytes:
    start = status.find(label)
    if start < 0:
        return b""
    start += len(label)
    return status[start : status.find(b"\n", start)]
