# SPDX-License-Identifier: Apache-2.0
"""Names as label values: few, printable, and those that come most."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.top_names import OTHER, Candidates, TopNames, clean


def ask(names: TopNames, **times: int) -> None:
    for name, count in times.items():
        for _ in range(count):
            names.name(name)


def test_the_first_that_come_keep_their_names_and_the_rest_are_other_and_counted() -> None:
    names = TopNames(2)
    assert [names.name(one) for one in ("a", "b", "c", "a", "d", "c", "b")] == ["a", "b", OTHER, "a", OTHER, OTHER, "b"]
    assert names.dropped == 3


def test_what_is_not_there_stays_absent_and_takes_no_slot() -> None:
    names = TopNames(1)
    assert [names.name(one) for one in (None, "", "a", None)] == [None, None, "a", None]
    assert names.dropped == 0


def test_who_is_called_other_is_other_and_takes_no_slot_and_drops_nothing() -> None:
    names = TopNames(1)
    assert [names.name(one) for one in (OTHER, "a", OTHER)] == [OTHER, "a", OTHER]
    assert names.dropped == 0


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("x" * 500, "x" * 128),
        ("two\nlines\x00\x7f\x9b", "two\ufffdlines\ufffd\ufffd\ufffd"),
        ("line\u2028and \ud800", "line\ufffdand \ufffd"),
        ("Qwen/Qwen3-8B é 漢", "Qwen/Qwen3-8B é 漢"),
    ],
)
def test_a_name_is_short_and_printable(value: str, name: str) -> None:
    names = TopNames(1)
    assert [names.name(value), names.name(value), clean(value)] == [name] * 3
    assert names.name("another") == OTHER


def test_who_comes_more_than_twice_as_often_takes_the_slot_of_the_rarest() -> None:
    names = TopNames(2)
    ask(names, a=10, b=3, c=6)
    assert names.rebalance() == ()
    ask(names, a=10, b=3, c=7, d=6)
    assert names.rebalance() == ("b",)
    assert [names.name(one) for one in "abcd"] == ["a", OTHER, "c", OTHER]


def test_only_what_came_since_the_last_rebalance_counts() -> None:
    names = TopNames(1)
    ask(names, a=1000, b=5)
    assert names.rebalance() == ()
    ask(names, b=1)
    assert names.rebalance() == ("a",)
    ask(names, a=1)
    assert names.rebalance() == ("b",)


def test_several_change_places_at_once_each_with_the_rarest_that_is_left() -> None:
    names = TopNames(3)
    ask(names, a=1, b=50, c=4, x=9, y=100, z=60)
    assert names.rebalance() == ("a", "c")
    assert [names.name(one) for one in "byzacx"] == ["b", "y", "z", OTHER, OTHER, OTHER]


def test_a_crowd_of_names_that_each_come_once_takes_no_slot_of_one_that_comes_at_times() -> None:
    names = TopNames(2)
    ask(names, a=3, b=3)
    for number in range(10_000):
        names.name(f"made-up-{number}")
    assert names.rebalance() == ()
    assert names.dropped == 10_000


def test_one_that_comes_often_is_found_in_a_crowd_of_others() -> None:
    names = TopNames(2)
    ask(names, a=3, b=300)
    for number in range(1_000):
        names.name(f"made-up-{number}")
        names.name("often")
    assert names.rebalance() == ("a",)
    assert names.name("often") == "often"


@given(st.lists(st.integers(0, 40), max_size=400), st.integers(1, 12))
def test_no_name_certainly_came_more_often_than_it_did_and_none_of_the_most_frequent_is_missed(
    seen: list[int], capacity: int
) -> None:
    candidates = Candidates(capacity)
    for number in seen:
        candidates.see(str(number))
    true = Counter(map(str, seen))
    most = candidates.most()
    assert len(most) == min(capacity, len(true))
    assert all(certain <= true[name] <= candidates._counts[name] for name, certain in most)
    assert sum(candidates._counts.values()) == len(seen)
    assert {name for name, count in true.items() if count > len(seen) / capacity} <= {name for name, _ in most}


@given(st.lists(st.tuples(st.text("ab\x00é", max_size=3), st.booleans()), max_size=200), st.integers(1, 3))
def test_there_are_never_more_names_than_slots(asked: list[tuple[str, bool]], capacity: int) -> None:
    names = TopNames(capacity)
    known: set[str | None] = set()
    for value, rebalance in asked:
        known.add(names.name(value))
        if rebalance:
            known -= set(names.rebalance())
        assert len(known - {None, OTHER}) <= capacity
