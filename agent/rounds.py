# SPDX-License-Identifier: Apache-2.0
"""Which collectors are due when, on a grid of absolute times that does not drift."""

from typing import Generic, NamedTuple, TypeVar

from agent.clock import NS

T = TypeVar("T")


class Due(NamedTuple, Generic[T]):
    """Something to run now, and how many of its earlier times went by."""

    what: T
    missed: int


class Rounds(Generic[T]):
    """Runs things periodically; what is late by whole periods is left out and counted."""

    def __init__(self, periods: dict[T, float], now: int) -> None:
        """Run each every `periods` seconds, all of them first at `now` (ns)."""
        self._periods = {what: max(int(seconds * NS), 1) for what, seconds in periods.items()}
        self._next = dict.fromkeys(self._periods, now)

    def next_time(self) -> int:
        """When something is due next, ns."""
        return min(self._next.values())

    def due(self, now: int) -> list[Due[T]]:
        """List what is due, in the order given, and set its next time after `now`."""
        found: list[Due[T]] = []
        for what, when in self._next.items():
            if when <= now:
                missed = (now - when) // self._periods[what]
                self._next[what] = when + (missed + 1) * self._periods[what]
                found.append(Due(what, missed))
        return found

    def hasten(self, now: int) -> None:
        """Make everything due now."""
        self._next = dict.fromkeys(self._periods, now)
