# SPDX-License-Identifier: Apache-2.0
"""What an engine did is told by its spans, and by its page where it has one."""

import numpy as np
import pytest

from agent.processors.ledger.load import NO_PAGES, Load, Pages, load
from agent.processors.ledger.steps import Numbers, Steps
from agent.processors.ledger.work import EMPTY, Work

STEPS = Steps(0, 100, 0.1)
TIMES = np.arange(0.0, 11.0)


def work(*rows: tuple[float, ...]) -> Work:
    return Work(*np.array(rows, np.float64).T)


def counter(a_second: float) -> Numbers:
    return TIMES * a_second


ONE = work((2.0, 4.0, 8.0, 100.0, 0.0, 80.0, 100.0))


def active(found: Load) -> list[float]:
    return [round(float(found.sequences[second * 10 : second * 10 + 10].sum()), 6) for second in range(10)]


def test_without_a_page_only_known_sequences_run() -> None:
    found = load(STEPS, ONE, NO_PAGES)
    assert active(found) == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]
    assert not found.unknown.any()
    assert not found.more_computed.any()


def test_without_a_page_iterations_let_sequences_get_their_tokens() -> None:
    found = load(STEPS, ONE, NO_PAGES)
    assert found.iterations[40:80] == pytest.approx(np.full(40, 2.0))


def test_as_many_sequences_are_hidden_as_it_turned_out_before() -> None:
    found = load(STEPS, ONE, NO_PAGES, hidden=0.5)
    assert active(found) == [0, 0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 0, 0]
    assert found.more_computed.sum() == pytest.approx(50)


def test_sequences_beyond_the_known_ones_are_those_of_the_gauge() -> None:
    found = load(STEPS, ONE, Pages(TIMES, running=np.full(11, 3.0)))
    assert found.unknown[5] == pytest.approx(0.3)
    assert found.unknown[55] == pytest.approx(0.2)
    assert found.more_decoded[55] == pytest.approx(2 * found.iterations[55])


def test_a_gauge_below_the_known_sequences_takes_none_away() -> None:
    found = load(STEPS, ONE, Pages(TIMES, running=np.zeros(11)))
    assert active(found) == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]


def test_iterations_are_those_that_the_engine_counted() -> None:
    found = load(STEPS, ONE, Pages(TIMES, running=np.ones(11), iterations=counter(30)))
    assert found.iterations[40:80].sum() == pytest.approx(120)


def test_an_engine_that_works_for_nobody_known_has_its_iterations() -> None:
    found = load(STEPS, EMPTY, Pages(TIMES, running=np.ones(11), iterations=counter(30)))
    assert found.iterations.sum() == pytest.approx(300)
    assert found.unknown.sum() == pytest.approx(10)


def test_prompt_tokens_that_no_span_explains_are_those_of_unknown_sequences() -> None:
    pages = Pages(TIMES, running=np.full(11, 2.0), computed=counter(50))
    assert load(STEPS, EMPTY, pages).more_computed.sum() == pytest.approx(500)
    known = load(STEPS, ONE, pages).more_computed.sum()
    assert 300 < known < 500


def test_an_engine_without_requests_did_nothing() -> None:
    found = load(STEPS, EMPTY, NO_PAGES)
    assert not found.iterations.any()
    assert not found.sequences.any()


def test_nothing_is_negative_whatever_the_page_says() -> None:
    dice = np.random.default_rng(3)
    for _ in range(50):
        begin = dice.uniform(-3, 11, 9)
        first = begin + dice.uniform(0, 3, 9)
        some = Work(begin, first, first + dice.uniform(0, 9, 9), *dice.choice([0.0, 5.0, 9000.0], (4, 9)))
        columns = [(dice.uniform(0, 900, 11) * dice.integers(0, 2)).cumsum().astype(np.float64) for _ in range(4)]
        found = load(STEPS, some, Pages(TIMES, dice.integers(0, 9, 11).astype(float), *columns))
        for column in found:
            assert np.isfinite(column).all()
            assert (column >= 0).all()


def test_a_cut_gives_some_of_the_steps() -> None:
    found = load(STEPS, ONE, NO_PAGES).cut(20, 25)
    assert [len(column) for column in found] == [5] * 6
    assert found.known.tolist() == pytest.approx([0.1] * 5)
