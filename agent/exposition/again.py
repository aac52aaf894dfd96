# SPDX-License-Identifier: Apache-2.0
"""A page that differs from the one before in its values alone, read in one go instead of line by line.

Nearly every page is one. Its words are split once, by what runs in C; all that are no values are compared with those
of the page before; and the values are read as one list of JSON. Of 5 000 lines of which each has changed, that takes a
fifth of the time.
"""

from collections.abc import Sequence
from operator import itemgetter

import msgspec

_FEWEST = 8
"""Lines of a page from which on it is worth while, and itemgetter gives tuples."""
_NEWLINE = ord("\n")
_NUMBERS = msgspec.json.Decoder(list[float])


class Again:
    """What is kept of a page to read the next one."""

    def __init__(self, page: bytes, lines: Sequence[str], places: Sequence[int]) -> None:
        """Take in a page, its lines, and for each of them the place of its sample or -1; they come in order."""
        self._rest: tuple[bytes, ...] = ()
        self._blank = self._ends = 0
        """Bytes of the page without its values, and lines of it: with the same words, others are another division."""
        values: list[int] = []
        count = 0
        for line, place in zip(lines, places, strict=True):
            count += len(line.encode("utf-8", "replace").split())
            if place >= 0:
                values.append(count - 1)
        taken = set(values)
        rest = [place for place in range(count) if place not in taken]
        self._count, self._number = count, len(values)
        self._usable = len(values) >= _FEWEST and len(rest) >= _FEWEST
        if self._usable:
            self._values, self._others = itemgetter(*values), itemgetter(*rest)
            split = page.split()
            self._usable = len(split) == count
            if self._usable:
                self._rest = self._others(split)
                self._blank = len(page) - len(b",".join(self._values(split)))
                self._ends = _ends(page)

    def read(self, page: bytes) -> list[float] | None:
        """Give the values of a page in their order; None where it is another one, or has what JSON does not."""
        if not self._usable:
            return None
        split = page.split()
        if len(split) != self._count or self._others(split) != self._rest:
            return None
        values = b",".join(self._values(split))
        # The same words, divided otherwise. What passes here and is no such page, only an engine that lies could write.
        if len(page) - len(values) != self._blank or _ends(page) != self._ends:
            return None
        try:
            numbers = _NUMBERS.decode(b"[%b]" % values)
        except msgspec.DecodeError:
            return None
        # A word with a comma in it is no number, though it would read as two.
        return numbers if len(numbers) == self._number else None


def _ends(page: bytes) -> int:
    """Count the ends of lines; `bytes.count` takes five times as long where there are many."""
    import numpy as np  # noqa: PLC0415 - 12 MiB, for those who read pages

    return int(np.count_nonzero(np.frombuffer(page, np.uint8) == _NEWLINE))
