# SPDX-License-Identifier: Apache-2.0
"""Small files of the kernel's: one value each, read whole, and what goes wrong by what to do about it."""

import errno
import os
import re
import resource

from agent.errors import JoulespanError, NoPermission, NotSupported, Unavailable

_MOST = 4096
_LONGEST = 24
_NUMBER = re.compile(rb"\s*(-?[0-9]{1,20})\s*")
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
"""EINVAL is what the speed of a link that is down answers, EOPNOTSUPP what a driver without the file's call does."""
_FORBIDDEN = {errno.EACCES, errno.EPERM}


def content(path: str, most: int = _MOST) -> bytes:
    """Read a file of at most `most` bytes. Raises NotSupported where it is not there, NoPermission, Unavailable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, most)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise failure(path, error) from error


def text(path: str) -> str:
    """Read a line of text, without the white space around it. Raises as content()."""
    return content(path).decode("utf-8", "replace").strip()


def number(path: str) -> int:
    """Read a whole number. Raises as content(), and Unavailable where it is none."""
    found = content(path)
    if not _NUMBER.fullmatch(found):
        raise Unavailable(f"{path}: is no number")
    return int(found)


class KeptFiles:
    """Reads files that are read again and again, and keeps them open: that takes a ninth of the time.

    At most `capacity` are kept, and none beyond a quarter of what this process may open; the others are opened each
    time. Of the kernel's files only: one that is replaced would still be read as it was.
    """

    def __init__(self, capacity: int = 1024) -> None:
        """Keep nothing yet."""
        self._kept: dict[str, dict[str, int]] = {}
        self._left = min(capacity, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)

    def content(self, folder: str, name: str) -> bytes:
        """Read a file of a folder. Raises NotSupported where it is not there, NoPermission, Unavailable."""
        descriptor = self._kept.get(folder, {}).get(name)
        if descriptor is None:
            if self._left <= 0:
                return content(f"{folder}/{name}")
            descriptor = self._open(folder, name)
        try:
            return os.pread(descriptor, _MOST, 0)
        except OSError as error:
            if error.errno == errno.ENODEV:  # The device has gone, and another may come under its name.
                self.forget(folder)
            raise failure(f"{folder}/{name}", error) from error

    def number(self, folder: str, name: str) -> int:
        """Read a whole number of a file. Raises Unavailable where it is none, and what reading raises."""
        found = self.content(folder, name)
        try:
            # More digits than that are no 64 bits, and as a float they may be none at all.
            value = int(found) if len(found) <= _LONGEST else None
        except ValueError:
            value = None
        if value is None:
            raise Unavailable(f"{folder}/{name}: is no number")
        return value

    def forget(self, folder: str) -> None:
        """Close the files of a folder: what it is called now may be something else."""
        for descriptor in self._kept.pop(folder, {}).values():
            os.close(descriptor)
            self._left += 1

    def __del__(self) -> None:
        """Close all."""
        for folder in list(self._kept):
            self.forget(folder)

    def _open(self, folder: str, name: str) -> int:
        try:
            descriptor = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise failure(f"{folder}/{name}", error) from error
        self._kept.setdefault(folder, {})[name] = descriptor
        self._left -= 1
        return descriptor


def maybe(path: str) -> str | None:
    """Read a line of text; None where it is empty or cannot be read."""
    try:
        return text(path) or None
    except JoulespanError:
        return None


def target(path: str) -> str | None:
    """Name what a symbolic link leads to, without the way there; None where there is none."""
    try:
        return os.path.basename(os.readlink(path)) or None  # noqa: PTH115, PTH119 - a Path takes ten times as long
    except OSError:
        return None


def failure(path: str, error: OSError) -> JoulespanError:
    """Say what an error of the system's means for a reading."""
    message = f"{path}: {os.strerror(error.errno) if error.errno else error}"
    if error.errno in _NOT_THERE:
        return NotSupported(message)
    return NoPermission(message) if error.errno in _FORBIDDEN else Unavailable(message)
