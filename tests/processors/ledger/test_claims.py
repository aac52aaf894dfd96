# SPDX-License-Identifier: Apache-2.0
"""What requests claim of steps: by hand, and in sum over requests as over steps."""

import numpy as np
import pytest

from agent.processors.ledger.claims import Claims, Prices
from agent.processors.ledger.steps import Numbers, Steps
from agent.processors.ledger.work import Work

STEPS = Steps(0, 10, 1.0)
ITERATIONS = np.full(10, 20.0)


def work(*rows: tuple[float, ...]) -> Work:
    return Work(*np.array(rows, np.float64).T)


def claims(some: Work, steps: Steps = STEPS, iterations: Numbers = ITERATIONS, pace: float = 20.0) -> Claims:
    return Claims(steps, some, iterations, some.decoded, some.begin, pace)


def prices(**some: float) -> Prices:
    return Prices(*(np.full(10, some.get(name, 0.0)) for name in Prices._fields))


ONE = work((1.0, 3.0, 7.0, 100.0, 40.0, 80.0, 140.0))


def test_tokens_lie_where_their_phase_does() -> None:
    seconds, computed, decoded, _ = claims(ONE).spread()
    assert seconds.tolist() == pytest.approx([0, 1, 1, 1, 1, 1, 1, 0, 0, 0])
    assert computed.tolist() == pytest.approx([0, 50, 50, 0, 0, 0, 0, 0, 0, 0])
    assert decoded.tolist() == pytest.approx([0, 0, 0, 20, 20, 20, 20, 0, 0, 0])


def test_each_decoded_token_reads_the_context_which_grows_by_it() -> None:
    _, _, _, read = claims(ONE).spread()
    # 40 tokens found in a cache are read once in the two seconds of prefill.
    assert read[1:3].tolist() == pytest.approx([20, 20])
    assert read[3:7].tolist() == pytest.approx([20 * (140 + 10), 20 * (140 + 30), 20 * (140 + 50), 20 * (140 + 70)])


def test_phases_pay_for_their_own_tokens_and_share_what_is_shared() -> None:
    prefill, decode = claims(ONE).charge(prices(computed=0.1, decoded=1.0, shared=5.0))
    # A price is that of being there all step: 0.1 J a second and token, 1 J a step of 20 iterations.
    assert prefill.tolist() == pytest.approx([50 * 0.1 * 2 + 5 * 2])
    assert decode.tolist() == pytest.approx([1.0 * 4 + 5 * 4])


def test_what_is_decoded_after_the_steps_is_left_for_later() -> None:
    some = work((8.0, 8.0, 12.0, 0.0, 0.0, 80.0, 0.0))
    assert claims(some).decoded.tolist() == pytest.approx([40])


def test_only_what_lies_after_its_own_since_counts() -> None:
    late = Claims(STEPS, ONE, ITERATIONS, np.array([40.0]), np.array([5.0]), 20.0)
    assert late.seconds().tolist() == pytest.approx([2])
    assert late.decoded.tolist() == pytest.approx([40])
    computed, _ = late.tokens()
    assert computed.tolist() == [0]


def test_who_is_there_for_no_time_claims_nothing() -> None:
    some = claims(work((4.0, 4.0, 4.0, 0.0, 0.0, 0.0, 9.0)))
    assert [column.tolist() for column in some.charge(prices(computed=1, decoded=1, read=1, shared=1))] == [[0], [0]]
    assert some.seconds().tolist() == [0]


@pytest.mark.parametrize("iterations", [ITERATIONS, np.array([9.0] * 5 + [1e-9] * 5), np.full(10, 1e-9)])
def test_charges_come_to_what_the_steps_hold(iterations: Numbers) -> None:
    dice = np.random.default_rng(4)
    begin = dice.uniform(-3, 11, 50)
    first, long = begin + dice.uniform(0, 3, 50), dice.choice([1e-3, 0.3, 9.0], 50)
    tokens = dice.choice([0.0, 1.0, 500.0, 131072.0], (4, 50))
    some = claims(Work(begin, first, first + long, *tokens), iterations=iterations)
    seconds, computed, decoded, read = some.spread()
    cost = Prices(*dice.uniform(0, 1, (5, 10)))
    cost = cost._replace(decoded=cost.decoded * iterations, read=cost.computed * iterations, cached=cost.computed)
    held = cost.computed * computed + cost.shared * seconds
    held += (cost.decoded * decoded + cost.read * read) / iterations
    assert sum(one.sum() for one in some.charge(cost)) == pytest.approx(held.sum(), rel=1e-9)


def test_tokens_are_those_that_were_spread() -> None:
    some = claims(work(*[(1.0 + at, 2.0 + at, 6.5 + at, 10.0, 3.0, 70.0, 200.0) for at in range(5)]))
    _, computed, decoded, read = some.spread()
    assert [one.sum() for one in some.tokens()] == pytest.approx([computed.sum(), read.sum()])
    assert some.decoded.sum() == pytest.approx(decoded.sum())


def test_a_cached_prompt_that_took_no_time_costs_others_no_digits() -> None:
    at_once = (3.0, 3.0, 8.0, 0.0, 131072.0, 0.0, 0.0)
    slow = (0.0, 9.0, 9.0, 0.0, 1e-3, 0.0, 0.0)
    _, _, _, read = claims(work(at_once, slow)).spread()
    assert read[:9] == pytest.approx(np.full(9, 1e-3 / 9), rel=1e-3)
