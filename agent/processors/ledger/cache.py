# SPDX-License-Identifier: Apache-2.0
"""How much of each prompt was found in a cache, where the span does not say and the engine counts it.

vLLM's spans do not say. Its page counts what was computed and what was found, each prompt when its first token is
there: between two looks, these are sums over the few prompts whose first token came then. They are divided by how long
each prefill took beyond the shortest ones, as far as each prompt is long.
"""

import numpy as np

from agent.processors.ledger.load import Pages
from agent.processors.ledger.steps import Numbers
from agent.processors.ledger.work import Work

_ROUNDS = 12
_SHORT = 0.05
"""Quantile of the durations of prefills that is what an iteration takes without a prompt of any length."""
_NOTHING = 1e-9


def found_in_cache(work: Work, pages: Pages) -> Numbers:
    """Estimate the tokens of each prompt that were found in the cache, where `work.cached` is NaN; 0 without a page."""
    if pages.computed is None or pages.cached is None or len(pages.times) < 2 or not work.rows:  # noqa: PLR2004
        return np.zeros(work.rows)
    count = len(pages.times) - 1
    interval = np.searchsorted(pages.times, work.first, side="left") - 1
    inside = (interval >= 0) & (interval < count)
    place = np.clip(interval, 0, count - 1)
    computed, cached = np.diff(pages.computed), np.diff(pages.cached)
    share = np.divide(computed, computed + cached, out=np.ones(count), where=computed + cached > 0)
    prompt = work.computed
    # Of those known, as much was computed as of all whose first token came then, others included.
    wanted = np.bincount(place, prompt * inside, count) * share
    took = np.maximum(work.first - work.begin, 0.0)
    weight = took - np.quantile(took, _SHORT) + 1e-4
    weight = np.maximum(weight, 1e-4)
    guess = np.minimum(prompt, weight)
    for _ in range(_ROUNDS):
        have = np.bincount(place, guess * inside, count)
        guess = np.minimum(prompt, guess * (wanted / np.maximum(have, _NOTHING))[place])
    overall = float(computed.sum() / max(float((computed + cached).sum()), 1.0))
    found: Numbers = prompt - np.where(inside, guess, prompt * overall)
    return found
