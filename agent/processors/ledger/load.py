# SPDX-License-Identifier: Apache-2.0
"""What an engine did in each step: who was in its batch, known or not, how many iterations it ran, and with what work.

A decoding sequence gets one token in each iteration. So where the engine counts neither iterations nor tokens, the
iterations are those that let every known sequence get its tokens: found by repeated correction, as in a tomography.
Where it counts tokens, they are scaled to these; where it counts iterations, to those.

Sequences that are not known, because they still run or never send a span, are what the engine's own gauge says beyond
those that are. Between two looks at the gauge, the tokens that nobody known got tell how many of them there were.
"""

from typing import NamedTuple

import numpy as np

from agent.processors.ledger.steps import Axis, Numbers, Steps, between, running
from agent.processors.ledger.work import Work, place

_SWEEPS = 16
_MOST = 20.0
"""How far off the iterations told by spans may be from those that the engine counted."""
_NOTHING = 1e-9
_DOUBT, _DOUBT_SHARE = 2.0, 0.05
"""Tokens, and share of those counted between two looks, that may be missing without meaning anything."""
_TOMOGRAPHY = 600
"""Steps from which on corrections are worth it: over fewer, too many sequences reach beyond."""


class Pages(NamedTuple):
    """What the engine's page said at some times, s: sequences running, and cumulative counts; None is not told.

    `computed` are prompt tokens computed, `cached` those found in a cache, `output` tokens made.
    """

    times: Numbers
    running: Numbers | None = None
    iterations: Numbers | None = None
    computed: Numbers | None = None
    cached: Numbers | None = None
    output: Numbers | None = None


NO_PAGES = Pages(np.empty(0))


class Load(NamedTuple):
    """Of each step: seconds of sequences in the batch, known and not; iterations; and tokens of those not known.

    `more_read` are tokens of KV cache.
    """

    known: Numbers
    unknown: Numbers
    iterations: Numbers
    more_computed: Numbers
    more_decoded: Numbers
    more_read: Numbers

    @property
    def sequences(self) -> Numbers:
        """Seconds of all sequences."""
        return self.known + self.unknown

    def cut(self, first: int, last: int) -> "Load":
        """Give some of the steps, counted from the first here."""
        return Load(*(column[first:last] for column in self))


def load(steps: Steps, work: Work, pages: Pages, hidden: float = 0.0) -> Load:
    """Say what the engine did. `hidden` is how many sequences there are to a known one, where no gauge tells."""
    at = place(work, steps)
    time = Axis(np.full(steps.length, steps.seconds))
    ones = np.ones(work.rows)
    known = _positive(time.spread(at.begin, at.end, ones))
    decoding = _positive(time.spread(at.first, at.end, ones))
    unknown = _unknown(steps, work, pages, known, hidden)
    iterations = _iterations(steps, work, pages, known, decoding, unknown)
    if pages.iterations is not None and pages.output is not None and pages.running is not None:
        decoded = _decoded(steps, work, iterations)
        unknown = _balanced(steps, work, pages, decoded, unknown, iterations)
    computed = _positive(time.spread(at.begin, at.first, _per(work.computed, work.first - work.begin)))
    more_decoded = unknown / steps.seconds * iterations
    context = float(np.median(work.context + work.decoded / 2)) if work.rows else 0.0
    more_computed = computed * hidden if pages.computed is None else _more_computed(steps, work, pages, unknown)
    return Load(known, unknown, iterations, more_computed, more_decoded, more_decoded * context)


def _decoded(steps: Steps, work: Work, iterations: Numbers) -> Numbers:
    """Spread the tokens that known sequences decoded over the iterations."""
    at, axis = place(work, steps), Axis(iterations + _NOTHING)
    rate = _per(work.decoded * _inside(steps, work), axis.at(at.end) - axis.at(at.first))
    return _positive(axis.spread(at.first, at.end, rate))


def _inside(steps: Steps, work: Work) -> Numbers:
    """Share of each sequence's decoding time that lies within the steps."""
    since, until = steps.first * steps.seconds, steps.last * steps.seconds
    inside = np.clip(work.end, since, until) - np.clip(work.first, since, until)
    return np.minimum(1.0, _per(inside, work.end - work.first))


def _per(amount: Numbers, of: Numbers) -> Numbers:
    return np.divide(amount, of, out=np.zeros_like(amount), where=of > 0)


def _positive(amounts: Numbers) -> Numbers:
    """Take away what is left of rounding once every interval has ended."""
    return np.where(amounts > _NOTHING, amounts, 0.0)


def _unknown(steps: Steps, work: Work, pages: Pages, known: Numbers, hidden: float) -> Numbers:
    if pages.running is None or not len(pages.times):
        return known * hidden
    began = np.searchsorted(np.sort(work.begin), pages.times, side="right")
    ended = np.searchsorted(np.sort(work.end), pages.times, side="right")
    beyond = pages.running - (began - ended)
    return np.maximum(0.0, np.interp(_middles(steps), pages.times, beyond)) * steps.seconds


def _middles(steps: Steps) -> Numbers:
    edges = steps.edges
    middles: Numbers = (edges[:-1] + edges[1:]) / 2
    return middles


