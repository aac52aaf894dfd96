# SPDX-License-Identifier: Apache-2.0
"""The few variables of a process's environment that say whose it is. What else is in there is not kept.

Source: proc(5), /proc/PID/environ: as it was when the program began. Of the processes of other users it takes
CAP_SYS_PTRACE. What it says is the word of whoever started the process.
"""

from collections.abc import Collection
from pathlib import Path

from agent.system.processes import PROC, read

_LIMIT = 1 << 20
_LONGEST = 253
"""Characters of a value; the name of a pod has no more."""


def variables(pid: int, names: Collection[str], root: Path = PROC) -> dict[str, str] | None:
    """Read these variables; None where the environment is not for us, or the process is gone."""
    text = read(root / str(pid) / "environ", _LIMIT)
    if text is None:
        return None
    wanted = {name.encode(): name for name in names}
    found: dict[str, str] = {}
    for entry in text.split(b"\0"):
        key, equals, value = entry.partition(b"=")
        # A program that finds a variable twice takes the first.
        if equals and (name := wanted.get(key)) and name not in found:
            found[name] = value[: 4 * _LONGEST].decode("utf-8", "replace")[:_LONGEST]
    return found
