# SPDX-License-Identifier: Apache-2.0
"""Rounds stay on their grid whatever the delays."""

from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS
from agent.rounds import Due, Rounds


@given(st.integers(1, 20), st.lists(st.integers(0, 100), max_size=50))
def test_every_time_of_the_grid_is_either_run_or_counted_as_missed(period: int, waits: list[int]) -> None:
    rounds = Rounds({"a": float(period)}, 0)
    now = runs = missed = 0
    for wait in waits:
        now += wait
        for due in rounds.due(now * NS):
            runs += 1
            missed += due.missed
    assert runs + missed == (now // period + 1 if waits else 0)
    assert rounds.next_time() % (period * NS) == 0


def test_what_is_due_together_comes_in_the_order_given() -> None:
    rounds = Rounds({"fast": 0.1, "slow": 1.0}, 5)
    assert rounds.due(5) == [Due("fast", 0), Due("slow", 0)]
    assert rounds.due(6) == []
    assert rounds.next_time() == 5 + NS // 10
    assert rounds.due(5 + NS) == [Due("fast", 9), Due("slow", 0)]


def test_hastened_rounds_are_due_at_once() -> None:
    rounds = Rounds({"slow": 60.0}, 0)
    rounds.due(0)
    rounds.hasten(7)
    assert rounds.due(7) == [Due("slow", 0)]


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 10**7), min_size=1), st.lists(st.integers(0, 10**8)))
def test_the_next_time_is_on_the_grid_after_now_and_nothing_before_it_is_due(
    periods: dict[str, int], waits: list[int]
) -> None:
    start = now = 12345
    rounds = Rounds({what: period / NS for what, period in periods.items()}, start)
    grid = rounds._periods
    for wait in waits:
        now += wait
        rounds.due(now)
        assert now < rounds.next_time() <= max(start, now + min(grid.values()))
        assert all((when - start) % grid[what] == 0 for what, when in rounds._next.items())
        assert rounds.due(rounds.next_time() - 1) == []


def test_hastened_rounds_begin_a_new_grid_and_miss_nothing() -> None:
    rounds = Rounds({"fast": 1.0, "slow": 60.0}, 0)
    rounds.due(0)
    rounds.hasten(10 * NS + 7)
    assert rounds.due(10 * NS + 7) == [Due("fast", 0), Due("slow", 0)]
    assert rounds.next_time() == 11 * NS + 7