def _iterations(steps: Steps, work: Work, pages: Pages, known: Numbers, decoding: Numbers, unknown: Numbers) -> Numbers:
    """Tell the iterations of each step: from the sequences, and then from what the engine counted."""
    at = place(work, steps)
    time = Axis(np.full(steps.length, steps.seconds))
    rate = _per(work.decoded, work.end - work.first)
    told = _positive(time.spread(at.first, at.end, rate))
    there = (decoding > _NOTHING) & (told > 0)
    mean = _per(told, decoding)
    usual = float(np.median(mean[there])) if there.any() else 1.0 / steps.seconds
    busy = np.minimum(1.0, (known + unknown) / steps.seconds)
    found = np.where(there, mean, usual) * busy * steps.seconds
    if pages.iterations is not None:
        return _scaled(steps, pages.times, pages.iterations, found, found, busy)
    if pages.output is not None:
        firsts = _firsts(work, pages.times)
        sequences = np.maximum(decoding + unknown, _NOTHING) / steps.seconds
        return _scaled(steps, pages.times, pages.output - firsts, found, found * sequences, busy)
    return _corrected(steps, work, found, decoding) if steps.length >= _TOMOGRAPHY else found


def _firsts(work: Work, times: Numbers) -> Numbers:
    """Count the first tokens until each time: they are made by prefill."""
    return np.searchsorted(np.sort(work.first), times, side="right").astype(np.float64)


def _scaled(
    steps: Steps, times: Numbers, counter: Numbers, found: Numbers, as_counted: Numbers, busy: Numbers
) -> Numbers:
    """Scale what was found so that between two looks at a counter it comes to what the counter says.

    Where nothing was found and something counted, it is spread over the time in which something ran.
    """
    if len(times) < 2:  # noqa: PLR2004 - an increase needs two
        return found
    counted = np.maximum(0.0, np.diff(counter))
    edges = steps.edges
    have = np.diff(np.interp(times, edges, running(as_counted)))
    length = np.diff(np.clip(times, edges[0], edges[-1]))
    whole = length > 0.999 * np.diff(times)
    scale = np.where((have > _NOTHING) & whole, np.minimum(counted / np.maximum(have, _NOTHING), _MOST), 1.0)
    place_of = np.clip(np.searchsorted(times, _middles(steps), side="right") - 1, 0, len(counted) - 1)
    inside = (_middles(steps) >= times[0]) & (_middles(steps) <= times[-1])
    scaled = np.where(inside, found * scale[place_of], found)
    empty = whole & (have <= _NOTHING) & (counted > 0)
    evenly = (counted / np.maximum(np.diff(times), _NOTHING))[place_of] * steps.seconds
    return np.where(inside & empty[place_of] & (as_counted is found), evenly * (busy > 0), scaled)


def _corrected(steps: Steps, work: Work, found: Numbers, decoding: Numbers) -> Numbers:
    """Correct the iterations until every sequence would have got its tokens, or nearly."""
    some = work.take(work.decoded > 0)
    at = place(some, steps)
    wanted = some.decoded * _inside(steps, some)
    time = Axis(np.full(steps.length, steps.seconds))
    for _ in range(_SWEEPS):
        got = between(found, at.first, at.end)
        ratio = np.where(got > _NOTHING, wanted / np.maximum(got, _NOTHING), 1.0)
        ratios = time.spread(at.first, at.end, ratio)
        found = found * np.where(decoding > _NOTHING, ratios / np.maximum(decoding, _NOTHING), 1.0)
    return found


def _balanced(
    steps: Steps, work: Work, pages: Pages, decoded: Numbers, unknown: Numbers, iterations: Numbers
) -> Numbers:
    """Let the unknown sequences get, between two looks, the tokens that nobody known got."""
    assert pages.output is not None
    times = pages.times
    if len(times) < 2:  # noqa: PLR2004 - an increase needs two
        return unknown
    edges, middles = steps.edges, _middles(steps)
    place_of = np.clip(np.searchsorted(times, middles, side="right") - 1, 0, len(times) - 2)
    inside = (middles >= times[0]) & (middles <= times[-1]) & (iterations > _NOTHING)

    def until(amounts: Numbers) -> Numbers:
        return np.diff(np.interp(times, edges, running(amounts)))

    counted = np.diff(pages.output - _firsts(work, times))
    missing, total = counted - until(decoded), until(iterations)
    for _ in range(3):
        lacking = missing - until(unknown / steps.seconds * iterations)
        # A look falls into an iteration: what is lacking by no more than that is nobody.
        lacking = np.where(np.abs(lacking) > _DOUBT + _DOUBT_SHARE * counted, lacking, 0.0)
        more = np.where(total > _NOTHING, lacking / np.maximum(total, _NOTHING), 0.0)
        unknown = np.where(inside, np.maximum(0.0, unknown + more[place_of] * steps.seconds), unknown)
    return unknown


def _more_computed(steps: Steps, work: Work, pages: Pages, unknown: Numbers) -> Numbers:
    """Spread the prompt tokens that the engine counted and no known sequence explains over where others ran.

    Engines count a prompt when its first token is there.
    """
    if pages.computed is None or len(pages.times) < 2:  # noqa: PLR2004 - an increase needs two
        return np.zeros(steps.length)
    times = pages.times
    order = np.argsort(work.first)
    explained = running(work.computed[order])[np.searchsorted(work.first[order], times, side="right")]
    rate = np.maximum(0.0, np.diff(pages.computed) - np.diff(explained)) / np.diff(times)
    middles = _middles(steps)
    place_of = np.clip(np.searchsorted(times, middles, side="right") - 1, 0, len(rate) - 1)
    inside = (middles >= times[0]) & (middles <= times[-1]) & (unknown > _NOTHING)
    return np.where(inside, rate[place_of] * steps.seconds, 0.0)
