# SPDX-License-Identifier: Apache-2.0
"""What work costs is learnt from windows, and what cannot be known is not claimed."""

from itertools import product

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.processors.ledger.calibration import COLUMNS, Calibration, Sums, non_negative
from agent.processors.ledger.steps import Numbers
from tests.processors.ledger.histories import COSTS, IDLE

TRUTH = np.array([IDLE, *COSTS[0]])


def windows(count: int, seed: int = 0) -> NDArray[np.float64]:
    dice = np.random.default_rng(seed)
    iterations, batch = dice.uniform(10, 80, count), dice.uniform(1, 30, count)
    decoded = iterations * batch
    prefill, context = dice.uniform(0, 8000, count), dice.uniform(100, 4000, count)
    return np.stack([np.full(count, 2.0), iterations, prefill, decoded, decoded * context], axis=1)


def learnt(rows: NDArray[np.float64], joules: Numbers) -> Calibration:
    found = Calibration()
    found.learn(rows, joules, 2.0, np.ones(len(rows)))
    return found


def test_coefficients_are_found_with_the_idle_power_pinned() -> None:
    rows = windows(200)
    fit = learnt(rows, rows @ TRUTH).fit(IDLE)
    assert fit is not None
    assert fit.coefficients == pytest.approx(COSTS[0], rel=1e-6)
    assert fit.good
    assert fit.idle_watts == IDLE
    assert (fit.r2, fit.residual) == pytest.approx((1, 0), abs=1e-5)


def test_idle_power_is_fitted_where_it_was_not_seen() -> None:
    rows = windows(200)
    fit = learnt(rows, rows @ TRUTH).fit(None)
    assert fit is not None
    assert fit.idle_watts == pytest.approx(IDLE, rel=1e-6)
    assert fit.coefficients == pytest.approx(COSTS[0], rel=1e-6)


def test_noise_widens_the_covariance_and_the_truth_lies_within() -> None:
    rows = windows(300)
    noise = np.random.default_rng(1).normal(0, 20, 300)
    fit = learnt(rows, rows @ TRUTH + noise).fit(IDLE)
    assert fit is not None
    deviations = np.sqrt(np.diag(fit.covariance))
    assert (np.abs(np.array(fit.coefficients) - COSTS[0]) < 4 * deviations).all()
    assert 0 < fit.residual < 0.1


def test_no_fit_before_thirty_seconds_of_windows() -> None:
    rows = windows(15)
    early = learnt(rows[:14], rows[:14] @ TRUTH)
    assert early.fit(IDLE) is None
    early.learn(rows[14:], rows[14:] @ TRUTH, 2.0, np.ones(1))
    assert early.fit(IDLE) is not None


def test_energy_that_work_does_not_explain_is_no_good_fit() -> None:
    rows = windows(100)
    fit = learnt(rows, np.random.default_rng(1).exponential(500, 100)).fit(0.0)
    assert fit is not None
    assert not fit.good


def test_work_that_is_always_mixed_alike_is_no_good_fit() -> None:
    rows = np.outer(np.linspace(1, 5, 100), [0.0, 20.0, 3000.0, 400.0, 4e5])
    rows[:, 0] = 2.0
    rows *= 1 + 1e-9 * np.random.default_rng(0).normal(size=rows.shape)
    fit = learnt(rows, rows @ TRUTH).fit(IDLE)
    assert fit is not None
    assert not fit.good or fit.condition < 1e7
    assert min(fit.coefficients) >= 0


def test_no_work_is_no_good_fit() -> None:
    rows = np.zeros((50, 5))
    rows[:, 0] = 2.0
    fit = learnt(rows, np.full(50, 140.0)).fit(IDLE)
    assert fit is not None
    assert not fit.good


