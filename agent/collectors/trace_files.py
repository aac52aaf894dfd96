# SPDX-License-Identifier: Apache-2.0
"""Follows trace files in a thread of its own: what a file system that hangs costs is what is read from it."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from agent.catalogue import trace_files as catalogue
from agent.clock import NS, Clock
from agent.errors import Unavailable
from agent.metric import Sample
from agent.source_entities import TraceFileLoss, TraceFiles, TraceFileState
from agent.system.tail import Tails

LOG = logging.getLogger("joulespan.collector")

INTERVAL = 1.0
"""Seconds between two readings; Dynamo writes each second."""
_PATIENCE = 10 * NS
_REASONS = {"skipped": "behind"}


class Feed(NamedTuple):
    """Files, and who takes their lines: `take` gets lines and the time (ns) and returns how many it could not read."""

    tails: Tails
    take: Callable[[Sequence[bytes], int], int]


class Follower:
    """Reads feeds, one after the other. Starts and stops like whatever runs in a thread."""

    def __init__(self, collector: str, feeds: Sequence[Feed], clock: Clock) -> None:
        """Follow the files of these feeds for this collector."""
        self._collector = collector
        self._feeds = tuple(feeds)
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{collector} files", daemon=True)
        self._lines = 0
        self._unreadable = 0
        # Replaced as a whole at the end of a reading: it is asked for in another thread.
        self._told: tuple[Sample, ...] = ()
        self._polled: int | None = None
        self._state: tuple[bool, int] | None = None
        self.failure: str | None = None
        """Why the last reading failed."""

    def start(self) -> None:
        """Begin."""
        self._polled = self._clock.monotonic_ns()
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """End; a reading that hangs is left to itself."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(grace_seconds)

    def poll(self) -> None:
        """Read what was appended. Nothing that fails ends the following."""
        try:
            for feed in self._feeds:
                for read in feed.tails.read():
                    self._lines += len(read.lines)
                    self._unreadable += feed.take(read.lines, self._clock.monotonic_ns())
        except Exception as error:  # noqa: BLE001 - the next reading may succeed, and the collector fails meanwhile
            self.failure = f"{type(error).__name__}: {error}"
        else:
            self.failure = None
            self._told = tuple(self._tell())
            self._log()
        self._polled = self._clock.monotonic_ns()

    def samples(self) -> Iterator[Sample]:
        """Say which files are followed, and what was not read of them. Raises Unavailable where reading fails."""
        if self.failure is not None:
            raise Unavailable(self.failure)
        if self._polled is not None and self._clock.monotonic_ns() - self._polled > _PATIENCE:
            raise Unavailable("reading the files takes longer than 10 s")
        yield from self._told

    def _log(self) -> None:
        """Log that there are files now, or none, or some that may not be read."""
        tails = [feed.tails for feed in self._feeds]
        state = (any(one.followed for one in tails), sum(one.unreadable for one in tails))
        if state != self._state:
            self._state = state
            LOG.info(
                "%s: %s; %d cannot be read", self._collector, "follows files" if state[0] else "no files yet", state[1]
            )

    def _tell(self) -> Iterator[Sample]:
        name = self._collector
        tails = [feed.tails for feed in self._feeds]
        yield catalogue.FILE_LINES(TraceFiles(name), self._lines)
        for state, number in (
            ("followed", sum(one.followed for one in tails)),
            ("unreadable", sum(one.unreadable for one in tails)),
            ("left_out", sum(one.left_out for one in tails)),
        ):
            yield catalogue.FILES(TraceFileState(name, state), number)
        lost = Counter({"unreadable": self._unreadable})
        for one in tails:
            lost.update(one.tally())
        for reason, number in sorted(lost.items()):
            yield catalogue.FILE_LOST(TraceFileLoss(name, _REASONS.get(reason, reason)), number)

    def _run(self) -> None:
        while True:
            self.poll()
            if self._stopping.wait(INTERVAL):
                break
        for feed in self._feeds:
            feed.tails.close()
