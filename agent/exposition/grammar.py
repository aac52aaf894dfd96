# SPDX-License-Identifier: Apache-2.0
"""One line of a page: what stands in it, by the grammar of both text formats; see agent.exposition.

The expressions never try a character twice (possessive repeats), so that a hostile line costs what its length does.
"""

import re
from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

_NS = 1_000_000_000
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_SET = rf'\{{(?:[^"}}]++|{_QUOTED})*+\}}'
_SAMPLE = re.compile(
    rf"(?P<series>(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*+)?+(?:[ \t]*+(?P<labels>{_SET}))?+)"
    r"[ \t]*+(?P<value>[^ \t#{]++)(?:[ \t]++(?P<time>[^ \t#]++))?+"
    rf"(?:[ \t]++\#[ \t]*+(?P<exemplar>{_SET})[ \t]*+(?P<seen>[^ \t]++)(?:[ \t]++(?P<when>[^ \t]++))?+)?+[ \t\r]*+"
)
_LABEL = re.compile(
    rf"[ \t]*+(?:(?P<name>[a-zA-Z_][a-zA-Z0-9_]*+)|(?P<quoted>{_QUOTED}))[ \t]*+"
    rf"(?:=[ \t]*+(?P<value>{_QUOTED})[ \t]*+)?+(?:,|$)"
)
_PLAIN = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*+)="([^"\\]*+)"(?:,|$)')
"""A label as nearly all are written."""
_TYPE = re.compile(rf"\#[ \t]++TYPE[ \t]++(?P<name>[^ \t\"]++|{_QUOTED})[ \t]++(?P<type>[a-z]++)[ \t\r]*+")
_ESCAPE = re.compile(r'\\([\\n"])')
_LATEST = 1 << 62
"""Unix ns, in the year 2116: what is later is no time."""
_DIGITS = 20
_LONGEST = 64


class Malformed(Exception):
    """A line that is neither a sample nor a comment."""


class Unbounded(Exception):
    """A line with more in it than is taken; its argument is the name of the bound."""


class Key(NamedTuple):
    """What a series is called: its name as the page has it, and its labels in the order of the page."""

    name: str
    labels: tuple[tuple[str, str], ...]


class Seen(NamedTuple):
    """An exemplar: one observation, the labels that lead to it, and when it was made (unix ns)."""

    labels: tuple[tuple[str, str], ...]
    value: float
    time: int | None


class Bounds(NamedTuple):
    """How much is taken of a page. What is beyond is left out and counted under the name of the bound."""

    page: int = 64 << 20
    """Bytes."""
    lines: int = 4 << 20
    series: int = 2 << 20
    line: int = 64 << 10
    """Characters of a line."""
    labels: int = 128
    """Labels of a series."""
    label: int = 4 << 10
    """Characters of a label's value or name."""


class Found(NamedTuple):
    """What a line of a sample says. `text` is the part of it that names the series."""

    text: str
    value: float
    time: str | None
    exemplar: Seen | None


def number(text: str) -> float:
    """Read a value. Raises ValueError for what only Python takes for a number."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return float(text)


def numbers(texts: Sequence[str]) -> list[float]:
    """Read many values as `number` does, and raise ValueError for those of more digits than any number has."""
    every = "".join(texts)
    if "_" in every or not every.isascii() or max(map(len, texts), default=0) > _LONGEST:
        raise ValueError(every)
    return [*map(float, texts)]


def sample(line: str, bounds: Bounds) -> Found:
    """Read a line of a sample, but for the name of its series, which may be known already."""
    found = _SAMPLE.fullmatch(line)
    if found is None or not found["series"] or (found["labels"] is None and not _parted(found)):
        raise Malformed
    try:
        value = number(found["value"])
        exemplar = None if found["exemplar"] is None else _exemplar(found, bounds)
    except ValueError as error:
        raise Malformed from error
    return Found(found["series"], value, found["time"], exemplar)


def key(text: str, bounds: Bounds) -> Key:
    """Read the name and the labels of a series."""
    name, brace, rest = text.partition("{")
    pairs = _labels(rest[:-1], bounds) if brace else []
    name = name.rstrip(" \t") or next((label for label, value in pairs if value is None), "")
    labels = tuple([(label, value) for label, value in pairs if value is not None])
    if not name or len(pairs) - len(labels) != (text[0] == "{") or len(dict(labels)) != len(labels):
        raise Malformed
    return Key(name, labels)


def family(line: str) -> tuple[str, str] | None:
    """Read a comment: a family's name and type, or None where it tells something else."""
    found = _TYPE.fullmatch(line)
    if found is None:
        return None
    name = found["name"]
    return _unquoted(name) if name.startswith('"') else name, found["type"]


def milliseconds(text: str) -> int:
    """Read a time of the text format, unix ms, as unix ns."""
    exact = len(text) < _DIGITS and text.isdecimal()
    return _time((int(text) if exact else number(text)) * (_NS // 1000))


def seconds(text: str) -> int:
    """Read a time of OpenMetrics, unix s, as unix ns."""
    whole, point, fraction = text.partition(".")
    if whole.isdecimal() and (fraction.isdecimal() or not point):  # A double has no ns left, of times of today.
        return _time(int(whole[:_DIGITS]) * _NS + int(fraction[:9].ljust(9, "0") if point else 0))
    return _time(number(text) * _NS)


def _time(unix_ns: float) -> int:
    if not isfinite(unix_ns) or not 0 <= unix_ns <= _LATEST:
        raise ValueError(unix_ns)
    return round(unix_ns)


def _parted(found: re.Match[str]) -> bool:
    """Tell whether there is a gap between a name without labels and its value."""
    return found.end("series") < found.start("value")


def _exemplar(found: re.Match[str], bounds: Bounds) -> Seen:
    labels = _labels(found["exemplar"][1:-1], bounds)
    when = found["when"]
    told = tuple([(name, value) for name, value in labels if value is not None])
    return Seen(told, number(found["seen"]), None if when is None else seconds(when))


def _labels(text: str, bounds: Bounds) -> Sequence[tuple[str, str | None]]:
    """Read what stands between braces. A name in quotes that has no value is the name of the metric: None."""
    found = _PLAIN.findall(text)
    taken = sum([len(name) + len(value) + len('="",') for name, value in found])
    if taken == len(text) + (not text.endswith(",")) and len(text) <= bounds.label and len(found) <= bounds.labels:
        return found
    return _any_labels(text, bounds)


def _any_labels(text: str, bounds: Bounds) -> list[tuple[str, str | None]]:
    pairs: list[tuple[str, str | None]] = []
    place, end = 0, len(text.rstrip(" \t"))
    while place < end:
        found = _LABEL.match(text, place, end)
        if found is None or (found["name"] is not None and found["value"] is None):
            raise Malformed
        name = found["name"] or _unquoted(found["quoted"])
        value = None if found["value"] is None else _unquoted(found["value"])
        if max(len(name), len(value or "")) > bounds.label:
            raise Unbounded("label")
        if len(pairs) >= bounds.labels:
            raise Unbounded("labels")
        pairs.append((name, value))
        place = found.end()
    return pairs


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    return _ESCAPE.sub(_unescaped, inner) if "\\" in inner else inner


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]
