# SPDX-License-Identifier: Apache-2.0
"""Passes in time: whatever they are, what was added comes out once, and counters never change their past."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialects.forward_pass_steps import Row, Steps

STEP = 100
moments = st.integers(0, 5_000)
amounts = st.integers(0, 1_000_000)


def closed(steps: Steps, until: int) -> list[Row]:
    return list(steps.close(until))


def test_a_pass_is_spread_over_how_long_it_took() -> None:
    steps = Steps(STEP, 2)
    assert steps.add(150, 350, (1, 200))
    assert closed(steps, 500) == [
        Row(100, (0, 0)),
        Row(200, (0.25, 50)),
        Row(300, (0.75, 150)),
        Row(400, (1, 200)),
        Row(500, (1, 200)),
    ]


def test_a_pass_that_ends_with_a_step_lies_in_it() -> None:
    steps = Steps(STEP, 1)
    assert steps.add(200, 200, (1,))
    assert closed(steps, 300) == [Row(100, (0,)), Row(200, (1,)), Row(300, (1,))]


def test_what_comes_after_its_step_was_closed_is_not_added() -> None:
    steps = Steps(STEP, 1)
    steps.add(100, 200, (1,))
    closed(steps, 300)
    assert not steps.add(250, 350, (1,))
    assert closed(steps, 400) == [Row(400, (1,))]


def test_what_lies_far_ahead_is_not_added() -> None:
    steps = Steps(STEP, 1, capacity=10)
    steps.add(0, 100, (1,))
    assert not steps.add(1_000_000, 1_000_100, (1,))


def test_a_step_of_which_not_all_is_known_has_no_value_and_the_next_ones_do() -> None:
    steps = Steps(STEP, 1)
    steps.add(100, 200, (1,))
    steps.blur(200, 350)
    steps.add(400, 500, (1,))
    assert [row.values for row in closed(steps, 500)] == [(0,), (1,), None, None, (2,)][:5]


def test_after_a_pause_the_rows_before_are_left_out_and_what_was_added_is_not() -> None:
    steps = Steps(STEP, 1, capacity=3)
    steps.add(0, 100, (5,))
    assert closed(steps, 100_000) == [Row(99_800, (5,)), Row(99_900, (5,)), Row(100_000, (5,))]


@given(st.lists(st.tuples(moments, moments, amounts), max_size=30), st.lists(moments, max_size=10))
def test_everything_that_is_added_comes_out_once(passes: list[tuple[int, int, int]], reads: list[int]) -> None:
    steps, taken, rows = Steps(STEP, 1), 0, []
    schedule = sorted([(end, begin, amount) for begin, end, amount in passes]) + [(end, -1, 0) for end in reads]
    for end, begin, amount in sorted(schedule):
        if begin < 0:
            rows += closed(steps, end)
        elif steps.add(min(begin, end), end, (amount,)):
            taken += amount
    rows += closed(steps, 10_000)
    assert not rows or rows[-1].values == pytest.approx((taken,), rel=1e-9, abs=1e-9)
    assert all(later.time - row.time == STEP for row, later in pairwise(rows))
    values = [row.values[0] for row in rows if row.values]
    assert all(later >= value - 1e-6 for value, later in pairwise(values))
