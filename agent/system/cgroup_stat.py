# SPDX-License-Identifier: Apache-2.0
"""What a control group used and was held back from, on cgroup v1 and v2.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and scheduler/sched-bwc.rst. What a
group does not have, such as a limit that was never set, is None.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from agent.errors import JoulespanError
from agent.system.kernel_files import is_number, named_numbers, whole
from agent.system.pressure import parse_pressure
from agent.system.processes import read

_FOLDER = "sys/fs/cgroup"
_LIMIT = 64 * 1024
_NS, _US = 1_000_000_000, 1_000_000
_UNLIMITED = 1 << 60
"""v1 says "no limit" as the largest number of whole pages."""


class Groups(NamedTuple):
    """Where the groups of a process are: folders. On v2 all three are the same one."""

    cpu: str | None
    memory: str | None
    unified: str | None


class GroupUse(NamedTuple):
    """What a group says of itself: counts, seconds, bytes."""

    periods: int | None = None
    throttled_periods: int | None = None
    throttled: float | None = None
    memory: int | None = None
    limit: int | None = None
    oom_kills: int | None = None
    pressure: Mapping[str, Mapping[str, float]] = {}
    """Seconds by resource and stall type."""


def groups_of(root: str, pid: int) -> Groups | None:
    """Find the groups of a process; None when it is gone, hidden, or in the root of all of them."""
    text = read(f"{root}/proc/{pid}/cgroup", _LIMIT)
    return None if text is None else parse_groups(text, f"{root}/{_FOLDER}")


def parse_groups(text: bytes, folder: str) -> Groups | None:
    """Read /proc/PID/cgroup: lines HIERARCHY:CONTROLLERS:PATH. The root is everything, and a path up is not ours."""
    paths: dict[str, str] = {}
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon and path not in ("", "/") and ".." not in path.split("/"):
            mounted = controllers or ("unified" if _has(f"{folder}/unified") else "")
            place = f"{folder}/{mounted}{path}" if mounted else f"{folder}{path}"
            for name in controllers.split(",") if controllers else ["unified"]:
                paths[name] = place
    unified = paths.get("unified")
    hybrid = unified is not None and unified.startswith(f"{folder}/unified")
    alone = None if hybrid else unified
    found = Groups(paths.get("cpu", alone), paths.get("memory", alone), unified)
    return found if any(found) else None


def group_use(groups: Groups) -> GroupUse:
    """Read what the groups say. What cannot be read is None: a group may end at any time."""
    found: dict[str, Any] = {}
    if groups.cpu is not None:
        found |= _cpu(groups.cpu)
    if groups.memory is not None:
        found |= _memory(groups.memory)
    if groups.unified is not None:
        found["pressure"] = _pressure(groups.unified)
    return GroupUse(**found)


def _cpu(folder: str) -> dict[str, float | int]:
    counts = _numbers(f"{folder}/cpu.stat")
    found: dict[str, float | int] = {}
    if "nr_periods" in counts:  # Absent where no limit was ever set (v2), or 0.
        found |= {"periods": counts["nr_periods"], "throttled_periods": counts.get("nr_throttled", 0)}
    if "throttled_usec" in counts:
        found["throttled"] = counts["throttled_usec"] / _US
    elif "throttled_time" in counts:
        found["throttled"] = counts["throttled_time"] / _NS
    return found


def _memory(folder: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for field, names in (
        ("memory", ("memory.current", "memory.usage_in_bytes")),
        ("limit", ("memory.max", "memory.limit_in_bytes")),
    ):
        for name in names:
            with suppress(JoulespanError):
                text = whole(f"{folder}/{name}").strip()
                if is_number(text) and int(text) < _UNLIMITED:
                    found[field] = int(text)
    for name in ("memory.events", "memory.oom_control"):
        counts = _numbers(f"{folder}/{name}")
        if "oom_kill" in counts:
            found["oom_kills"] = counts["oom_kill"]
    return found


def _pressure(folder: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for resource in ("cpu", "memory", "io"):
        with suppress(JoulespanError):
            found[resource] = parse_pressure(whole(f"{folder}/{resource}.pressure"))
    return found


def _numbers(path: str) -> dict[str, int]:
    try:
        return named_numbers(whole(path))
    except JoulespanError:
        return {}


def _has(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - a Path takes longer
