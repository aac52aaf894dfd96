# SPDX-License-Identifier: Apache-2.0
"""How much of a prompt was found in a cache is told by what the engine counted while its first token came."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.ledger.cache import found_in_cache
from agent.processors.ledger.load import NO_PAGES, Pages
from agent.processors.ledger.steps import running
from agent.processors.ledger.work import EMPTY, Work


def prompts(*rows: tuple[float, float, float]) -> Work:
    """Requests by the second of their first token, how long their prefill took, and their prompt tokens."""
    first, took, tokens = np.array(rows, np.float64).T
    nothing = np.zeros(len(rows))
    return Work(first - took, first, first + 1, tokens, np.full(len(rows), np.nan), nothing, tokens)


def pages(computed: Sequence[float], cached: Sequence[float]) -> Pages:
    """What was counted in each second."""
    times = np.arange(len(computed) + 1.0)
    return Pages(times, computed=running(np.array(computed)), cached=running(np.array(cached)))


def test_of_one_prompt_between_two_looks_it_is_what_was_counted() -> None:
    work = prompts((0.5, 0.1, 1000), (1.5, 0.3, 700), (2.5, 0.2, 400))
    found = found_in_cache(work, pages([250, 700, 0], [750, 0, 400]))
    assert found.tolist() == pytest.approx([750, 0, 400])


def test_several_prompts_are_told_apart_by_how_long_their_prefill_took() -> None:
    work = prompts((0.4, 0.01, 1000), (0.6, 0.4, 1000), (0.8, 0.2, 1000))
    first, second, third = found_in_cache(work, pages([1500], [1500])).tolist()
    assert first + second + third == pytest.approx(1500, rel=1e-3)
    assert first > third > second


def test_prompts_of_the_same_length_that_took_as_long_share_alike() -> None:
    work = prompts((0.3, 0.2, 600), (0.6, 0.2, 600))
    assert found_in_cache(work, pages([300], [900])).tolist() == pytest.approx([450, 450])


def test_of_known_prompts_it_is_their_share_where_others_are_counted_too() -> None:
    found = found_in_cache(prompts((0.5, 0.1, 100)), pages([750], [2250]))
    assert found.tolist() == pytest.approx([75])


def test_a_first_token_outside_of_the_looks_has_the_share_of_all() -> None:
    work = prompts((0.5, 0.1, 1000), (7.0, 0.1, 100))
    assert found_in_cache(work, pages([200, 0], [800, 0])).tolist() == pytest.approx([800, 80])


def test_nothing_is_told_where_nothing_was_counted_of_prompts() -> None:
    work = prompts((0.5, 0.1, 1000), (1.5, 0.1, 1000))
    assert found_in_cache(work, pages([0, 0], [0, 0])).tolist() == pytest.approx([0, 0], abs=1)


def test_without_a_page_nothing_is_found() -> None:
    work = prompts((0.5, 0.1, 1000), (1.5, 0.2, 10))
    both = pages([200, 0], [800, 0])
    for page in (
        NO_PAGES,
        both._replace(cached=None),
        both._replace(computed=None),
        Pages(np.zeros(1), computed=np.zeros(1), cached=np.zeros(1)),
    ):
        assert found_in_cache(work, page).tolist() == [0, 0]
    assert found_in_cache(EMPTY, both).tolist() == []


ROWS = st.lists(st.tuples(st.floats(-2, 12), st.floats(0, 5), st.integers(0, 100_000)), min_size=1, max_size=30)
COUNTS = st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 100_000)), min_size=1, max_size=10)


@given(ROWS, COUNTS)
def test_never_more_is_found_than_the_prompt_nor_less_than_nothing(
    rows: list[tuple[float, float, int]], counts: list[tuple[int, int]]
) -> None:
    work = prompts(*rows)
    found = found_in_cache(work, pages(*zip(*counts, strict=True)))
    assert np.isfinite(found).all()
    assert (found >= -1e-6).all()
    assert (found <= work.computed + 1e-6).all()
