# SPDX-License-Identifier: Apache-2.0
"""Encoded telemetry on disk, that a back end could not take yet: in order, bounded, and there after a restart.

Each agent writes into a folder of its own, `spool/EXPORTER/NAME`, and holds a lock on it as long as it lives. One that
finds a folder whose lock nobody holds takes over what is in it: of an agent that ended, or that was killed, also while
its successor ran already. A file holds some parcels and appears whole or not at all; it goes when they were sent, so
that of a file in which an agent was killed some may be sent twice. Files are not forced to the disk: what a machine
that loses its power had not written is lost.
"""

import fcntl
import logging
import os
import shutil
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import msgspec

from agent.otlp.parcel import Parcel

log = logging.getLogger(__name__)

_MAGIC, _CHECKED = b"jsq1", 4
"""How a file begins, and the bytes of the CRC of the rest that follow."""
_ENDING, _LOCK = ".otlp", "lock"
_LARGEST = 64 << 20
"""Bytes of a file, uncompressed: what is larger is not written, and what is there is none of ours."""
_MOST_FILES = 1 << 16
_PRIVATE = 0o700
_LEVEL = 1
_PARCELS = msgspec.msgpack.Decoder(list[Parcel])
FAILURES = WRITE, CORRUPT = "write", "corrupt"
"""What can fail: a file cannot be written or taken over; it is not what was written."""


class Written(NamedTuple):
    """Whether parcels are on disk, and those for which there is no room there any more."""

    kept: bool
    gone: Sequence[Parcel]


class _File(NamedTuple):
    path: Path
    size: int


