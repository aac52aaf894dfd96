# SPDX-License-Identifier: Apache-2.0
"""Pages of metrics in the Prometheus text format 0.0.4 and in OpenMetrics 1.0, read fast.

A page that is asked for each second names the same series each time, and most of its values have not changed. So a
parser keeps the lines of the last page and reads only those that differ; where the page names other series, it
knows the text before the value of those it has seen; only what is new is taken apart. Values stay as the page has
them: counters that restarted fall, and what is not a number (NaN) is one. Nothing here raises for what a page says:
a line that cannot be read is counted and left out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from agent.exposition import grammar
from agent.exposition.again import Again
from agent.exposition.grammar import Bounds, Key, Malformed, Seen, Unbounded, number
from agent.exposition.told import every

__all__ = ["Bounds", "Key", "Line", "Page", "Parser", "Seen"]

T = TypeVar("T")
_END = "# EOF"


class Line(NamedTuple):
    """One sample of a page. `time` is unix ns, where the page says when."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    exemplar: Seen | None
    time: int | None


class Page(NamedTuple):
    """What a page says, in its order.

    `keys` is the same object as long as a source names the same series in the same order, so that work can be kept per
    layout. `types` are those of the families by their names, which OpenMetrics writes without `_total`. `exemplars`
    and `times` (unix ns) are by place. `dropped` counts what was left out: `malformed`, or the name of a bound.
    """

    keys: tuple[Key, ...]
    values: Sequence[float]
    types: Mapping[str, str]
    exemplars: Mapping[int, Seen]
    times: Mapping[int, int]
    dropped: Mapping[str, int]

    def lines(self) -> Iterator[Line]:
        """Give every sample."""
        for place, ((name, labels), value) in enumerate(zip(self.keys, every(self.values), strict=True)):
            yield Line(name, labels, value, self.exemplars.get(place), self.times.get(place))


_EMPTY = Page((), (), {}, {}, {}, {})


