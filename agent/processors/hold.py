# SPDX-License-Identifier: Apache-2.0
"""Trace requests that wait until what their spans are joined with is there."""

import heapq
from itertools import count
from typing import NamedTuple

import msgspec

from agent.entities import Gpu, MigInstance
from agent.otlp.envelope import Envelope
from agent.owner_entities import NOBODY, Owner
from agent.request_entities import RequestClass
from agent.requests import Request

_BESIDE = 1024
"""Bytes that a request's objects take in memory beside its encoded span."""


class Place(msgspec.Struct, gc=False):
    """A request, and where its span's bytes are: spans[at].

    The thread of the pipeline writes into it, once they are known, the GPUs that served it, the number under which the
    ledger divides it, and whose it is.
    """

    request: Request
    spans: list[bytes]
    at: int
    gpus: tuple[Gpu | MigInstance, ...] = ()
    number: int | None = None
    owner: Owner = NOBODY


class Divided(msgspec.Struct, frozen=True, gc=False):
    """A request whose GPUs are known, to be divided."""

    request: Request
    engine: str
    gpus: tuple[Gpu | MigInstance, ...]
    kind: RequestClass


class Held(NamedTuple):
    """A trace request with the requests found in it, to be dealt with at `due` (ns, monotonic)."""

    receiver: str
    envelope: Envelope
    places: list[Place]
    size: int
    due: int

    @property
    def weight(self) -> int:
        """Bytes it takes in memory, about."""
        return self.size + _BESIDE * len(self.places)


class Hold:
    """Those that wait, by when they are due. Bounded by who fills it, who looks at the weight first."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.weight = 0
        """Bytes that those who wait take in memory, about."""
        self._waiting: list[tuple[int, int, Held]] = []
        self._order = count()

    def put(self, held: Held) -> None:
        """Let it wait."""
        heapq.heappush(self._waiting, (held.due, next(self._order), held))
        self.weight += held.weight

    def next_due(self) -> int | None:
        """When the first is due."""
        return self._waiting[0][0] if self._waiting else None

    def due(self, now: int, most: int) -> list[Held]:
        """Take out those that are due, the first first, of about `most` requests."""
        found: list[Held] = []
        requests = 0
        while self._waiting and self._waiting[0][0] <= now and requests < most:
            held = heapq.heappop(self._waiting)[2]
            self.weight -= held.weight
            requests += len(held.places) + 1
            found.append(held)
        return found
