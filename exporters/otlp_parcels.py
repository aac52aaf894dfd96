# SPDX-License-Identifier: Apache-2.0
"""Encoded telemetry that waits to be forwarded: in memory, bounded in bytes, and on disk while a back end is away.

In the order in which it came: what is on disk is older than what is in memory. Only what is on its way is read again.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

from agent.otlp.parcel import Parcel
from exporters.spool import Spool

FULL, REFUSED, STOPPED = "full", "refused", "stopped"
"""Why something is dropped."""

_BESIDE = 512
"""Bytes that a parcel takes in memory beside its body: objects, a place in the queue, and the counts per receiver."""
_FILE = 2 << 20
"""Bytes of what is written in one file, unless one parcel has more."""
_CROWDED = 0.25
"""The share of the memory from which on it is not waited for more."""
_ADOPT = 10.0
"""Seconds between two looks for what other agents left."""


class Dropped(NamedTuple):
    """Parcels that go, and why."""

    parcels: Sequence[Parcel]
    reason: str


class Left(NamedTuple):
    """What an end leaves: what is lost, as it was not sent, and what fell from a full disk; bytes that are on disk."""

    stopped: Dropped
    full: Dropped
    kept: int


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

    def __init__(self, capacity: int, spool: Spool | None = None) -> None:
        """Hold at most `capacity` bytes in memory, and what spill() moves there in the spool."""
        self.capacity = capacity
        self.dropped = 0
        self._spool = spool
        self._changed = threading.Condition()
        self._waiting: deque[_Place] = deque()
        self._read: deque[_Place] = deque()
        """What is left of the file that was taken from the spool: older than all that waits, no part of the size."""
        self._flight: list[_Place] = []
        self._reading = False
        """Whether what is in flight is of that file."""
        self._size = self._flying = 0
        self._looked = time.monotonic()
        self._groups = count(1)
        self._closed = self._abandoned = False

    @property
    def fill(self) -> float:
        """The share of the capacity that is in use, in memory or on disk, whichever is more."""
        memory = self._size / self.capacity
        return max(memory, self._spool.usage / self._spool.capacity) if self._spool else memory

    @property
    def crowded(self) -> bool:
        """Whether so much waits in memory that it should go to the disk soon."""
        return self._size > self.capacity * _CROWDED

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
        self._load()
        while not self._changed_within(_ADOPT if self._spool else None):
            self._load()
        with self._changed:
            if self._abandoned:
                return []
            self._reading = bool(self._read)
            self._flight = list(_joined(self._read or self._waiting, most))
            self._flying = 0 if self._reading else sum(place.size for place in self._flight)
            return [place.parcel for place in self._flight]

    def done(self) -> bool:
        """Forget those in flight; False when abandon() has returned them already."""
        with self._changed:
            self._size -= self._flying
            self._flight, self._flying = [], 0
            told, read = not self._abandoned, self._reading and not self._read
        if read and self._spool:
            self._spool.done()
        return told

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

    def spill(self) -> Dropped:
        """Move what waits in memory to the disk, and return what fell from there. For who calls next()."""
        gone: list[Parcel] = []
        while self._spool and not self._abandoned:
            with self._changed:
                places = list(_joined(self._waiting, _FILE))
                self._size -= sum(place.size for place in places)
            if not places:
                break
            kept, fell = self._spool.write([place.parcel for place in places])
            gone += fell
            if not kept:
                with self._changed:
                    self._waiting.extendleft(reversed(places))
                    self._size += sum(place.size for place in places)
                    gone += self._fallen()
                break
        self.dropped += len(gone)
        return Dropped(gone, FULL)

    def close(self) -> None:
        """Take no more, and let next() end once all is taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def abandon(self) -> Left:
        """Give up what waits and what is in flight: keep it on disk, or return it. Only after close()."""
        with self._changed:
            left = deque((*(() if self._reading else self._flight), *self._waiting))
            self._abandoned = True
            self._flight, self._flying, self._size = [], 0, 0
            self._waiting.clear()
        gone: list[Parcel] = []
        while self._spool and (places := list(_joined(left, _FILE))):
            written, fell = self._spool.write([place.parcel for place in places])
            gone += fell
            if not written:
                left.extendleft(reversed(places))
                break
        kept = self._spool.usage if self._spool else 0
        if self._spool:
            self._spool.close()
        self.dropped += len(gone)
        return Left(Dropped([place.parcel for place in left], STOPPED), Dropped(gone, FULL), kept)

    def _changed_within(self, seconds: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._read or self._waiting or self._closed, seconds) is not False

    def _load(self) -> None:
        """Read the oldest file, where all of the one before it was sent; now and then, look for what others left."""
        if self._spool is None or self._abandoned:
            return
        if (now := time.monotonic()) - self._looked >= _ADOPT:
            self._looked = now
            self._spool.adopt()
        if not self._read and self._spool.waiting:
            found = self._spool.take()
            with self._changed:
                self._read.extend(_Place(parcel) for parcel in found)

    def _add(self, place: _Place) -> Iterator[Parcel]:
        if place.size + self._flying > self.capacity:
            yield place.parcel  # It would find no room even if all that wait made way.
            return
        self._waiting.append(place)
        self._size += place.size
        yield from self._fallen()

    def _fallen(self) -> Iterator[Parcel]:
        while self._size > self.capacity and self._waiting:
            oldest = self._waiting.popleft()
            self._size -= oldest.size
            yield oldest.parcel

    def _return(self, places: Sequence[_Place]) -> None:
        into = self._read if self._reading else self._waiting
        self._flight, self._flying = [], 0
        if not self._abandoned:
            into.extendleft(reversed(places))


def _joined(waiting: deque[_Place], most: int) -> Iterator[_Place]:
    """Take the oldest that may be joined: up to `most` bytes of body, at least one."""
    size = 0
    group = waiting[0].group if waiting else 0
    while waiting and waiting[0].group == group:
        size += len(waiting[0].parcel.body)
        if size > most and size > len(waiting[0].parcel.body):
            return
        yield waiting.popleft()
