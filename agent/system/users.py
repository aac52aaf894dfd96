# SPDX-License-Identifier: Apache-2.0
"""Whose a process is: the number of its user, and the user's name where /etc/passwd has it.

Names of a directory service are not asked for: that goes over the network, and may hang.
"""

from pathlib import Path

from agent.system.processes import read

_LIMIT = 1 << 20
_STATUS = 4096
_LABEL = b"\nUid:\t"
_NUMBER = 2


def user_of(pid: int, root: Path) -> int | None:
    """Tell the number of the user that a process runs as; None when it is gone. `root` is that of /proc."""
    status = read(root / str(pid) / "status", _STATUS) or b""
    _, found, rest = status.partition(_LABEL)
    # Real, effective, saved and of files: what it may do, it may as the effective one.
    numbers = rest.split(b"\n", 1)[0].split() if found else []
    return int(numbers[1]) if len(numbers) > 1 and numbers[1].isdigit() else None


def user_names(passwd: Path) -> dict[int, str]:
    """Read the names of users by their numbers; of a number that comes twice the first counts."""
    found: dict[int, str] = {}
    for line in (read(passwd, _LIMIT) or b"").decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) > _NUMBER and fields[0] and fields[_NUMBER].isascii() and fields[_NUMBER].isdecimal():
            found.setdefault(int(fields[_NUMBER]), fields[0])
    return found