class Parser:
    """Reads the pages of one source, and keeps the last one to read the next with less work.

    Not to be shared between threads.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        """Know nothing yet."""
        self._bounds = bounds or Bounds()
        self._page = _EMPTY
        self._lines: list[str] = []
        self._texts: list[str | None] = []
        self._places: list[int] = []
        self._known: dict[str, Key] = {}
        self._cut: Counter[str] = Counter()
        self._values: Again | None = None

    def parse(self, page: bytes) -> Page:
        """Read a page. What cannot be read is left out, and counted in what is returned."""
        if self._values is not None and len(page) <= self._bounds.page:
            values = self._values.read(page)
            if values is not None:
                # The lines are those of an older page now, and of no use to compare with.
                self._lines, self._page = [], self._page._replace(values=values)
                return self._page
            self._values = None
        lines, cut = self._split(page)
        if cut == self._cut and len(lines) == len(self._lines):
            again = self._same(lines)
            if again is not None:
                self._lines, self._page = lines, again
                return again
        reading = _Reading(lines, self._known, self._bounds, cut)
        self._cut = cut
        self._lines, self._texts, self._places, self._known = lines, reading.texts, reading.places, reading.known
        keys = tuple(reading.keys)
        self._page = Page(
            self._page.keys if keys == self._page.keys else keys,
            reading.values,
            reading.types,
            reading.exemplars,
            reading.times,
            dict(reading.dropped),
        )
        plain = not (reading.exemplars or reading.times or reading.dropped)
        self._values = Again(page, lines, reading.places) if plain else None
        return self._page

    def _split(self, page: bytes) -> tuple[list[str], Counter[str]]:
        cut: Counter[str] = Counter()
        most = self._bounds.page
        if len(page) > most:
            page = page[: page.rfind(b"\n", 0, most) + 1]
            cut["page"] += 1
        lines = page.decode("utf-8", "replace").split("\n", self._bounds.lines)
        if len(lines) > self._bounds.lines:
            cut["lines"] += bool(lines.pop())
        return lines, cut

    def _same(self, lines: list[str]) -> Page | None:
        """Read only what differs from the last page; None where other series are named."""
        page = self._page
        rows = zip(lines, self._lines, self._texts, self._places, strict=True)
        changed = [(now, text, place) for now, then, text, place in rows if now != then]
        parts = [line.rpartition(" ") for line, _, _ in changed]
        try:
            plain = [text for text, _, _ in parts] == [text for _, text, _ in changed]
            if not plain or page.exemplars or page.times:
                return self._again(changed)
            values = list(page.values)
            numbers = grammar.numbers([value for _, _, value in parts])
        except (ValueError, Malformed, Unbounded):
            return None
        for (_, _, place), value in zip(changed, numbers, strict=True):
            values[place] = value
        return page._replace(values=values)

    def _again(self, changed: list[tuple[str, str | None, int]]) -> Page | None:
        """Read lines that may have more than a value."""
        page, most = self._page, self._bounds.line
        values, exemplars, times = list(page.values), dict(page.exemplars), dict(page.times)
        for line, text, place in changed:
            if text is None or len(line) > most:
                return None
            found = grammar.sample(line.strip(" \t\r"), self._bounds)
            if found.text != text:
                return None
            values[place] = found.value
            _put(exemplars, place, found.exemplar)
            _put(times, place, None if found.time is None else _when(found.time, openmetrics=_ends(self._lines)))
        return page._replace(values=values, exemplars=exemplars, times=times)


class _Reading:
    """A page that is read line by line."""

    def __init__(self, lines: list[str], known: Mapping[str, Key], bounds: Bounds, cut: Counter[str]) -> None:
        self._before, self._bounds = known, bounds
        self._openmetrics = _ends(lines)
        self.known: dict[str, Key] = {}
        self.keys: list[Key] = []
        self.values: list[float] = []
        self.texts: list[str | None] = []
        """Of each line the text that names its series; None where it is no sample."""
        self.places: list[int] = []
        """Of each line the place of its sample, or -1."""
        self.types: dict[str, str] = {}
        self.exemplars: dict[int, Seen] = {}
        self.times: dict[int, int] = {}
        self.dropped = Counter(cut)
        most, longest = bounds.series, bounds.line
        for line in lines:
            before = len(self.keys)
            told: str | None = None
            text, _, value = line.rpartition(" ")
            key = known.get(text)
            try:
                if key is not None and before < most and len(line) <= longest and "\t" not in value:
                    told = self._add(text, key, number(value))
                else:
                    told = self._line(line.strip(" \t\r"))
            except (Malformed, ValueError):
                self.dropped["malformed"] += 1
            except Unbounded as bound:
                self.dropped[str(bound)] += 1
            self.texts.append(told)
            self.places.append(-1 if told is None else before)

    def _line(self, line: str) -> str | None:
        bounds = self._bounds
        if not line:
            return None
        if len(line) > bounds.line:
            raise Unbounded("line")
        if line.startswith("#"):
            if (told := grammar.family(line)) is not None:
                self.types[told[0]] = told[1]
            return None
        text, value, time, exemplar = grammar.sample(line, bounds)
        if len(self.keys) >= bounds.series:
            raise Unbounded("series")
        when = None if time is None else _when(time, openmetrics=self._openmetrics)
        key = self._before.get(text) or self.known.get(text) or grammar.key(text, bounds)
        place = len(self.keys)
        _put(self.exemplars, place, exemplar)
        _put(self.times, place, when)
        return self._add(text, key, value)

    def _add(self, text: str, key: Key, value: float) -> str:
        self.known[text] = key
        self.keys.append(key)
        self.values.append(value)
        return text


def _ends(lines: list[str]) -> bool:
    """Tell whether a page ends as those of OpenMetrics do."""
    return any(line.rstrip("\r") == _END for line in lines[-2:])


def _when(time: str, *, openmetrics: bool) -> int:
    return grammar.seconds(time) if openmetrics else grammar.milliseconds(time)


def _put(into: dict[int, T], place: int, value: T | None) -> None:
    if value is None:
        into.pop(place, None)
    else:
        into[place] = value
