# SPDX-License-Identifier: Apache-2.0
"""`joulespan attribute DIR`: divides the energy of a recording among its requests, and writes its spans annotated."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sys import stderr
from typing import TypeAlias

from agent.config import Config
from agent.dialects.reading import Reader
from agent.errors import ConfigError, RecordingError

# numpy's linear algebra would start a thread for every core when it is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from agent.commands.attribute_table import print_outcome
from agent.recording import ATTRIBUTED, SUFFIXES
from agent.recording.annotated import annotated
from agent.recording.attribution import Outcome, divide
from agent.recording.counters import Counters, Read
from agent.recording.lines import Lines, files_of
from agent.recording.requests import Found, Requests

LOG = logging.getLogger("joulespan.attribute")
_LONG = 32 << 20
"""Bytes of a recording from which on progress is shown."""
Progress: TypeAlias = Callable[[str, int], None]
"""Told what is being done, and how many bytes of the recording were read for it."""


def attribute(config: Config, place: Path, out: Path | None) -> int:
    """Read, divide, write and print. Raises RecordingError, or ConfigError where `out` is no place to write to."""
    out = _target(place, out)
    files = files_of(place)
    with _progress(files) as progress:
        lines = Lines(files)
        read, found, whole = _read(lines, config, progress)
        progress("dividing", 0)
        outcome = divide(read, found, config.engines)
        written = _write(files, whole, outcome, out, progress)
    print_outcome(outcome, read, found)
    print(f"{out}: {written} lines, {len(outcome.annotations)} spans annotated")
    return 0


def _target(place: Path, out: Path | None) -> Path:
    folder = place if place.is_dir() else place.parent
    target = out or folder / ATTRIBUTED
    inside = target.parent.absolute() == folder.absolute() and target.suffix in SUFFIXES
    if inside and target.name != ATTRIBUTED:
        raise ConfigError(f"--out {target}: would be read as a part of the recording; name another folder")
    return target


def _read(lines: Lines, config: Config, progress: Progress) -> tuple[Read, Found, set[int]]:
    """Read all of it; gives the numbers of the lines with spans that could be read, too."""
    counters, requests = Counters(), Requests(Reader(config.requests.tenant_attributes))
    whole: set[int] = set()
    for number, line in enumerate(lines):
        try:
            counters.take(line.content.metrics or [])
            if line.content.spans:
                requests.take(line.content.spans, number)
                whole.add(number)
        except ValueError as error:
            lines.tear(line, str(error))
        progress("reading", lines.read)
    for warning in lines.warnings():
        LOG.warning("%s", warning)
    for why, points in counters.ignored.items():
        LOG.warning("%d points are left out: %s", points, why)
    return *_there(lines, counters, requests), whole


def _there(lines: Lines, counters: Counters, requests: Requests) -> tuple[Read, Found]:
    """See that there is something to work with."""
    where = lines.files[0].parent
    if not lines.whole:
        raise RecordingError(f"{where}: no line can be read; the first: {next(iter(lines.torn), 'there is none')}")
    read, found = counters.read(), requests.found()
    if read is None:
        raise RecordingError(
            f"{where}: no hw.energy of a GPU; record with `joulespan record`, or let a Collector write what "
            "joulespan pushes, each second at the slowest"
        )
    if not found.charged:
        raise RecordingError(
            f"{where}: {found.spans} spans, and no request of an engine among them; switch its tracing on, see "
            "docs/engines.md"
        )
    return read, found


def _write(files: list[Path], whole: set[int], outcome: Outcome, out: Path, progress: Progress) -> int:
    """Write the spans, as a whole or not at all. Gives how many lines these are."""
    told: dict[int, dict[int, bytes]] = {}
    for at, attributes in outcome.annotations.items():
        told.setdefault(at.line, {})[at.span] = attributes
    part = out.with_name(f"{out.name}.part")
    lines, written = Lines(files), 0
    try:
        with part.open("wb") as file:
            for number, line in enumerate(lines):
                if number in whole:
                    file.write(annotated(line.body, told.get(number, {})) + b"\n")
                    written += 1
                progress("writing", lines.read)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RecordingError(f"{out}: cannot be written: {error.strerror}") from error
    return written


@contextmanager
def _progress(files: list[Path]) -> Iterator[Progress]:
    """Show a bar where somebody looks at it and there is something to wait for."""
    total = sum(path.stat().st_size for path in files)
    if total < _LONG or not stderr.isatty():
        yield lambda _what, _read: None
        return
    from rich.console import Console  # noqa: PLC0415 - only who looks at it
    from rich.progress import Progress as Bar  # noqa: PLC0415 - as above

    with Bar(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, object] = {}

        def show(what: str, read: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total if read else None)
            bar.update(tasks[what], completed=read)  # type: ignore[arg-type]

        yield show
