# SPDX-License-Identifier: Apache-2.0
"""The forward passes of engines, from the trace files that Dynamo's workers write."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from agent.clock import Clock
from agent.collectors.trace_files import Feed, Follower
from agent.dialects.forward_pass import decode
from agent.dialects.forward_pass_counts import Passes
from agent.metric import Sample
from agent.snapshot import Source
from agent.system.tail import Tails
from agent.timeline import Timeline

NAME = "forward_pass"


class ForwardPassFiles:
    """Counts the passes of engines, and puts their sums into the timeline at the times at which they were.

    `follower` reads the files in its own thread; read() is called in the thread that appends to the timeline.
    """

    def __init__(
        self,
        engines: Mapping[str, Tails],
        timeline: Timeline,
        clock: Clock,
        step: int,
        *,
        elsewhere: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Follow the files of each engine, with rows each `step` ns.

        `elsewhere` tells of an engine whether another collector says how many its iterations are. From then on they are
        left to it for good: two counts that begin at different times make one series that leaps.
        """
        self._timeline = timeline
        self._clock = clock
        self._elsewhere = elsewhere
        self._left: set[str] = set()
        self._guard = threading.Lock()
        self._passes = {name: Passes(name, step) for name in engines}
        self._series = {name: (one.series, one.series[1:]) for name, one in self._passes.items()}
        feeds = [Feed(tails, partial(self._take, self._passes[name])) for name, tails in engines.items()]
        self.follower = Follower(NAME, feeds, clock)

    def read(self) -> Iterator[Sample]:
        """Say what the workers did, and how the files are followed."""
        now = self._clock.monotonic_ns()
        found: list[Sample] = []
        with self._guard:
            for name, passes in self._passes.items():
                if self._elsewhere(name):
                    self._left.add(name)
                left = name in self._left
                self._write(name, passes, now, first=int(left))
                found.extend(passes.samples(now, iterations=not left))
        yield from found
        yield from self.follower.samples()

    def _write(self, name: str, passes: Passes, now: int, first: int) -> None:
        """Put rows into the timeline, from the first series on: iterations, which another collector may tell."""
        series = self._series[name][first]
        for row in passes.rows(now):
            values = row.values[first:] if row.values else (None,) * len(series)
            self._timeline.append(Source(NAME, name), series, row.time, values)

    def _take(self, passes: Passes, lines: Sequence[bytes], now: int) -> int:
        offset = self._clock.unix_ns(now) - now
        unreadable = 0
        with self._guard:
            for line in lines:
                one = decode(line)
                if one is None:
                    unreadable += 1
                else:
                    passes.add(one, one.time - offset, now)
        return unreadable
