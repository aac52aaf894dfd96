# SPDX-License-Identifier: Apache-2.0
"""How the runs of a collector went: the frame's metrics, the same for every collector wherever it runs."""

from collections import Counter
from collections.abc import Iterator, Mapping

from agent.catalogue import own
from agent.clock import NS, Clock
from agent.entities import Collector, CollectorFailure
from agent.metric import Sample

_HARMLESS = {"NoPermission"}
"""A missing right is a matter of set-up, which `joulespan doctor` explains; it is counted and fails no run."""


class Runs:
    """The runs of one collector."""

    def __init__(self, collector: str) -> None:
        """Start with none."""
        self._collector = collector
        self._duration = 0.0
        self._succeeded = False
        self._last_success: int | None = None
        self._failures: Counter[str] = Counter()
        self._missed = 0

    def note(self, time: int, duration: float, failures: Mapping[str, int], missed: int) -> None:
        """Take in a run: when it began (ns), seconds it took, its failures by kind, runs left out before it."""
        self._duration = duration
        self._succeeded = not failures.keys() - _HARMLESS
        self._failures.update(failures)
        self._missed += missed
        if self._succeeded:
            self._last_success = time

    def samples(self, clock: Clock) -> Iterator[Sample]:
        """Say how they went."""
        collector = Collector(self._collector)
        yield own.COLLECTOR_DURATION(collector, self._duration)
        yield own.COLLECTOR_SUCCESS(collector, self._succeeded)
        yield own.COLLECTOR_MISSED(collector, self._missed)
        if self._last_success is not None:
            yield own.COLLECTOR_LAST_SUCCESS(collector, clock.unix_ns(self._last_success) / NS)
        for error, count in self._failures.items():
            yield own.COLLECTOR_FAILURES(CollectorFailure(self._collector, error), count)
