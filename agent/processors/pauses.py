# SPDX-License-Identifier: Apache-2.0
"""When to ask again somebody who answered no: after a pause that doubles each time."""

from collections.abc import Collection, Hashable
from typing import Generic, NamedTuple, TypeVar

from agent.clock import NS

K = TypeVar("K", bound=Hashable)


class _Pause(NamedTuple):
    until: int
    length: float


class Pauses(Generic[K]):
    """The pauses of those who answered no. Bounded by what keep() is told."""

    def __init__(self, first: float, longest: float) -> None:
        """Pause `first` seconds the first time, and `longest` at most."""
        self._first = first
        self._longest = longest
        self._pauses: dict[K, _Pause] = {}

    def due(self, who: K, now_ns: int) -> bool:
        """Say whether somebody may be asked."""
        pause = self._pauses.get(who)
        return pause is None or pause.until <= now_ns

    def no(self, who: K, now_ns: int) -> None:
        """Take note of a no."""
        before = self._pauses.get(who)
        length = self._first if before is None else min(before.length * 2, self._longest)
        self._pauses[who] = _Pause(now_ns + int(length * NS), length)

    def keep(self, known: Collection[K]) -> None:
        """Forget all others."""
        self._pauses = {who: pause for who, pause in self._pauses.items() if who in known}
