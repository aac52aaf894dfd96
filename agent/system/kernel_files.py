# SPDX-License-Identifier: Apache-2.0
"""Long files of the kernel's, read to their end, and the forms that several of them have."""

import os
from collections.abc import Iterator

from agent.errors import Unavailable
from agent.system.sysfs import failure

_DIGITS = 20
_CHUNK = 64 * 1024
_MOST = 4 << 20
"""/proc/stat of 512 CPUs with all their interrupts is half a MiB."""


def whole(path: str, most: int = _MOST) -> bytes:
    """Read a file to its end. Raises as sysfs.content(), and Unavailable where it has no end within `most` bytes."""
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


def is_number(word: bytes) -> bool:
    """Say whether this is a whole number of at most 64 bits, without a sign."""
    return len(word) <= _DIGITS and word.isdigit()


def named_numbers(table: bytes) -> dict[str, int]:
    """Read lines of a name and a whole number: /proc/vmstat, cpu.stat; and in kB, as bytes: /proc/meminfo.

    Lines of another form are left out.
    """
    found: dict[str, int] = {}
    for line in table.splitlines():
        words = line.split()
        if len(words) in (2, 3) and is_number(words[1]):
            scale = 1024 if words[2:] == [b"kB"] else 1
            found[words[0].rstrip(b":").decode("utf-8", "replace")] = int(words[1]) * scale
    return found


def lines_of_words(table: bytes) -> Iterator[list[bytes]]:
    """Give the words of each line that has any."""
    for line in table.splitlines():
        if words := line.split():
            yield words
