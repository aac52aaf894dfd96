# SPDX-License-Identifier: Apache-2.0
"""Encoded telemetry that waits to be forwarded: a queue bounded in bytes, in the order in which it came."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

from agent.otlp.parcel import Parcel

FULL, REFUSED, STOPPED = "full", "refused", "stopped"
"""Why something is dropped."""

_BESIDE = 512
"""Bytes that a parcel takes in memory beside its body: objects, a place in the queue, and the counts per receiver."""


class Dropped(NamedTuple):
    """Parcels that go, and why."""

    parcels: Sequence[Parcel]
    reason: str


class _Place(NamedTuple):
    """A parcel in the queue. Those of a `group` other than 0 may be joined with each other, and with nothing else."""

    parcel: Parcel
    group: int = 0

    @property
    def size(self) -> int:
        return len(self.parcel.body) + _BESIDE


class ParcelQueue:
    """Parcels that wait, oldest first, and those in flight, which count and are never the ones that go.

    put() may be called from any thread, next() and what follows it from one. Nothing blocks but next().
    """

    def __init__(self, capacity: int) -> None:
        """Hold at most `capacity` bytes."""
        self.capacity = capacity
        self.dropped = 0
        self._changed = threading.Condition()
        self._waiting: deque[_Place] = deque()
        self._flight: list[_Place] = []
        self._size = self._flying = 0
        self._groups = count(1)
        self._closed = self._abandoned = False

    @property
    def fill(self) -> float:
        """The share of the capacity that is in use."""
        return self._size / self.capacity

    def put(self, parcels: Sequence[Parcel]) -> Dropped:
        """Add the newest, and return what had to go for them; after close() all of them."""
        with self._changed:
            if self._closed:
                return Dropped(parcels, STOPPED)
            gone = [old for parcel in parcels for old in self._add(_Place(parcel))]
            self.dropped += len(gone)
            self._changed.notify()
        return Dropped(gone, FULL)

    def next(self, most: int) -> list[Parcel]:
        """Wait for the oldest and take them in flight: up to `most` bytes of body, at least one. None left: closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._flight = list(self._joined(most))
            self._flying = sum(place.size for place in self._flight)
            return [place.parcel for place in self._flight]

    def done(self) -> bool:
        """Forget those in flight; False when abandon() has returned them already."""
        with self._changed:
            self._size -= self._flying
            self._flight, self._flying = [], 0
            return not self._abandoned

    def put_back(self) -> None:
        """Return those in flight to their places."""
        with self._changed:
            self._return(self._flight)

    def put_back_halves(self) -> None:
        """Return those in flight to their places, where each half is to be taken for itself."""
        with self._changed:
            parcels = [place.parcel for place in self._flight]
            middle = len(parcels) // 2
            halves = (parcels[:middle], next(self._groups)), (parcels[middle:], next(self._groups))
            self._return([_Place(parcel, group) for half, group in halves for parcel in half])

    def close(self) -> None:
        """Take no more, and let next() end once all is taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def abandon(self) -> Dropped:
        """Give up what waits and what is in flight, and return it. Only after close()."""
        with self._changed:
            left = [place.parcel for place in (*self._flight, *self._waiting)]
            self._abandoned = True
            self._flight, self._flying, self._size = [], 0, 0
            self._waiting.clear()
        return Dropped(left, STOPPED)

    def _add(self, place: _Place) -> Iterator[Parcel]:
        if place.size + self._flying > self.capacity:
            yield place.parcel  # It would find no room even if all that wait made way.
            return
        self._waiting.append(place)
        self._size += place.size
        while self._size > self.capacity:
            oldest = self._waiting.popleft()
            self._size -= oldest.size
            yield oldest.parcel

    def _joined(self, most: int) -> Iterator[_Place]:
        size = 0
        group = self._waiting[0].group if self._waiting else 0
        while self._waiting and self._waiting[0].group == group:
            size += len(self._waiting[0].parcel.body)
            if size > most and size > len(self._waiting[0].parcel.body):
                return
            yield self._waiting.popleft()

    def _return(self, places: Sequence[_Place]) -> None:
        self._flight, self._flying = [], 0
        if not self._abandoned:
            self._waiting.extendleft(reversed(places))
