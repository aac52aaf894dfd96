# SPDX-License-Identifier: Apache-2.0
"""Files of the kernel's: read whole, the forms that several have, and what goes wrong by what to do about it."""

import errno
import os
import re
from collections.abc import Iterator

from agent.errors import JoulespanError, NoPermission, NotSupported, Unavailable

_NUMBER = re.compile(rb"\s*(-?[0-9]{1,20})\s*")
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP}
"""EOPNOTSUPP is what pressure files answer where the kernel has the feature switched off."""
_CHUNK = 64 * 1024
_MOST = 4 << 20
"""/proc/stat of 512 CPUs with all their interrupts is half a MiB."""


def whole(path: str, most: int = _MOST) -> bytes:
    """Read a file to its end. Raises as failure(), and Unavailable where it has no end within `most` bytes."""
    parts: list[bytes] = []
    size = 0
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while part := os.read(descriptor, _CHUNK):
                parts.append(part)
                size += len(part)
                if size > most:
                    raise Unavailable(f"{path}: is longer than {most} bytes")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise failure(path, error) from error
    return b"".join(parts)


def named_numbers(table: bytes) -> dict[str, int]:
    """Read lines of a name and a whole number: /proc/vmstat, cpu.stat; and in kB, as bytes: /proc/meminfo.

    Lines of another form are left out.
    """
    found: dict[str, int] = {}
    for line in table.splitlines():
        words = line.split()
        if len(words) in (2, 3) and words[1].isdigit():
            scale = 1024 if words[2:] == [b"kB"] else 1
            found[words[0].rstrip(b":").decode("utf-8", "replace")] = int(words[1]) * scale
    return found


def lines_of_words(table: bytes) -> Iterator[list[bytes]]:
    """Give the words of each line that has any."""
    for line in table.splitlines():
        if words := line.split():
            yield words


def number(path: str) -> int:
    """Read a whole number. Raises as whole(), and Unavailable where it is none."""
    found = whole(path)
    if not _NUMBER.fullmatch(found):
        raise Unavailable(f"{path}: is no number")
    return int(found)


def maybe(path: str) -> str | None:
    """Read a line of text; None where it is empty or cannot be read."""
    try:
        return whole(path).decode("utf-8", "replace").strip() or None
    except JoulespanError:
        return None


def failure(path: str, error: OSError) -> JoulespanError:
    """Say what an error of the system's means for a reading: NotSupported, NoPermission or Unavailable."""
    message = f"{path}: {os.strerror(error.errno) if error.errno else error}"
    if error.errno in _NOT_THERE:
        return NotSupported(message)
    return NoPermission(message) if error.errno in (errno.EACCES, errno.EPERM) else Unavailable(message)
