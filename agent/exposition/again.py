# SPDX-License-Identifier: Apache-2.0
"""A page that differs from the one before in its values alone, read in one go instead of line by line.

Nearly every page is one. Where its lines end says where its values are; all that is no value is compared with that of
the page before, as one run of bytes; and the values are kept as a text until somebody asks for them. No object is made
for a word: of sixteen pages that are read in turn, those of one would never be in a cache when it comes to them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.exposition.told import Told, numbers, whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FEWEST = 8
"""Values of a page from which on it is worth while."""
_NEWLINE, _COMMA = b"\n,"


class Again:
    """What is kept of a page to read the next one."""

    def __init__(self, page: bytes, lines: Sequence[str], places: Sequence[int]) -> None:
        """Take in a page, its lines, and for each of them the place of its sample or -1; they come in order."""
        import numpy as np  # noqa: PLC0415 - 12 MiB, for those who read pages

        bare = [line.encode("utf-8", "replace") for line in lines]
        self._lines = page.count(b"\n")
        told = [number for number, place in enumerate(places) if place >= 0]
        ends = np.cumsum([len(line) + 1 for line in bare]) - 1
        self._told = np.array(told, np.intp)
        """Which lines have values."""
        starts = ends[self._told] - [len(bare[number]) - bare[number].rfind(b" ") - 1 for number in told]
        self._gaps = np.diff(starts, prepend=0)
        self._gaps[1:] -= (ends[self._told] - starts)[:-1]
        """Bytes before each value, since the one before it."""
        # A page that is not of UTF-8, or whose last value has no end of line, is read line by line.
        self._usable = len(told) >= _FEWEST and len(page) == sum(map(len, bare)) + self._lines and not places[-1] >= 0
        self._rest: NDArray[np.uint8] | None = None
        """All that is no value, once it is known."""
        if self._usable:
            self._divided(page)

    def read(self, page: bytes) -> Sequence[float] | None:
        """Give the values of a page in their order; None where it is another one, or has what is no number."""
        if not self._usable:
            return None
        found = self._divided(page)
        if found is None:
            return None
        text, ends = found
        if whole(text, len(ends)):
            return Told(text, ends)
        try:
            told = numbers(text)
        except ValueError:
            return None
        # A word with a comma in it is no number, though it would read as two.
        return told if len(told) == len(ends) else None

    def _divided(self, page: bytes) -> "tuple[bytes, NDArray[np.intp]] | None":
        """Give the values, each with a comma behind it, and where each ends; None where the rest is another."""
        import numpy as np  # noqa: PLC0415

        read = np.frombuffer(page, np.uint8)
        # One array for three purposes: memory that is new to the process costs more than what is done in it.
        flags = read == _NEWLINE
        ends = np.flatnonzero(flags)
        if len(ends) != self._lines:
            return None
        ends = ends[self._told]
        starts = self._gaps.copy()
        starts[1:] += ends[:-1]
        widths = ends - starts + 1
        if widths.min() < 1:  # Lines that are shorter than what stood before their value.
            return None
        behind = np.cumsum(widths)
        places = np.repeat(starts - behind + widths, widths)
        places += np.arange(len(places))
        text = read[places]
        text[behind - 1] = _COMMA
        flags[:] = True
        flags[places] = False
        rest = read[flags]
        if self._rest is None:
            self._rest = rest
        elif len(rest) != len(self._rest) or not np.equal(rest, self._rest, out=flags[: len(rest)]).all():
            return None
        return text.tobytes(), behind
