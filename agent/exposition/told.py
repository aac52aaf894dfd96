# SPDX-License-Identifier: Apache-2.0
"""The values of a page that are read when they are asked for: most of them stand in the buckets of histograms.

A page is read each second and its histograms are passed on less often. That a text has only numbers is made sure at
once, without reading them: of each two characters that follow each other whether they may, and of points, exponents and
commas alone the same.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, overload

import msgspec

from agent.exposition import grammar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NUMBERS = msgspec.json.Decoder(list[float])
_OTHER, _DIGIT, _SIGN, _POINT, _EXPONENT, _COMMA = range(6)
_CHARACTERS = {b"0123456789": _DIGIT, b"+-": _SIGN, b".": _POINT, b"eE": _EXPONENT, b",": _COMMA}
_KINDS = bytes(next((kind for those, kind in _CHARACTERS.items() if one in those), _OTHER) for one in range(256))
"""Of each byte what it can be in a number."""
_FOLLOWS = {
    _DIGIT: (_DIGIT, _POINT, _EXPONENT, _COMMA),
    _SIGN: (_DIGIT,),
    _POINT: (_DIGIT, _COMMA),
    _EXPONENT: (_DIGIT, _SIGN),
    _COMMA: (_DIGIT, _SIGN),
}
_ONCE = {_POINT: (_EXPONENT, _COMMA), _EXPONENT: (_COMMA,), _COMMA: (_POINT, _EXPONENT, _COMMA)}
"""What may come after what, of these three alone: in one number a point and an exponent, each once."""


def _pairs(allowed: dict[int, tuple[int, ...]]) -> bytes:
    return bytes(one * 8 + other for one, others in allowed.items() for other in others)


_FOLLOWS_PAIRS, _ONCE_PAIRS = _pairs(_FOLLOWS), _pairs(_ONCE)
_UNMARKED = bytes((_DIGIT, _SIGN))


class Told(Sequence[float]):
    """Numbers as a text of them, each with a comma behind it."""

    def __init__(self, text: bytes, ends: "NDArray[np.intp]") -> None:
        """Keep the text, and where each ends, its comma included. They are numbers: see whole()."""
        self._text = text
        self._ends = ends
        self._all: Sequence[float] | None = None

    def __len__(self) -> int:
        """Count them."""
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> float: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[float]: ...

    def __getitem__(self, place: int | slice) -> float | Sequence[float]:
        """Give one, or some: then all are read."""
        return self.all()[place]

    def all(self) -> Sequence[float]:
        """Give all, and keep them."""
        if self._all is None:
            self._all = numbers(self._text)
        return self._all

    def some(self, places: "NDArray[np.intp]") -> Sequence[float]:
        """Read those at these places, at least one of them."""
        import numpy as np  # noqa: PLC0415

        text, ends = np.frombuffer(self._text, np.uint8), self._ends
        stops, starts = ends[places], np.where(places > 0, ends[places - 1], 0)
        widths = stops - starts
        behind = np.cumsum(widths)
        where = np.repeat(starts - behind + widths, widths)
        where += np.arange(len(where))
        return numbers(text[where].tobytes())


def every(values: Sequence[float]) -> Sequence[float]:
    """Give all values, read, for who goes through them one by one."""
    return values.all() if isinstance(values, Told) else values


class Places:
    """Places on pages of one layout."""

    def __init__(self, places: Iterable[int]) -> None:
        """Take them in; they may come twice."""
        self.places = tuple(places)
        self._get = itemgetter(*self.places) if len(self.places) > 1 else None
        self._array: NDArray[np.intp] | None = None

    def of(self, values: Sequence[float]) -> Sequence[float]:
        """Give the values at these places."""
        if self._get is None:
            return [values[place] for place in self.places]
        if not isinstance(values, Told):
            found: tuple[float, ...] = self._get(values)
            return found
        if self._array is None:
            import numpy as np  # noqa: PLC0415

            self._array = np.array(self.places, np.intp)
        return values.some(self._array)


def whole(text: bytes, count: int) -> bool:
    """Tell whether a text is of so many finite numbers with a comma behind each, written as programs write them."""
    kinds = text.translate(_KINDS)
    marks = kinds.translate(None, _UNMARKED)
    return (
        marks.count(_COMMA) == count
        and kinds[0] in _FOLLOWS[_COMMA]
        and not _pairs_of(kinds).translate(None, _FOLLOWS_PAIRS)
        and not _pairs_of(marks).translate(None, _ONCE_PAIRS)
    )


def numbers(text: bytes) -> Sequence[float]:
    """Read numbers with a comma behind each. Raises ValueError."""
    try:
        found: Sequence[float] = _NUMBERS.decode(b"[%b]" % text[:-1])
    except msgspec.DecodeError:  # NaN, for one, is no number of JSON.
        found = grammar.numbers(text[:-1].decode("ascii", "replace").split(","))
    return found


def _pairs_of(kinds: bytes) -> bytes:
    import numpy as np  # noqa: PLC0415

    read = np.frombuffer(kinds, np.uint8)
    return (read[:-1] * 8 + read[1:]).tobytes()
