# SPDX-License-Identifier: Apache-2.0
"""Records of requests, until the spans that they are joined with come."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from agent.catalogue.trace_files import REQUEST_RECORDS
from agent.clock import NS
from agent.dialects.request_trace import DIALECT, Record, join
from agent.metric import Sample
from agent.requests import Request
from agent.source_entities import RequestRecord

_KEEP = 60 * NS
"""Front ends and workers send their spans within seconds of the end, and no request is held for longer than 15 s."""


class Records:
    """The records of the last minute, by request id. Bounded; the oldest go first.

    A record is joined with every span that has its id: the front end's, and those of workers. `guard` is entered by
    every method, so that threads can share it.
    """

    def __init__(self, capacity: int = 65_536, guard: AbstractContextManager[object] | None = None) -> None:
        """Keep at most `capacity` records."""
        self._capacity = capacity
        self._guard = guard or nullcontext()
        self._records: OrderedDict[str, tuple[int, Record]] = OrderedDict()
        self._found: set[str] = set()
        self._counts = dict.fromkeys(("joined", "unmatched", "dropped"), 0)

    @property
    def fill(self) -> float:
        """Share of the capacity in use."""
        return len(self._records) / self._capacity

    def put(self, record: Record, now: int) -> None:
        """Keep a record, read now (ns, monotonic). A second one of the same id takes the place of the first."""
        with self._guard:
            self._expire(now)
            if record.request_id in self._records:
                self._end(record.request_id, "unmatched")
            self._records[record.request_id] = (now, record)
            if len(self._records) > self._capacity:
                self._end(next(iter(self._records)), "dropped")

    def join(self, request: Request) -> Request:
        """Give the request with what its record adds, where there is one."""
        if request.request_id is None or request.dialect != DIALECT:
            return request
        with self._guard:
            found = self._records.get(request.request_id)
            if found is None:
                return request
            if request.request_id not in self._found:
                self._found.add(request.request_id)
                self._counts["joined"] += 1
        return join(request, found[1])

    def samples(self, now: int) -> Iterator[Sample]:
        """Say what became of the records."""
        with self._guard:
            self._expire(now)
            counts = dict(self._counts)
        for outcome, number in counts.items():
            yield REQUEST_RECORDS(RequestRecord(outcome), number)

    def _expire(self, now: int) -> None:
        while self._records:
            request_id, (since, _) = next(iter(self._records.items()))
            if now - since <= _KEEP:
                return
            self._end(request_id, "unmatched")

    def _end(self, request_id: str, outcome: str) -> None:
        """Let go of a record; one that found no span is counted."""
        del self._records[request_id]
        if request_id in self._found:
            self._found.remove(request_id)
        else:
            self._counts[outcome] += 1
