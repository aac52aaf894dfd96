# SPDX-License-Identifier: Apache-2.0
"""Follows files that others append lines to: they grow, rotate, are truncated, compressed, and vanish.

A file whose name ends in .gz is a sequence of gzip members. Everything is bounded, and what a bound leaves out is
counted: bytes read at once, the length of a line, how far reading may lag, and the number of files.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from glob import iglob
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from agent.system.tail_lines import Lines, Members

LINE = 1 << 20
"""Bytes of the longest line that is read."""
BEHIND = 16 << 20
"""Bytes of a file, as it lies on the disk, beyond which what was not read yet is skipped."""
_CHUNK = 256 << 10
_NAMES = 4096
"""Names looked at for each pattern."""


class Tail:
    """One file, followed. It is opened when it is there, and again when its name stands for another file."""

    def __init__(self, path: Path, *, from_end: bool, line: int = LINE, behind: int = BEHIND) -> None:
        """Read what is appended from now on, or, without `from_end`, all of it."""
        self.path = path
        self._from_end = from_end
        self._behind = behind
        self._fd: int | None = None
        self._at = 0
        self._lines = Lines(line)
        self._compressed = path.suffix == ".gz"
        self._members = Members()
        self._tally: Counter[str] = Counter()
        self.pending = False
        """The last reading ended for want of budget."""
        self.gone = False
        """The file is no longer there, and all of it was read."""

    def read(self, budget: int) -> list[bytes]:
        """Give the lines that ended since the last reading, of about `budget` uncompressed bytes.

        Raises OSError where the file is there and may not be read.
        """
        if self._fd is None:
            self.gone = not self._open(from_end=self._from_end)
            self._from_end = False
            return [] if self.gone else self._drain(budget)
        now = _identity(self.path)
        lines = self._drain(budget)
        if not self.pending and now != _identity(self._fd):
            self.close()
            # The rest of a renamed file was read above; the new one is read from its beginning.
            self.gone = now is None
            if now is not None and self._open(from_end=False):
                lines += self._drain(budget)
        return lines

    def close(self) -> None:
        """Let go of the file; the line that was not ended is lost."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._restart(0)

    def tally(self) -> Mapping[str, int]:
        """Count lines that were cut off or too long, and bytes skipped, damaged, or read again after truncation."""
        return self._tally + Counter(oversized=self._lines.oversized, damaged=self._members.passed_over)

    def _open(self, *, from_end: bool) -> bool:
        try:
            # Whoever can write into a folder for everybody can put a pipe there, whose opening would wait.
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise OSError(f"{self.path} is no regular file")
        self._fd = fd
        self._restart(found.st_size if from_end else 0)
        return True

    def _drain(self, budget: int) -> list[bytes]:
        assert self._fd is not None
        size = os.fstat(self._fd).st_size
        if size < self._at:
            self._tally["truncated"] += 1
            self._restart(0)
        elif size - self._at > self._behind:
            self._tally["skipped"] += size - self._at
            self._restart(size)
        lines: list[bytes] = []
        self.pending = True
        while budget > 0:
            piece, more = self._piece(budget)
            budget -= len(piece)
            lines += self._lines.feed(piece)
            if not more:
                self.pending = False
                break
        return lines

    def _piece(self, budget: int) -> tuple[bytes, bool]:
        """Read on, at most `budget` bytes. Returns also whether there may be more."""
        assert self._fd is not None
        raw = b""
        if not self._members.pending:
            raw = os.pread(self._fd, min(_CHUNK, budget), self._at)
            self._at += len(raw)
            if not raw:
                return b"", False
        return (self._members.feed(raw, budget) if self._compressed else raw), True

    def _restart(self, at: int) -> None:
        """Go on at a place that does not continue what was read."""
        self._at = at
        if self._lines.clear():
            self._tally["cut"] += 1
        passed = self._members.passed_over
        self._members = Members()
        self._members.passed_over = passed


class Read(NamedTuple):
    """Lines of a file."""

    path: Path
    lines: list[bytes]


class Tails:
    """The files that some patterns name, followed: new ones from their beginning, those that are there from their end.

    Files of one writer are numbered, so they are read in the order of their names. At the most the `files` that were
    written to last are followed.
    """

    def __init__(
        self, patterns: Sequence[str], root: Path = Path("/"), *, files: int = 64, budget: int = 4 << 20
    ) -> None:
        """Follow files below `root`, which the patterns begin at. `budget` is the bytes, uncompressed, of a reading."""
        self._patterns = [str(root / pattern.lstrip("/")) for pattern in patterns]
        self._most = files
        self._budget = budget
        self._tails: dict[str, Tail] = {}
        self._first = True
        self._next = ""
        self._ended: Counter[str] = Counter()
        self._refused: set[str] = set()
        self.left_out = 0
        """Files that are there and not followed, because there are too many."""

    @property
    def followed(self) -> int:
        """How many files are followed."""
        return len(self._tails)

    @property
    def unreadable(self) -> int:
        """How many of them could not be read the last time."""
        return len(self._refused)

    def read(self) -> Iterator[Read]:
        """Read what was appended to each since the last time. Where the budget ends, the next reading begins."""
        self._look()
        names = sorted(self._tails)
        at = next((number for number, name in enumerate(names) if name >= self._next), 0)
        left = self._budget
        for name in (*names[at:], *names[:at]):
            if left <= 0:
                self._next = name
                return
            lines = self._one(name, left)
            left -= sum(map(len, lines))
            if lines:
                yield Read(Path(name), lines)
            tail = self._tails.get(name)
            if tail is not None and tail.pending:
                self._next = name
                return
        self._next = ""

    def tally(self) -> Mapping[str, int]:
        """Count what was left out of all files so far; see Tail."""
        return sum((Counter(tail.tally()) for tail in self._tails.values()), Counter(self._ended))

    def close(self) -> None:
        """Let go of all files."""
        for name in list(self._tails):
            self._drop(name)

    def _one(self, name: str, budget: int) -> list[bytes]:
        tail = self._tails[name]
        try:
            lines = tail.read(budget)
        except OSError:
            self._refused.add(name)
            return []
        self._refused.discard(name)
        if tail.gone:
            self._drop(name)
        return lines

    def _look(self) -> None:
        """See which files there are. Those that vanished are dropped once they are read to their end."""
        matches = (islice(iglob(pattern), _NAMES) for pattern in self._patterns)  # noqa: PTH207 - of whole paths
        found = {name: _written(name) for names in matches for name in names}
        newest = sorted(found, key=lambda name: found[name], reverse=True)[: self._most]
        self.left_out = len(found) - len(newest)
        for name in newest:
            if name not in self._tails:
                self._tails[name] = Tail(Path(name), from_end=self._first)
        for name in found.keys() - set(newest):
            self._drop(name)
        self._first = False

    def _drop(self, name: str) -> None:
        tail = self._tails.pop(name, None)
        self._refused.discard(name)
        if tail is not None:
            tail.close()
            self._ended += Counter(tail.tally())


def _identity(file: Path | int) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(file)  # noqa: PTH116 - a descriptor has no path
        return found.st_dev, found.st_ino
    return None


def _written(name: str) -> int:
    with suppress(OSError):
        return os.stat(name).st_mtime_ns  # noqa: PTH116 - glob gives text
    return 0
