# SPDX-License-Identifier: Apache-2.0
"""What `joulespan attribute` prints: a line for each engine and model, and what became of all energy."""

import sys
from collections.abc import Iterator, Sequence
from math import isnan

from agent.processors.ledger.payment import METHODS
from agent.recording.attribution import Class, Outcome, Sums
from agent.recording.counters import Read
from agent.recording.requests import Found

_HEADS = (
    "engine",
    "model",
    "requests",
    "tokens in",
    "cached",
    "out",
    "J",
    "J/token prefill",
    "J/token decode",
    "Wh/1000 requests",
    "idle",
    "unattributed",
    "method",
)
_WORDS = {0, 1, len(_HEADS) - 1}
"""The columns that are no numbers."""
_UNKNOWN = "-"
_HOUR = 3600.0
_WIDEST = 1000


def print_outcome(outcome: Outcome, read: Read, found: Found) -> None:
    """Print it: with lines on a terminal, in plain columns elsewhere."""
    rows = [_row(one, sums) for one, sums in sorted(outcome.classes.items(), key=lambda item: -_joules(item[1]))]
    if sys.stdout.isatty():
        _draw(rows)
    else:
        _plain(rows)
    for line in _lines(outcome, read, found):
        print(line)


def _row(one: Class, sums: Sums) -> list[str]:
    return [
        one.engine,
        one.model or _UNKNOWN,
        f"{sums.requests:.0f}",
        f"{sums.computed:.0f}",
        _UNKNOWN if isnan(sums.cached) else f"{sums.cached:.0f}",
        f"{sums.made:.0f}",
        f"{_joules(sums):.1f}",
        _ratio(sums.whole_prefill, sums.whole_computed),
        _ratio(sums.whole_decode, sums.whole_made),
        _ratio((sums.whole_prefill + sums.whole_decode) * 1000 / _HOUR, sums.whole),
        f"{sums.idle:.1%}",
        f"{sums.unattributed:.1%}",
        sums.method,
    ]


def _joules(sums: Sums) -> float:
    return sums.prefill + sums.decode


def _ratio(amount: float, of: float) -> str:
    return f"{amount / of:.4g}" if of > 0 else _UNKNOWN


def _lines(outcome: Outcome, read: Read, found: Found) -> Iterator[str]:
    total = outcome.total
    yield (
        f"attributed {total.attributed:.1f} + idle {total.idle:.1f} + unattributed {total.unattributed:.1f} = "
        f"measured {total.measured:.1f} J, {outcome.gpus} GPUs, {outcome.seconds:.1f} s"
    )
    for (engine, reason), number in outcome.unmapped.items():
        yield f"{number} requests of {engine} have no GPUs: {reason}; name them under `engines:` in --config FILE"
    if outcome.beyond:
        yield f"{outcome.beyond} requests reach beyond the energy counters; their spans say no energy"
    if found.fronts:
        yield f"{found.fronts} requests are those of front ends; the energy is that of their workers"
    if found.clients:
        yield f"{found.clients} spans are of clients, which charge nothing"
    if found.repeated:
        yield f"{found.repeated} spans came twice; each counts once"
    for method in sorted({sums.method for sums in outcome.classes.values()}):
        yield f"{method}: {METHODS[method]}"
    if read.demo:
        yield "recorded by a demo: nothing of this was measured"


def _plain(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[place]) for row in (_HEADS, *rows)) for place in range(len(_HEADS))]
    for row in (_HEADS, *rows):
        cells = zip(row, widths, range(len(row)), strict=True)
        print("  ".join(f"{cell:{'<' if place in _WORDS else '>'}{width}}" for cell, width, place in cells).rstrip())


def _draw(rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - only on a terminal
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above

    console = Console()
    table = Table(box=SIMPLE_HEAD)
    for place, head in enumerate(_HEADS):
        table.add_column(head, justify="left" if place in _WORDS else "right")
    for row in rows:
        table.add_row(*row)
    if console.measure(table, options=console.options.update(width=_WIDEST)).maximum > console.width:
        # Too wide for this terminal: a column for each engine and model instead of a row.
        table = Table(box=SIMPLE_HEAD, show_header=False)
        table.add_column(style="bold")
        for _ in rows:
            table.add_column(justify="right")
        for cells in zip(_HEADS, *rows, strict=True):
            table.add_row(*cells)
    console.print(table)
