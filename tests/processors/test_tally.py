# SPDX-License-Identifier: Apache-2.0
"""Sums of counters never fall, whoever comes, goes, is silent for a while or begins again."""

from hypothesis import given
from hypothesis import strategies as st

from agent.processors.tally import Tally

STEPS = st.lists(
    st.dictionaries(st.integers(0, 3), st.dictionaries(st.sampled_from("ab"), st.integers(0, 50))), max_size=12
)


@given(STEPS)
def test_a_sum_never_falls_and_is_there_while_somebody_tells_it(steps: list[dict[int, dict[str, int]]]) -> None:
    tally: Tally[int] = Tally()
    before: dict[str, float] = {}
    for members in steps:
        sums = tally.take(members)
        assert sums.keys() == {name for counts in members.values() for name in counts}
        assert all(value >= before.get(name, 0) for name, value in sums.items())
        before |= sums


@given(st.lists(st.dictionaries(st.integers(0, 3), st.integers(0, 9)), max_size=12))
def test_of_members_that_only_grow_the_sum_is_all_that_was_ever_counted(steps: list[dict[int, int]]) -> None:
    """A member counts on while it is silent; one that left is another when it comes back."""
    tally: Tally[tuple[int, int]] = Tally()
    total: dict[int, int] = {}
    lives: dict[int, int] = {}
    ended = 0
    for number, grown in enumerate(steps):
        for member in [one for one in total if one not in grown]:
            ended += total.pop(member)
        for member, count in grown.items():
            lives.setdefault(member, number) if member in total else lives.update({member: number})
            total[member] = total.get(member, 0) + count
        sums = tally.take({(member, lives[member]): {"x": count} for member, count in total.items()})
        assert sums.get("x", ended + sum(total.values())) == ended + sum(total.values())


def test_a_member_that_tells_nothing_for_a_while_is_not_counted_twice() -> None:
    tally: Tally[str] = Tally()
    assert tally.take({"one": {"x": 5}, "two": {"x": 1}}) == {"x": 6}
    assert tally.take({"one": {}, "two": {"x": 2}}) == {"x": 7}
    assert tally.take({"one": {"x": 6}, "two": {"x": 2}}) == {"x": 8}
    assert tally.take({"one": {}, "two": {}}) == {}
