# SPDX-License-Identifier: Apache-2.0
"""What was observed of a simulated engine goes through the ledger, at once or as it would have come."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, TOKENS
from agent.catalogue.gpu import ENERGY
from agent.clock import NS
from agent.entities import Engine, EngineModel, EngineTokens, Gpu
from agent.processors.ledger.book import EngineKey
from agent.processors.ledger.ledger import Ledger
from agent.processors.ledger.payment import Shares
from agent.processors.ledger.work import Work
from agent.snapshot import Source
from agent.timeline import Timeline
from tests.accuracy.simulated import Numbers, Observed

STEP = 0.1
ENGINE = "engine"


class Told(NamedTuple):
    """What the engine tells of itself beside its spans: its page at all, its iterations, its tokens."""

    page: bool = True
    iterations: bool = True
    tokens: bool = True
    cached: bool = True


ALL = Told()


class Replayed(NamedTuple):
    """J that each request was given, NaN where it was given nothing, and J of one deviation; and the ledger."""

    joules: Numbers
    deviation: Numbers
    modelled: Numbers
    ledger: Ledger


def gpus(count: int) -> tuple[Gpu, ...]:
    """Name GPUs."""
    return tuple(Gpu(f"GPU-{index}", f"gpu{index}") for index in range(count))


def timeline(seen: Observed, told: Told = ALL) -> Timeline:
    """Write what was observed as the agent's collectors would."""
    found = Timeline(retention=seen.case.seconds + 60, step=STEP)
    devices = gpus(len(seen.joules))
    series = tuple(ENERGY.series(gpu) for gpu in devices)
    for time, row in zip(seen.times, zip(*seen.joules, strict=True), strict=True):
        found.append(Source("gpu_energy"), series, int(time * NS), row)
    if told.page:
        _write_pages(found, seen, told)
    return found


def _write_pages(found: Timeline, seen: Observed, told: Told) -> None:
    columns = {REQUESTS_RUNNING.series(EngineModel(ENGINE, "m")): seen.scrapes.running}
    if told.iterations:
        columns[ITERATIONS.series(Engine(ENGINE))] = seen.scrapes.iterations
    if told.tokens:
        for kind in ("input", "cached", "output"):
            columns[TOKENS.series(EngineTokens(ENGINE, "m", kind))] = getattr(seen.scrapes, kind)
    for time, *row in zip(seen.scrapes.times, *columns.values(), strict=True):
        found.append(Source("engines", ENGINE), tuple(columns), int(time * NS), row)


def work(seen: Observed, told: Told = ALL) -> Work:
    """Describe the requests that sent a span, in the order of their ends."""
    rows = [one for one, sent in zip(seen.done, seen.sent, strict=True) if sent]
    return Work(
        begin=np.array([one.scheduled for one in rows]),
        first=np.array([one.first_token for one in rows]),
        end=np.array([one.last_token for one in rows]),
        computed=np.array(
            [one.request.prompt_tokens - (one.cached_tokens if told.cached else 0) for one in rows], float
        ),
        cached=np.array([one.cached_tokens if told.cached else np.nan for one in rows], float),
        decoded=np.array([one.output_tokens - 1 for one in rows], float),
        context=np.array([one.request.prompt_tokens for one in rows], float),
    )


def truth(seen: Observed) -> Numbers:
    """Give the true J of those that sent a span."""
    return np.array([one.joules for one, sent in zip(seen.done, seen.sent, strict=True) if sent])


def at_once(seen: Observed, told: Told = ALL) -> Replayed:
    """Divide a recording after the fact."""
    ledger = Ledger(timeline(seen, told), 0, STEP)
    rows = work(seen, told)
    key = EngineKey(ENGINE, gpus(len(seen.joules)))
    numbers = np.arange(rows.rows)
    ledger.add(key, numbers, np.zeros_like(numbers), rows)
    closed = ledger.close(int(seen.case.seconds / STEP))
    return _replayed(ledger, closed.shares, rows.rows)


def live(seen: Observed, told: Told = ALL, lateness: float = 10.0, export: float = 5.0, every: float = 2.0) -> Replayed:
    """Divide as time goes on: spans come up to `export` s after their requests ended, steps are closed after that."""
    ledger = Ledger(timeline(seen, told), 0, STEP)
    key = EngineKey(ENGINE, gpus(len(seen.joules)))
    ledger.watch(key.gpus)
    rows = work(seen, told)
    # Exported every so many seconds, as an SDK does.
    comes = np.ceil(rows.end / export) * export + 1.2
    shares: list[Shares] = []
    for now in np.arange(every, seen.case.seconds + lateness + every, every):
        come = np.flatnonzero((comes <= now) & (comes > now - every))
        if len(come):
            shares += ledger.add(key, come, np.zeros_like(come), rows.take(come)).shares
        shares += ledger.close(max(0, round((now - lateness) / STEP))).shares
    return _replayed(ledger, shares, rows.rows)


def _replayed(ledger: Ledger, shares: list[Shares], count: int) -> Replayed:
    joules, deviation, modelled = np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.nan)
    for one in shares:
        whole: NDArray[np.bool_] = one.covered > 0.99
        place = one.number[whole]
        joules[place] = (one.prefill + one.decode)[whole]
        deviation[place], modelled[place] = one.deviation[whole], one.modelled[whole]
    return Replayed(joules, deviation, modelled, ledger)
