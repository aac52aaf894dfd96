# SPDX-License-Identifier: Apache-2.0
"""A small file in the state directory, replaced as a whole: a crash leaves the old one or the new one."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.errors import StateError

_MOST = 16 << 20
"""Bytes of a state file that is read."""


def directory(configured: str, environment: Mapping[str, str]) -> Path:
    """Tell where state is kept: as configured, as systemd says, or where XDG puts it."""
    if configured:
        return Path(configured)
    if under_systemd := environment.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(under_systemd)
    base = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME") or "/var/lib") / ".local/state")
    return Path(base) / "joulespan"


def read(path: Path) -> object | None:
    """Read a state file; None where there is none. Raises StateError for one that cannot be read."""
    try:
        if path.stat().st_size > _MOST:
            raise StateError(f"{path}: more than {_MOST} bytes")
        found: object = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StateError(f"{path}: {error}") from error
    return found


def write(path: Path, state: object) -> None:
    """Replace a state file. Raises StateError; the old one is as it was then."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        # On a disk that is full, half a file is what is missing to others.
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
