# SPDX-License-Identifier: Apache-2.0
"""The requests that Dynamo's front ends wrote down in trace files, for their spans to be joined with."""

import threading
from collections.abc import Iterator, Sequence

from agent.catalogue import own
from agent.clock import Clock
from agent.collectors.trace_files import Feed, Follower
from agent.dialects.request_trace import decode
from agent.dialects.request_trace_store import Records
from agent.entities import Queue
from agent.metric import Sample
from agent.system.tail import Tails

NAME = "request_trace"


class RequestTraceFiles:
    """Keeps the records of requests that ended. `follower` reads the files in its own thread."""

    def __init__(self, tails: Tails, clock: Clock) -> None:
        """Follow these files."""
        self._clock = clock
        self.records = Records(guard=threading.Lock())
        self.follower = Follower(NAME, [Feed(tails, self._take)], clock)

    def read(self) -> Iterator[Sample]:
        """Say what became of the records, and how the files are followed."""
        yield from self.records.samples(self._clock.monotonic_ns())
        yield own.QUEUE_FILL(Queue("request_records"), self.records.fill)
        yield from self.follower.samples()

    def _take(self, lines: Sequence[bytes], now: int) -> int:
        unreadable = 0
        for line in lines:
            try:
                record = decode(line)
            except ValueError:
                unreadable += 1
            else:
                if record is not None:
                    self.records.put(record, now)
        return unreadable
