# SPDX-License-Identifier: Apache-2.0
"""What the CPUs did, from /proc/stat, /proc/loadavg and /proc/uptime. Source: proc(5)."""

import os
from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from agent.errors import Unavailable
from agent.system.kernel_files import is_number, whole

_TICKS = os.sysconf("SC_CLK_TCK")
_COLUMNS = 8
"""user, nice, system, idle, iowait, irq, softirq, steal. Time of guests, which follows, is in user and nice."""


class CpuTimes(NamedTuple):
    """Seconds that a CPU, or all of them, spent in each mode; its fields are OpenTelemetry's `cpu.mode`."""

    user: float
    nice: float
    system: float
    idle: float
    iowait: float
    interrupt: float
    steal: float


class Stat(NamedTuple):
    """What /proc/stat says. None where there is no such line."""

    total: CpuTimes | None
    each: Mapping[int, CpuTimes]
    """By the number of the CPU; empty unless asked for."""
    cpus: int
    switches: int | None
    interrupts: int | None
    created: int | None
    running: int | None
    blocked: int | None


def read_stat(root: str, *, each: bool = False) -> Stat:
    """Read /proc/stat; with `each`, each CPU too. Raises as whole(), and Unavailable where it is none."""
    path = f"{root}/proc/stat"
    stat = parse_stat(whole(path), each=each)
    if stat.total is None:
        raise Unavailable(f"{path}: has no line of all CPUs")
    return stat


def parse_stat(table: bytes, *, each: bool = False) -> Stat:
    """Read the lines of /proc/stat. Those of interrupts, which are long, are not taken apart."""
    head, _, rest = table.partition(b"\nintr ")
    lines = [line.split() for line in head.splitlines() if line.startswith(b"cpu")]
    counts = {words[0]: int(words[1]) for line in rest.splitlines()[1:] if _counts(words := line.split(b" ", 2)[:2])}
    total = next((_times(words) for words in lines if words[0] == b"cpu"), None)
    numbered = [(words[0][3:], words) for words in lines if is_number(words[0][3:])]
    return Stat(
        total,
        {int(number): times for number, words in numbered if (times := _times(words))} if each else {},
        len(numbered),
        counts.get(b"ctxt"),
        _first(rest),
        counts.get(b"processes"),
        counts.get(b"procs_running"),
        counts.get(b"procs_blocked"),
    )


def parse_load(text: bytes) -> tuple[float, float, float]:
    """Read /proc/loadavg: averages over 1, 5 and 15 minutes. Raises Unavailable."""
    try:
        one, five, fifteen = (finite(word) for word in text.split()[:3])
    except ValueError as error:
        raise Unavailable("proc/loadavg: has no three numbers") from error
    return one, five, fifteen


def parse_uptime(text: bytes) -> float:
    """Read /proc/uptime: seconds since the start. Raises Unavailable."""
    try:
        return finite(text.split()[0])
    except (ValueError, IndexError) as error:
        raise Unavailable("proc/uptime: has no number") from error


def finite(word: bytes) -> float:
    """Read a number that is one. Raises ValueError."""
    value = float(word)
    if not isfinite(value):
        raise ValueError(word)
    return value


def cores(root: str) -> int | None:
    """Count the cores that are online: threads of one have the same siblings; None where that is not said."""
    folder = f"{root}/sys/devices/system/cpu"
    found: set[bytes] = set()
    try:
        names = [name for name in os.listdir(folder) if name.startswith("cpu") and name[3:].isdigit()]  # noqa: PTH208 - a name is all that is needed
        for name in names:
            path = f"{folder}/{name}/topology/thread_siblings_list"
            if os.path.exists(path):  # noqa: PTH110 - as above; of a CPU that is offline there is none
                found.add(whole(path, 4096))
    except (OSError, Unavailable):
        return None
    return len(found) or None


def _times(words: list[bytes]) -> CpuTimes | None:
    numbers = words[1 : _COLUMNS + 1]
    if len(numbers) < _COLUMNS or not all(map(is_number, numbers)):
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = (int(word) / _TICKS for word in numbers)
    return CpuTimes(user, nice, system, idle, iowait, irq + softirq, steal)


def _counts(words: list[bytes]) -> bool:
    return len(words) > 1 and is_number(words[1].strip())


def _first(rest: bytes) -> int | None:
    word = rest[:32].split(b" ", 1)[0].strip()
    return int(word) if is_number(word) else None
