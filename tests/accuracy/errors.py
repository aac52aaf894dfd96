# SPDX-License-Identifier: Apache-2.0
"""How far the ledger is off, by how it is told of the requests."""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from agent.processors.ledger.steps import Numbers
from tests.accuracy import rules
from tests.accuracy.replay import Replayed, Told, at_once, live, truth, work
from tests.accuracy.simulated import MODELS, Case, Observed, observe

LEAST = 1.0
"""Seconds that a request lasts of which errors are told: below, it is all model."""
_SETTLED = 60.0
"""Seconds after which, live, an engine is calibrated."""
_SPANS = Told(page=False)
_SILENT = Told(cached=False)
OFTEN: Final = 40.0


PREEMPTED: Final = Case(MODELS[2], 6, kv_tokens=36_000)
"""More is asked than the KV cache holds: sequences are preempted, and compute their prompts again."""


class Errors(NamedTuple):
    """Relative errors: median, 90th and 99th percentile; and the share within two of the deviations that are told."""

    median: float
    p90: float
    p99: float
    within: float | None
    requests: int


RULES: Final[Mapping[str, Callable[[Observed], Numbers]]] = MappingProxyType(
    {
        "equal shares of time": rules.by_time,
        "shares by tokens": rules.by_tokens,
    }
)
LEDGERS: Final[Mapping[str, Callable[[Observed], Replayed]]] = MappingProxyType(
    {
        "ledger, iterations counted": at_once,
        "ledger, tokens counted": lambda seen: at_once(seen, Told(iterations=False)),
        "ledger, spans alone": lambda seen: at_once(seen, _SPANS),
        "ledger, live, iterations counted": live,
        "ledger, live, spans alone": lambda seen: live(seen, _SPANS, lateness=OFTEN),
    }
)
"""How the ledger is told. Live, spans come at most 5 s after their requests ended, and steps are closed after 10 s;
with spans alone, after the longest requests, as the agent does."""


@cache
def seen(case: Case) -> Observed:
    """Simulate a case once."""
    return observe(case)


def of_rule(case: Case, rule: str) -> Errors:
    """Tell the errors of another rule."""
    run = seen(case)
    return _errors(run, RULES[rule](run), None, 0.0)


def of_ledger(case: Case, how: str) -> Errors:
    """Tell the errors of the ledger."""
    run = seen(case)
    return of(run, LEDGERS[how](run), _SETTLED if "live" in how else 0.0)


def of_silent(case: Case) -> Errors:
    """Tell the errors of the ledger where spans do not say what was found in the cache."""
    run = seen(case)
    return of(run, at_once(run, _SILENT))


def of(run: Observed, replayed: Replayed, since: float = 0.0) -> Errors:
    """Tell the errors of what was divided, of requests that began `since` then, s."""
    return _errors(run, replayed.joules, replayed.deviation, since)


def _errors(run: Observed, joules: Numbers, deviation: Numbers | None, since: float) -> Errors:
    true, rows = truth(run), work(run)
    some = (rows.end - rows.begin >= LEAST) & (rows.begin >= since) & ~np.isnan(joules)
    off = np.abs(joules - true)[some]
    relative = off / true[some]
    within = None if deviation is None else float((off <= 2 * deviation[some]).mean())
    median, p90, p99 = (float(np.quantile(relative, share)) for share in (0.5, 0.9, 0.99))
    return Errors(median, p90, p99, within, int(some.sum()))
