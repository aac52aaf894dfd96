# SPDX-License-Identifier: Apache-2.0
"""Counters of members that come and go, added up so that the sum does not fall when one goes."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)


class Tally(Generic[M]):
    """Adds up what the members of one group count, those that are gone included."""

    def __init__(self) -> None:
        """There is nobody yet."""
        self._gone: dict[str, float] = {}
        self._there: dict[M, Mapping[str, float]] = {}

    def take(self, members: Mapping[M, Mapping[str, float]]) -> dict[str, float]:
        """Take in what the members that are there count, and give the sums by name.

        What a member does not tell now counts as it last did. A name that none of them tells has no sum.
        """
        for member, before in self._there.items():
            now = members.get(member)
            for name, value in before.items():
                # One that counts less than before has begun again, under the same name.
                if now is None or now.get(name, value) < value:
                    self._gone[name] = self._gone.get(name, 0.0) + value
        self._there = {member: {**self._there.get(member, {}), **counts} for member, counts in members.items()}
        told = {name for counts in members.values() for name in counts}
        return {
            name: self._gone.get(name, 0.0) + sum(counts.get(name, 0.0) for counts in self._there.values())
            for name in sorted(told)
        }
