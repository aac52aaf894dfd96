# SPDX-License-Identifier: Apache-2.0
"""Runs the collectors of the agent process: on time, timed, and each on its own."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from agent.clock import NS, Clock
from agent.errors import NotSupported
from agent.metric import Distribution, Sample
from agent.rounds import Rounds
from agent.runs import Runs
from agent.snapshot import Snapshots, Source

LOG = logging.getLogger("joulespan.collector")


class LoopCollector(NamedTuple):
    """A collector that runs in the agent: its name, seconds between runs, and what to call. It must not block."""

    name: str
    period: float
    read: Callable[[], Iterable[Sample | Distribution]]


class Scheduler:
    """Runs collectors into the snapshot. The only place that catches what they raise."""

    def __init__(self, collectors: Sequence[LoopCollector], snapshots: Snapshots, clock: Clock) -> None:
        """All are due at once."""
        self._snapshots = snapshots
        self._clock = clock
        self._collectors = {collector.name: collector for collector in collectors}
        self._runs = {name: Runs(name) for name in self._collectors}
        self._failing: dict[str, str] = {}
        self._rounds = Rounds({c.name: c.period for c in collectors}, clock.monotonic_ns())

    def run_due(self) -> None:
        """Run what is due."""
        for due in self._rounds.due(self._clock.monotonic_ns()):
            self._run(self._collectors[due.what], due.missed)

    def seconds_to_next(self) -> float:
        """How long nothing is due."""
        return max(0.0, (self._rounds.next_time() - self._clock.monotonic_ns()) / NS)

    def samples(self) -> Iterator[Sample]:
        """Say how the runs went."""
        for runs in self._runs.values():
            yield from runs.samples(self._clock)

    def _run(self, collector: LoopCollector, missed: int) -> None:
        started = self._clock.monotonic_ns()
        failures: dict[str, int] = {}
        source = Source(collector.name)
        try:
            self._snapshots.put_samples(source, collector.read(), started)
        except NotSupported:
            self._snapshots.drop(lambda known: known == source)
        except Exception as error:  # noqa: BLE001 - one collector's failure costs that collector
            failures[type(error).__name__] = 1
            self._snapshots.drop(lambda known: known == source)
            if self._failing.get(collector.name) != str(error):
                LOG.warning("%s: %s: %s", collector.name, type(error).__name__, error)
                self._failing[collector.name] = str(error)
        else:
            if self._failing.pop(collector.name, None) is not None:
                LOG.info("%s: works again", collector.name)
        self._runs[collector.name].note(started, (self._clock.monotonic_ns() - started) / NS, failures, missed)
