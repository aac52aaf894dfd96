# SPDX-License-Identifier: Apache-2.0
"""Pages of engines are read from the timeline, models added up and counters without their falls."""

import numpy as np
import pytest

from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, TOKENS
from agent.clock import NS
from agent.entities import Engine, EngineModel, EngineTokens
from agent.metric import Series
from agent.processors.ledger.load import NO_PAGES
from agent.processors.ledger.pages import pages_of
from agent.processors.ledger.steps import Steps
from agent.snapshot import Source
from agent.timeline import Timeline

ORIGIN = 50 * NS
STEPS = Steps(0, 100, 0.1)
RUNNING = REQUESTS_RUNNING.series(EngineModel("a", "m"))
OTHER = REQUESTS_RUNNING.series(EngineModel("a", "n"))
STEPPED = ITERATIONS.series(Engine("a"))


def timeline(series: tuple[Series, ...], *rows: tuple[float | None, ...], engine: str = "a") -> Timeline:
    """A row each second."""
    found = Timeline(900, 0.1)
    for second, row in enumerate(rows):
        found.append(Source("engines", engine), series, ORIGIN + second * NS, row)
    return found


def test_an_engine_without_a_page_tells_nothing() -> None:
    assert pages_of(timeline((RUNNING,)), "a", ORIGIN, STEPS) is NO_PAGES
    assert pages_of(timeline((RUNNING,), (1.0,)), "b", ORIGIN, STEPS) is NO_PAGES


def test_models_of_an_engine_are_added_up() -> None:
    found = pages_of(timeline((RUNNING, OTHER), (1.0, 2.0), (3.0, 4.0)), "a", ORIGIN, STEPS)
    assert found.times.tolist() == [0.0, 1.0]
    assert found.running is not None
    assert found.running.tolist() == [3.0, 7.0]


def test_what_is_not_told_is_absent() -> None:
    found = pages_of(timeline((RUNNING,), (1.0,), (1.0,)), "a", ORIGIN, STEPS)
    assert found[2:] == (None, None, None, None)
    only = pages_of(timeline((STEPPED,), (1.0,), (5.0,)), "a", ORIGIN, STEPS)
    assert only.running is None
    assert only.iterations is not None


def test_a_counter_that_fell_goes_on_from_where_it_was() -> None:
    found = pages_of(timeline((STEPPED,), (100.0,), (150.0,), (7.0,), (20.0,)), "a", ORIGIN, STEPS)
    assert found.iterations is not None
    assert found.iterations.tolist() == pytest.approx([0, 50, 50, 63])


def test_tokens_are_told_apart_by_what_was_done_for_them() -> None:
    series = tuple(TOKENS.series(EngineTokens("a", "m", kind)) for kind in ("input", "cached", "output"))
    found = pages_of(timeline(series, (0.0, 0.0, 0.0), (1.0, 2.0, 3.0)), "a", ORIGIN, STEPS)
    assert [found.computed, found.cached, found.output] == [pytest.approx(np.array([0.0, by])) for by in (1, 2, 3)]


def test_a_value_that_is_missing_is_read_between_its_neighbours() -> None:
    rows = ((0.0, 1.0), (None, 1.0), (20.0, 1.0))
    found = pages_of(timeline((STEPPED, RUNNING), *rows), "a", ORIGIN, STEPS)
    assert found.iterations is not None
    assert found.iterations.tolist() == pytest.approx([0, 10, 20])


def test_only_what_was_said_during_the_steps_is_read() -> None:
    found = pages_of(timeline((RUNNING,), *[(1.0,)] * 30), "a", ORIGIN, Steps(50, 80, 0.1))
    assert found.times.tolist() == [5.0, 6.0, 7.0, 8.0]
