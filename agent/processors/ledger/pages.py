# SPDX-License-Identifier: Apache-2.0
"""What an engine's page of metrics said in the course of time, from the timeline."""

from collections.abc import Callable
from typing import Any

import numpy as np

from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, TOKENS
from agent.clock import NS
from agent.metric import Metric, Series
from agent.processors.ledger.load import NO_PAGES, Pages
from agent.processors.ledger.steps import Numbers, Steps
from agent.timeline import Timeline


def pages_of(timeline: Timeline, engine: str, origin: int, steps: Steps) -> Pages:
    """Give what the engine's page said during these steps. `origin` is the monotonic ns of second 0.

    Its models are added up. Counters that fell have begun anew with their engine.
    """
    running = _sum(timeline, REQUESTS_RUNNING, lambda one: one.entity[0] == engine, origin, steps)
    if running is None:
        running = (np.empty(0), np.empty(0))
    counters = {
        "iterations": _sum(timeline, ITERATIONS, lambda one: one.entity[0] == engine, origin, steps),
        "computed": _tokens(timeline, engine, "input", origin, steps),
        "cached": _tokens(timeline, engine, "cached", origin, steps),
        "output": _tokens(timeline, engine, "output", origin, steps),
    }
    there = [told for told in (running, *counters.values()) if told is not None and len(told[0])]
    if not there:
        return NO_PAGES
    # All are of one page, so their times are the same; where one is missing at a time, it is read between its own.
    times = max((told[0] for told in there), key=len)
    found = {name: _at(times, told) for name, told in counters.items()}
    return Pages(times, _at(times, running), **found)


def _tokens(timeline: Timeline, engine: str, kind: str, origin: int, steps: Steps) -> tuple[Numbers, Numbers] | None:
    def wanted(series: Series) -> bool:
        return bool(series.entity[0] == engine and series.entity[2] == kind)

    return _sum(timeline, TOKENS, wanted, origin, steps)


def _sum(
    timeline: Timeline, metric: Metric[Any], wanted: Callable[[Series], bool], origin: int, steps: Steps
) -> tuple[Numbers, Numbers] | None:
    """Add up the series that are wanted; None where there is none. Counters come without their falls."""
    since, until = (origin + int(edge * steps.seconds * NS) for edge in (steps.first, steps.last))
    found: list[tuple[Numbers, Numbers]] = []
    for series in timeline.series_of(metric):
        if wanted(series):
            times, values = timeline.window(series, since, until)
            told = np.frombuffer(values, np.float64) if values else np.empty(0)
            there = ~np.isnan(told)
            if there.any():
                when = (np.frombuffer(times, np.int64)[there] - origin) / NS
                found.append((when, _grown(told[there]) if metric.monotonic else told[there]))
    if not found:
        return None
    times_of_all = max((when for when, _ in found), key=len)
    return times_of_all, np.sum([np.interp(times_of_all, when, told) for when, told in found], axis=0)


def _grown(values: Numbers) -> Numbers:
    return np.concatenate(([0.0], np.cumsum(np.maximum(0.0, np.diff(values)))))


def _at(times: Numbers, told: tuple[Numbers, Numbers] | None) -> Numbers | None:
    return None if told is None or not len(told[0]) else np.interp(times, *told)
