# SPDX-License-Identifier: Apache-2.0
"""Reads the lines of a recording: of this agent, or of an OpenTelemetry Collector's file exporter.

A line is one request of OTLP/JSON, of either signal. A line that is none is skipped and told: a recording that was
cut off ends with one.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agent.errors import RecordingError
from agent.recording import ATTRIBUTED, SUFFIXES

_LONGEST = 256 << 20
_ROTATED = re.compile(r"(?P<base>.+?)-(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)")
"""How the Collector names the files that it has put aside."""
_TOLD = 5


class Content(msgspec.Struct):
    """What is in a line, not decoded: ResourceMetrics and ResourceSpans."""

    metrics: list[msgspec.Raw] | None = msgspec.field(name="resourceMetrics", default=None)
    spans: list[msgspec.Raw] | None = msgspec.field(name="resourceSpans", default=None)


class Line(NamedTuple):
    """A line, where it is, and what is in it."""

    path: Path
    number: int
    body: bytes
    content: Content


_DECODER = msgspec.json.Decoder(Content)


def parse(body: bytes) -> Content:
    """Read a line. Raises ValueError, which says what is wrong with it."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def files_of(place: Path) -> list[Path]:
    """List the files of a recording, the older ones that a Collector has put aside first. Raises RecordingError."""
    try:
        found = [place] if place.is_file() else [path for path in place.iterdir() if path.suffix in SUFFIXES]
    except OSError as error:
        raise RecordingError(f"{place}: cannot be read: {error.strerror}") from error
    found = [path for path in found if path.is_file() and path.name != ATTRIBUTED]
    if not found:
        raise RecordingError(
            f"{place}: has no *.jsonl file; `joulespan record` or a Collector's file exporter makes one"
        )
    return sorted(found, key=_order)


class Lines:
    """Goes through the lines of files, and counts the torn ones."""

    def __init__(self, files: list[Path]) -> None:
        """Read these, in this order."""
        self.files = files
        self.torn: list[str] = []
        """The first that were torn: file, line number, and what is wrong."""
        self.skipped = self.whole = self.read = 0
        """Lines that were torn, lines that were not, and bytes read."""

    def __iter__(self) -> Iterator[Line]:
        """Give the lines that can be parsed. Raises RecordingError where a file cannot be read."""
        for path in self.files:
            try:
                with path.open("rb") as file:
                    yield from self._lines(path, file)
            except OSError as error:
                raise RecordingError(f"{path}: cannot be read: {error.strerror}") from error

    def tear(self, line: Line, why: str) -> None:
        """Count a line among the torn: what is in it cannot be read after all."""
        self.whole -= 1
        self._torn(line.path, line.number, why)

    def warnings(self) -> Iterator[str]:
        """Say what was skipped, a few lines at most."""
        yield from (f"{one}; the line is skipped" for one in self.torn)
        if self.skipped > len(self.torn):
            yield f"{self.skipped - len(self.torn)} more lines are skipped"

    def _lines(self, path: Path, file: Any) -> Iterator[Line]:
        number = 0
        while body := file.readline(_LONGEST):
            number += 1
            self.read += len(body)
            if len(body) >= _LONGEST and not body.endswith(b"\n"):
                self._torn(path, number, f"a line of more than {_LONGEST >> 20} MiB")
                while (rest := file.readline(_LONGEST)) and not rest.endswith(b"\n"):
                    self.read += len(rest)
                continue
            if not body.strip():
                continue
            try:
                content = parse(body)
            except ValueError as error:
                self._torn(path, number, str(error))
                continue
            self.whole += 1
            yield Line(path, number, body, content)

    def _torn(self, path: Path, number: int, why: str) -> None:
        self.skipped += 1
        if len(self.torn) < _TOLD:
            self.torn.append(f"{path}, line {number}: {why}")


def _order(path: Path) -> tuple[str, bool, str]:
    rotated = _ROTATED.fullmatch(path.stem)
    return (rotated["base"], False, rotated["time"]) if rotated else (path.stem, True, "")
