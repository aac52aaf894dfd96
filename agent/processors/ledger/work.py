# SPDX-License-Identifier: Apache-2.0
"""What requests asked of an engine, as columns: when, and how many tokens of each kind."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.processors.ledger.steps import Numbers, Points, Steps
from agent.requests import Phase, Request

Rows: TypeAlias = "NDArray[np.bool_] | NDArray[np.int64]"
"""Which rows: a truth for each, or their numbers."""
_SHORTEST = 1e-3
"""Seconds that a phase with tokens lasts at least, so that its density is a number."""
_FARTHEST = 1 << 62
"""ns; what no clock says is cut to what int64 holds."""


class Work(NamedTuple):
    """Sequences, one a row. Times in s since the ledger's origin, begin <= first <= end.

    `begin` is when the engine took it up, `first` when its first token was there. Of its prompt, `computed` tokens
    were computed and `cached` were found in a cache; `decoded` came after the first. `context` is what a decoding
    step reads at first, in tokens of KV cache. NaN is unknown.
    """

    begin: Numbers
    first: Numbers
    end: Numbers
    computed: Numbers
    cached: Numbers
    decoded: Numbers
    context: Numbers

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.begin)

    def take(self, rows: Rows) -> "Work":
        """Give some rows."""
        return Work(*(column[rows] for column in self))


class Placed(NamedTuple):
    """Where the phases of requests lie on a row of steps."""

    begin: Points
    first: Points
    end: Points


EMPTY = Work(*(np.empty(0) for _ in Work._fields))


def columns(requests: Sequence[Request], origin: int) -> Work:
    """Read requests. `origin` is the unix time, ns, of the ledger's second 0."""
    rows = [_row(request) for request in requests]
    times = _seconds([row[:3] for row in rows], origin)
    tokens = np.array([row[3:] for row in rows], np.float64).reshape(len(rows), 4).T
    begin, first, end = times
    end = np.maximum(end, begin)
    return Work(begin, np.where(np.isneginf(first), np.nan, np.clip(first, begin, end)), end, *tokens)


def together(some: Sequence[Work]) -> Work:
    """Put rows together."""
    return Work(*(np.concatenate(parts) for parts in zip(*some, strict=True))) if some else EMPTY


def timed(work: Work, step_seconds: float) -> Work:
    """Fill in first tokens that are not timed: decoding took as long as the tokens take at `step_seconds` each."""
    first = np.maximum(work.begin, work.end - work.decoded * step_seconds)
    return work._replace(first=np.where(np.isnan(work.first), first, work.first))


def resolved(work: Work, cached: Numbers) -> Work:
    """Fill in what was found in a cache where that is not known, and let phases with tokens have a length."""
    unknown = np.isnan(work.cached)
    cached = np.where(unknown, np.minimum(cached, work.computed), work.cached)
    computed, first = np.where(unknown, work.computed - cached, work.computed), work.first
    # A prompt that took no time is computed in the moment before its token.
    begin = np.where((computed > 0) & (first - work.begin < _SHORTEST), first - _SHORTEST, work.begin)
    end = np.where((work.decoded > 0) & (work.end - first < _SHORTEST), first + _SHORTEST, work.end)
    return work._replace(begin=begin, end=end, computed=computed, cached=cached)


def place(work: Work, steps: Steps, since: Numbers | None = None) -> Placed:
    """Place the phases, each cut to what lies after `since`, s, of its own request."""
    return Placed(*(steps.points(one if since is None else np.maximum(one, since)) for one in work[:3]))


def _row(request: Request) -> tuple[int, int, int, float, float, float, float]:
    """Give begin, first (-1: unknown), end, unix ns; prompt or computed, cached (NaN: unknown), decoded, context."""
    begin = request.prefill_start
    if begin is None:
        begin = request.arrival + int((request.queue or 0.0) * 1e9)
    first = request.first_token
    if first is None and request.decode is not None:
        first = max(begin, request.end - int(request.decode * 1e9))
    prompt, cached = request.input_tokens or 0, request.cached_tokens
    made = request.output_tokens or 0
    if request.phase is Phase.DECODE:
        # Its prompt was computed elsewhere and came over the network: it is only read here.
        return begin, begin, request.end, 0.0, 0.0, float(made), float(prompt)
    if request.phase is Phase.PREFILL:
        first, made = request.end, 1
    decoded = max(0, made - 1)
    known = np.nan if cached is None else float(min(cached, prompt))
    computed = prompt if cached is None else prompt - min(cached, prompt)
    return begin, -1 if first is None else first, request.end, float(computed), known, float(decoded), float(prompt)


def _seconds(times: Sequence[tuple[int, ...]], origin: int) -> Numbers:
    """Turn unix ns into s since the origin; -1 stays negative enough to be told."""
    try:
        whole = np.array(times, np.int64).reshape(len(times), 3)
        unknown = whole < 0
        found = (whole - origin) / 1e9
    except OverflowError:
        cut = [[min(one, _FARTHEST) for one in row] for row in times]
        return _seconds([tuple(row) for row in cut], origin)
    return np.where(unknown, -np.inf, found).T
