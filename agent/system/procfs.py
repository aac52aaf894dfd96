# SPDX-License-Identifier: Apache-2.0
"""Facts about processes from /proc."""

from pathlib import Path

PROC = Path("/proc")


def process_name(pid: int, root: Path = PROC) -> str | None:
    """Name a process as the kernel does, at most 15 characters and no arguments; None when it is not visible here."""
    try:
        return (root / str(pid) / "comm").read_bytes().decode("utf-8", "replace").strip() or None
    except OSError:
        return None
