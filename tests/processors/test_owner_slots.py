# SPDX-License-Identifier: Apache-2.0
"""Owners have a number each, as long as there is room."""

from agent.owner_entities import NOBODY, Owner
from agent.processors.owner_slots import NONE, OwnerSlots

A, B, C = Owner(pod="a"), Owner(pod="b"), Owner(pod="c")


def test_equal_owners_have_the_same_number_and_nobody_has_none() -> None:
    slots = OwnerSlots(2)
    assert slots.number(NOBODY) == NONE
    assert slots.number(A) == slots.number(Owner(pod="a")) != slots.number(B)
    assert slots.owner(slots.number(B)) == B


def test_owners_without_room_are_nobody_each_time_they_come() -> None:
    slots = OwnerSlots(1)
    slots.number(A)
    assert [slots.number(B), slots.number(B), slots.number(A)] == [NONE, NONE, 1]
    assert slots.dropped == 2


def test_those_who_are_busy_keep_their_numbers_and_others_make_room() -> None:
    slots = OwnerSlots(2)
    first, second = slots.number(A), slots.number(B)
    assert set(slots.keep({second})) == {NONE, second}
    assert slots.number(B) == second
    assert slots.number(C) not in (NONE, first, second)


def test_nobody_is_let_go_of_while_there_is_room() -> None:
    slots = OwnerSlots(2)
    number = slots.number(A)
    assert set(slots.keep(())) == {NONE, number}
