# SPDX-License-Identifier: Apache-2.0
"""Bounded label values: the names that are asked for most keep their own, the rest are `other`."""

import re

OTHER = "other"
_LONGEST = 128
_TIMES_MORE = 2
"""How much more often a candidate must come than who has the slot, so that two of a kind do not take turns."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class TopNames:
    """Gives slots to the first names that come, and at each rebalance to names that came more often since the last.

    How often names without a slot come is counted in a table of four times as many, approximately (Candidates).
    Use it from one thread at a time. `dropped` says how often `other` was given for a name.
    """

    def __init__(self, capacity: int) -> None:
        """Have `capacity` slots, all free."""
        self._capacity = capacity
        self._slots: dict[str, int] = {}
        self._candidates = Candidates(4 * capacity)
        self.dropped = 0

    def name(self, value: str | None) -> str | None:
        """Give the label for a value: the value, cut to 128 characters and without control characters, or `other`.

        None and the empty string are None: for Prometheus an empty label is none.
        """
        slots = self._slots
        if value in slots:
            slots[value] += 1
            return value
        return self._without_slot(value) if value else None

    def rebalance(self) -> tuple[str, ...]:
        """Begin to count anew, and give slots to the names that were certainly seen more than twice as often.

        Returns the names that lost theirs: whoever keeps series under them drops these. To be called every 10 min.
        """
        released = []
        rarest = sorted(self._slots, key=self._slots.__getitem__)
        for holder, (candidate, seen) in zip(rarest, self._candidates.most(), strict=False):
            if seen <= _TIMES_MORE * self._slots[holder]:
                break
            del self._slots[holder]
            self._slots[candidate] = 0
            released.append(holder)
        self._slots = dict.fromkeys(self._slots, 0)
        self._candidates = Candidates(4 * self._capacity)
        return tuple(released)

    def _without_slot(self, value: str) -> str:
        name = clean(value)
        if name in self._slots or (name != OTHER and len(self._slots) < self._capacity):
            self._slots[name] = self._slots.get(name, 0) + 1
            return name
        if name != OTHER:
            self.dropped += 1
            self._candidates.see(name)
        return OTHER


def clean(value: str) -> str:
    """Cut a name to 128 characters, and replace what would break a line or cannot be encoded."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value[:_LONGEST])


class Candidates:
    """Counts names in a table of fixed size: the space-saving algorithm.

    A name that finds the table full takes the place of one of those that came least, and its count, plus one. So a
    count may be too high by what was taken over, which is kept beside it, and none of the most frequent is missed.
    Every step takes the same time, however large the table. Source: Metwally, Agrawal, El Abbadi: Efficient
    Computation of Frequent and Top-k Elements in Data Streams (2005).
    """

    def __init__(self, capacity: int) -> None:
        """Have room for `capacity` names."""
        self._capacity = capacity
        self._counts: dict[str, int] = {}
        self._taken_over: dict[str, int] = {}
        self._by_count: dict[int, dict[str, None]] = {}
        self._least = 0

    def see(self, name: str) -> None:
        """Count a name."""
        count = self._counts.get(name)
        if count is not None:
            self._leave(name, count)
        elif len(self._counts) < self._capacity:
            count = self._taken_over[name] = 0
        else:
            count = self._taken_over[name] = self._least
            self._evict()
        self._counts[name] = count + 1
        self._by_count.setdefault(count + 1, {})[name] = None
        if count == 0 or self._least not in self._by_count:
            self._least = count + 1

    def most(self) -> list[tuple[str, int]]:
        """List the names and how often each certainly came, the most frequent first."""
        certain = [(name, count - self._taken_over[name]) for name, count in self._counts.items()]
        return sorted(certain, key=lambda one: one[1], reverse=True)

    def _evict(self) -> None:
        name, _ = self._by_count[self._least].popitem()
        if not self._by_count[self._least]:
            del self._by_count[self._least]
        del self._counts[name], self._taken_over[name]

    def _leave(self, name: str, count: int) -> None:
        same = self._by_count[count]
        del same[name]
        if not same:
            del self._by_count[count]