class Spool:
    """The files of one exporter. From any thread."""

    def __init__(self, folder: Path, capacity: int, now: Callable[[], int] = time.time_ns) -> None:
        """Keep at most `capacity` bytes in this folder. What cannot be written is told by write(), not here."""
        self.capacity = capacity
        self.failures: Counter[str] = Counter()
        self._folder = folder
        self._now = now
        self._guard = Lock()
        self._files: deque[_File] = deque()
        self._taken: _File | None = None
        self._last = self._size = 0
        self._own: Path | None = None
        self._lock = -1
        self._complained = ""
        self.adopt()

    @property
    def usage(self) -> int:
        """Bytes on disk, of what waits and of what is being sent."""
        return self._size

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._files)

    def write(self, parcels: Sequence[Parcel]) -> Written:
        """Keep parcels as the newest, and return what had to go for them."""
        told = msgspec.msgpack.encode(parcels)
        if len(told) > _LARGEST:
            return Written(kept=True, gone=parcels)
        data = _packed(told)
        with self._guard:
            gone: list[Parcel] = []
            while self._files and (self._size + len(data) > self.capacity or len(self._files) >= _MOST_FILES):
                oldest = self._files.popleft()
                gone += self._read(oldest) or ()
                self._forget(oldest)
            if self._size + len(data) > self.capacity:
                return Written(kept=True, gone=[*gone, *parcels])
            try:
                self._files.append(self._put(data))
            except OSError as error:
                self._complain(error)
                self.failures[WRITE] += 1
                return Written(kept=False, gone=gone)
            self._complained = ""
            self._size += len(data)
        return Written(kept=True, gone=gone)

    def take(self) -> Sequence[Parcel]:
        """Read the oldest file; its parcels stay on disk until done(). Nothing: there is none that can be read."""
        with self._guard:
            while self._files:
                self._taken = self._files.popleft()
                if found := self._read(self._taken):
                    return found
                self._forget(self._taken)
            self._taken = None
        return ()

    def done(self) -> None:
        """Forget the file that was taken."""
        with self._guard:
            if self._taken is not None:
                self._forget(self._taken)
                self._taken = None

    def adopt(self) -> None:
        """Take over what agents left that are no more."""
        found: list[_File] = []
        with self._guard:
            try:
                for folder in self._abandoned():
                    with suppress(FileNotFoundError):  # Another took it over just now.
                        for file in self._moved(folder):
                            found.append(file)  # noqa: PERF402 - what was moved counts, whatever comes of the next
            except FileNotFoundError:  # Nobody has kept anything yet.
                pass
            except OSError as error:
                self._complain(error)
                self.failures[WRITE] += 1
            if found:
                self._files = deque(sorted((*self._files, *found), key=lambda one: one.path.name))
                self._size += sum(one.size for one in found)
                self._last = max(self._last, _number(self._files[-1].path))
                log.info("otlp: %d files in %s, which were not sent before, will be", len(found), self._folder)

    def close(self) -> None:
        """Leave the folder, and what is in it, to whoever comes next."""
        with self._guard:
            if self._own is not None:
                if not self._files and self._taken is None:
                    shutil.rmtree(self._own, ignore_errors=True)
                os.close(self._lock)
                self._own, self._lock = None, -1

    def _put(self, data: bytes) -> _File:
        """Write a file. Its name says when, so that files of several agents have an order."""
        folder = self._open()
        self._last = max(self._last + 1, self._now())
        path = folder / f"{self._last:020}{_ENDING}"
        fresh = path.with_suffix(".new")
        try:
            fresh.write_bytes(data)
            fresh.replace(path)
        except OSError:
            # On a disk that is full, half a file is what is missing to others.
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        return _File(path, len(data))

    def _open(self) -> Path:
        """Give our folder, and make it where there is none: nobody finds it before it is locked."""
        if self._own is None:
            name = f"{self._now():020}-{os.getpid()}"
            fresh = self._folder / f".{name}"
            self._folder.mkdir(_PRIVATE, parents=True, exist_ok=True)
            fresh.mkdir(_PRIVATE)
            lock = -1
            try:
                lock = os.open(fresh / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._own, self._lock = fresh.replace(self._folder / name), lock
            except OSError:
                if lock >= 0:
                    os.close(lock)
                shutil.rmtree(fresh, ignore_errors=True)
                raise
        return self._own

    def _abandoned(self) -> Iterator[Path]:
        """Give the folders whose lock is to be had, and hold it meanwhile."""
        for folder in sorted(self._folder.iterdir()):
            if folder == self._own or folder.name.startswith("."):
                continue
            try:
                lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except (FileNotFoundError, NotADirectoryError):
                continue  # Another took it over just now; or it is nothing of ours.
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield folder
            except BlockingIOError:
                continue
            finally:
                os.close(lock)

    def _moved(self, folder: Path) -> Iterator[_File]:
        """Move the files of a folder into ours."""
        files = [one for one in sorted(folder.iterdir()) if one.suffix == _ENDING]
        for path in files:
            into = self._open() / path.name
            while into.exists():
                into = into.with_name(f"{_number(into) + 1:020}{_ENDING}")
            moved = path.replace(into)
            yield _File(moved, moved.stat().st_size)
        shutil.rmtree(folder, ignore_errors=True)

    def _read(self, file: _File) -> Sequence[Parcel] | None:
        """Read a file; one that is not as it was written is counted, and None."""
        try:
            return _unpacked(file.path.read_bytes() if file.size <= _LARGEST else b"")
        except (OSError, ValueError, zlib.error, msgspec.MsgspecError) as error:
            self.failures[CORRUPT] += 1
            log.warning("otlp: %s is lost: %s", file.path, error)
            return None

    def _forget(self, file: _File) -> None:
        self._size -= file.size
        with suppress(OSError):
            file.path.unlink(missing_ok=True)

    def _complain(self, error: OSError) -> None:
        words = f"{self._folder}: {error.strerror}"
        if words != self._complained:
            self._complained = words
            log.warning("otlp: what waits cannot be kept on disk, and stays in memory: %s", words)


def _packed(told: bytes) -> bytes:
    packed = zlib.compress(told, _LEVEL)
    return _MAGIC + zlib.crc32(packed).to_bytes(_CHECKED) + packed


def _unpacked(data: bytes) -> Sequence[Parcel]:
    """Give what was packed. Raises ValueError, zlib.error or MsgspecError where this is nothing that was."""
    packed = data[len(_MAGIC) + _CHECKED :]
    if data[: len(_MAGIC) + _CHECKED] != _MAGIC + zlib.crc32(packed).to_bytes(_CHECKED):
        raise ValueError("not what was written")
    return _PARCELS.decode(zlib.decompressobj().decompress(packed, _LARGEST))


def _number(path: Path) -> int:
    digits = path.stem
    return int(digits) if digits.isdecimal() else 0
