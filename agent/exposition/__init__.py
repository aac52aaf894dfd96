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
from agent.exposition.grammar import Bounds, Key, Malformed, Seen, Unbounded, number

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
        for place, ((name, labels), value) in enumerate(zip(self.keys, self.values, strict=True)):
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
        self._texts: list[str] = []
        self._places: list[int] = []
        self._known: dict[str, Key] = {}
        self._cut: Counter[str] = Counter()

    def parse(self, page: bytes) -> Page:
        """Read a page. What cannot be read is left out, and counted in what is returned."""
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
        page, texts, most = self._page, self._texts, self._bounds.line
        values = list(page.values)
        exemplars, times = dict(page.exemplars), dict(page.times)
        with_more = {*exemplars, *times}
        changed = [
            (now, place) for now, then, place in zip(lines, self._lines, self._places, strict=True) if now != then
        ]
        try:
            for line, place in changed:
                if place < 0 or len(line) > most:
                    return None
                text, _, value = line.rpartition(" ")
                if text == texts[place] and place not in with_more:
                    values[place] = number(value)
                else:
                    self._again(line, place, values, exemplars, times)
        except (ValueError, Malformed, Unbounded):
            return None
        return page._replace(values=values, exemplars=exemplars, times=times)

    def _again(
        self, line: str, place: int, values: list[float], exemplars: dict[int, Seen], times: dict[int, int]
    ) -> None:
        """Read a line with more than a value, of which the series is known."""
        text, value, time, exemplar = grammar.sample(line.strip(" \t\r"), self._bounds)
        if text != self._texts[place]:
            raise Malformed
        values[place] = value
        _put(exemplars, place, exemplar)
        _put(times, place, None if time is None else _when(time, openmetrics=_END in self._lines[-2:]))


class _Reading:
    """A page that is read line by line."""

    def __init__(self, lines: list[str], known: Mapping[str, Key], bounds: Bounds, cut: Counter[str]) -> None:
        self._before, self._bounds = known, bounds
        self._openmetrics = _END in lines[-2:]
        self.known: dict[str, Key] = {}
        self.keys: list[Key] = []
        self.texts: list[str] = []
        self.values: list[float] = []
        self.places: list[int] = []
        """Of each line the place of its sample, or -1."""
        self.types: dict[str, str] = {}
        self.exemplars: dict[int, Seen] = {}
        self.times: dict[int, int] = {}
        self.dropped = Counter(cut)
        most, longest = bounds.series, bounds.line
        for line in lines:
            before = len(self.keys)
            text, _, value = line.rpartition(" ")
            key = known.get(text)
            try:
                if key is not None and before < most and len(line) <= longest and "\t" not in value:
                    self._add(text, key, number(value))
                else:
                    self._line(line.strip(" \t\r"))
            except (Malformed, ValueError):
                self.dropped["malformed"] += 1
            except Unbounded as bound:
                self.dropped[str(bound)] += 1
            self.places.append(before if len(self.keys) > before else -1)

    def _line(self, line: str) -> None:
        bounds = self._bounds
        if not line:
            return
        if len(line) > bounds.line:
            raise Unbounded("line")
        if line.startswith("#"):
            if (told := grammar.family(line)) is not None:
                self.types[told[0]] = told[1]
            return
        text, value, time, exemplar = grammar.sample(line, bounds)
        if len(self.keys) >= bounds.series:
            raise Unbounded("series")
        when = None if time is None else _when(time, openmetrics=self._openmetrics)
        key = self._before.get(text) or self.known.get(text) or grammar.key(text, bounds)
        place = len(self.keys)
        self._add(text, key, value)
        _put(self.exemplars, place, exemplar)
        _put(self.times, place, when)

    def _add(self, text: str, key: Key, value: float) -> None:
        self.known[text] = key
        self.keys.append(key)
        self.texts.append(text)
        self.values.append(value)


def _when(time: str, *, openmetrics: bool) -> int:
    return grammar.seconds(time) if openmetrics else grammar.milliseconds(time)


def _put(into: dict[int, T], place: int, value: T | None) -> None:
    if value is None:
        into.pop(place, None)
    else:
        into[place] = value
