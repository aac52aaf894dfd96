# SPDX-License-Identifier: Apache-2.0
"""Intervals on rows of steps come to what cutting them up by hand gives."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.ledger.steps import Axis, Numbers, Points, Steps, between, idle_seconds, running

STEPS = Steps(4, 16, 0.5)
TIMES = st.floats(-2, 12) | st.sampled_from((2.0, 2.5, 8.0))
PAIRS = st.lists(st.tuples(TIMES, TIMES).map(sorted), min_size=1, max_size=6)
AMOUNTS = st.lists(st.floats(0, 50), min_size=STEPS.length, max_size=STEPS.length).map(np.array)
FINE = 400
"""Pieces that a step is cut into by hand."""


def ends(pairs: list[list[float]]) -> tuple[Points, Points]:
    begin, end = np.array(pairs).T
    return STEPS.points(begin), STEPS.points(end)


def inside(pair: list[float]) -> Numbers:
    """Share of each step within an interval, cut up by hand."""
    edges = STEPS.edges
    lengths = np.minimum(edges[1:], pair[1]) - np.maximum(edges[:-1], pair[0])
    found: Numbers = np.maximum(0.0, lengths) / STEPS.seconds
    return found


def test_steps_begin_at_multiples_of_their_length() -> None:
    assert Steps(2, 5, 0.5).edges.tolist() == [1.0, 1.5, 2.0, 2.5]
    assert Steps(2, 5, 0.5).length == 3


def test_moments_outside_are_moved_to_the_edges() -> None:
    step, share = Steps(2, 5, 0.5).points(np.array([-9.0, 1.0, 1.75, 2.5, 1e12]))
    assert step.tolist() == [0, 0, 1, 2, 2]
    assert share.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


@given(PAIRS)
def test_intervals_are_spread_over_the_steps_they_lie_in(pairs: list[list[float]]) -> None:
    levels = np.arange(1.0, len(pairs) + 1)
    axis = Axis(np.full(STEPS.length, STEPS.seconds))
    wanted = sum(level * inside(pair) * STEPS.seconds for level, pair in zip(levels, pairs, strict=True))
    assert axis.spread(*ends(pairs), levels) == pytest.approx(wanted, abs=1e-9)


@given(PAIRS, AMOUNTS, st.floats(0, 5), st.floats(-1, 1))
def test_a_density_that_grows_along_the_axis_is_integrated(
    pairs: list[list[float]], growth: Numbers, level: float, slope: float
) -> None:
    axis, found = Axis(growth), np.zeros(STEPS.length)
    places = (np.arange(FINE) + 0.5) / FINE
    for begin, end in zip(*(axis_shares(pairs, side) for side in (0, 1)), strict=True):
        for step in range(STEPS.length):
            there = (step + places >= begin) & (step + places < end)
            at = axis.edges[step] + places * growth[step]
            found[step] += float(((level + slope * at) * there).sum()) * growth[step] / FINE
    spread = axis.spread(*ends(pairs), np.full(len(pairs), level), np.full(len(pairs), slope))
    coarse = len(pairs) * (level + abs(slope) * axis.edges[-1] + 1) * (growth.max() + 1) * 2 / FINE
    assert spread == pytest.approx(found, abs=coarse)


def axis_shares(pairs: list[list[float]], side: int) -> list[float]:
    return [min(max(pair[side] / STEPS.seconds - STEPS.first, 0.0), STEPS.length) for pair in pairs]


@given(PAIRS, AMOUNTS)
def test_amounts_of_steps_are_integrated_over_intervals(pairs: list[list[float]], amounts: Numbers) -> None:
    wanted = [float(amounts @ inside(pair)) for pair in pairs]
    assert between(amounts, *ends(pairs)) == pytest.approx(wanted, abs=1e-9)


@given(PAIRS, AMOUNTS, AMOUNTS)
def test_prices_paid_for_densities_come_to_densities_at_prices(
    pairs: list[list[float]], growth: Numbers, prices: Numbers
) -> None:
    """Summed over intervals or over steps it is the same: conservation rests on it."""
    axis, (begin, end) = Axis(growth + 0.1), ends(pairs)
    levels, slopes = np.arange(1.0, len(pairs) + 1), np.full(len(pairs), 0.3)
    amounts = prices * axis.growth
    paid = levels * between(amounts, begin, end) + slopes * axis.moment(amounts, begin, end)
    assert paid.sum() == pytest.approx(float(axis.spread(begin, end, levels, slopes) @ prices), rel=1e-9, abs=1e-9)


def test_a_short_interval_after_large_amounts_keeps_its_digits() -> None:
    amounts = np.array([1e15, 1.0, 1.0])
    found = between(amounts, *(Steps(0, 3, 1.0).points(np.array([at])) for at in (1.25, 1.75)))
    assert found.tolist() == [0.5]


@given(PAIRS)
def test_time_in_which_no_interval_is_under_way_is_idle(pairs: list[list[float]]) -> None:
    marks = np.unique(np.clip([*STEPS.edges, *np.ravel(pairs)], STEPS.edges[0], STEPS.edges[-1]))
    wanted = np.zeros(STEPS.length)
    for since, until in pairwise(marks.tolist()):
        middle = (since + until) / 2
        if not any(begin <= middle <= end for begin, end in pairs):
            wanted[min(STEPS.length - 1, int((middle - STEPS.edges[0]) / STEPS.seconds))] += until - since
    found = idle_seconds(STEPS, *np.array(pairs).T)
    assert found == pytest.approx(wanted, abs=1e-9)
    assert (found >= 0).all()
    assert (found <= STEPS.seconds).all()


def test_without_intervals_all_time_is_idle() -> None:
    assert idle_seconds(Steps(1, 4, 0.1), np.empty(0), np.empty(0)).tolist() == [0.1, 0.1, 0.1]


def test_a_running_sum_begins_at_nothing() -> None:
    assert running(np.array([1.0, 2.0])).tolist() == [0.0, 1.0, 3.0]
