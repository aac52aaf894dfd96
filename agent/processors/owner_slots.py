# SPDX-License-Identifier: Apache-2.0
"""Bounded owners: those that are known have a number each, which is quicker to look up by than twenty attributes."""

from collections.abc import Collection

from agent.owner_entities import NOBODY, Owner

NONE = 0
"""The number of nobody, and of those that found no room."""


class OwnerSlots:
    """Gives numbers. A number that was let go of is not given again. Use it from one thread at a time."""

    def __init__(self, capacity: int) -> None:
        """Have room for `capacity` owners."""
        self._capacity = capacity
        self._numbers: dict[Owner, int] = {NOBODY: NONE}
        self._owners: dict[int, Owner] = {NONE: NOBODY}
        self._next = NONE + 1
        self._last = NOBODY
        self._number = NONE
        self.dropped = 0
        """How often an owner found no room."""

    def number(self, owner: Owner) -> int:
        """Give the number of an owner."""
        if owner is self._last:  # Requests of one engine come together, and hold the same object.
            return self._number
        found = self._numbers.get(owner)
        if found is None:
            if len(self._numbers) > self._capacity:  # Nobody is one of them.
                self.dropped += 1
                return NONE
            found, self._next = self._next, self._next + 1
            self._numbers[owner], self._owners[found] = found, owner
        self._last, self._number = owner, found
        return found

    def owner(self, number: int) -> Owner:
        """Give the owner of a number that has not been let go of."""
        return self._owners[number]

    def keep(self, busy: Collection[int]) -> Collection[int]:
        """Where there is no room left, let go of all but those; give the numbers that are left."""
        if len(self._numbers) > self._capacity:
            self._owners = {number: one for number, one in self._owners.items() if number in busy or number == NONE}
            self._numbers = {one: number for number, one in self._owners.items()}
            self._last, self._number = NOBODY, NONE
        return self._owners
