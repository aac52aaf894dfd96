# SPDX-License-Identifier: Apache-2.0
"""Readings of one collector that fail one by one."""

from collections.abc import Callable, Iterable, Iterator

from agent.errors import NotSupported, Unavailable
from agent.metric import Sample

Group = Callable[[], Iterable[Sample]]


def each(groups: Iterable[Group], failed: Callable[[Exception], None]) -> Iterator[Sample]:
    """Give the samples of each group. One that fails is told to `failed` and costs its own; NotSupported is no failure.

    What a group gave before it failed is kept.
    """
    for group in groups:
        try:
            yield from group()
        except NotSupported:
            continue
        except Unavailable as error:
            failed(error)


class LeftOut:
    """Counts series that found no room: each once, as long as it is left out."""

    def __init__(self) -> None:
        """None has been left out."""
        self.total = 0
        self._now: dict[str, int] = {}

    def note(self, what: str, number: int) -> None:
        """Say how many of a kind are left out now."""
        self.total += max(0, number - self._now.get(what, 0))
        self._now[what] = number