def test_windows_that_are_not_trusted_or_no_numbers_are_left_out() -> None:
    rows = windows(60)
    joules, trust = rows @ TRUTH, np.ones(60)
    joules[0], rows[1, 2], trust[2], joules[2] = np.nan, np.inf, 0.0, 1e9
    found = Calibration()
    found.learn(rows, joules, 2.0, trust)
    fit = found.fit(IDLE)
    assert fit is not None
    assert fit.seconds == 57 * 2.0
    assert fit.coefficients == pytest.approx(COSTS[0], rel=1e-6)


def test_what_was_learnt_fades_by_half_in_ten_minutes() -> None:
    rows = windows(600)
    found = learnt(rows[:300], rows[:300] @ (TRUTH * 2))
    before = found.sums().weight
    found.learn(rows[:1], rows[:1] @ TRUTH, 600.0, np.ones(1))
    assert found.sums().weight == pytest.approx(before / 2 + 1)


def test_learning_at_once_or_in_pieces_is_the_same() -> None:
    rows = windows(100)
    once, pieces = learnt(rows, rows @ TRUTH), Calibration()
    for some in np.array_split(rows, 7):
        pieces.learn(some, some @ TRUTH, 2.0, np.ones(len(some)))
    assert np.array(pieces.sums().gram) == pytest.approx(np.array(once.sums().gram))
    assert pieces.sums().square == pytest.approx(once.sums().square)


def test_sums_are_kept_and_restored() -> None:
    rows = windows(100)
    sums = learnt(rows, rows @ TRUTH).sums()
    again = msgspec.json.decode(msgspec.json.encode(sums), type=Sums)
    fit = Calibration(again).fit(IDLE)
    assert fit is not None
    assert fit.coefficients == pytest.approx(COSTS[0], rel=1e-6)
    assert Calibration(again).sums() == sums


GOOD = learnt(windows(50), windows(50) @ TRUTH).sums()
SIZE = len(COLUMNS)


@pytest.mark.parametrize(
    "bad",
    [
        Sums([[1.0]], [1.0]),
        Sums([], []),
        Sums([[1.0] * SIZE] * (SIZE - 1) + [[1.0]], [0.0] * SIZE),
        Sums(GOOD.gram, [float("nan")] * SIZE),
        Sums(GOOD.gram, GOOD.moment, square=float("inf")),
        Sums(GOOD.gram, GOOD.moment, weight=-1.0),
        Sums((-np.eye(SIZE)).tolist(), [0.0] * SIZE),
        Sums((np.ones((SIZE, SIZE)) - np.eye(SIZE)).tolist(), [0.0] * SIZE),
        Sums(GOOD.gram, [one * 2 for one in GOOD.moment], GOOD.square, GOOD.total, GOOD.weight, GOOD.seconds),
        Sums(np.triu(np.ones((SIZE, SIZE))).tolist(), [0.0] * SIZE),
    ],
)
def test_what_no_windows_can_have_come_to_is_refused(bad: Sums) -> None:
    with pytest.raises(ValueError, match="sums of a calibration"):
        Calibration(bad)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=3, max_size=8), st.integers(0, 99))
def test_non_negative_least_squares_is_beaten_by_no_point_of_a_grid(rows: list[list[int]], seed: int) -> None:
    matrix = np.array(rows, np.float64)
    wanted = np.random.default_rng(seed).uniform(-5, 5, len(rows))
    gram, moment = matrix.T @ matrix, matrix.T @ wanted
    found, support = non_negative(gram, moment)
    assert (found >= 0).all()
    assert set(np.flatnonzero(found)) <= set(support)
    grid = np.array(list(product(np.linspace(0, 4, 17), repeat=3)))
    costs = np.einsum("gi,ij,gj->g", grid, gram, grid) - 2 * grid @ moment
    assert found @ gram @ found - 2 * found @ moment <= costs.min() + 1e-9


def test_a_known_solution_on_the_boundary_is_found() -> None:
    found, support = non_negative(np.eye(3), np.array([2.0, -1.0, 3.0]))
    assert (found.tolist(), support) == ([2.0, 0.0, 3.0], [0, 2])
