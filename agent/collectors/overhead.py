# SPDX-License-Identifier: Apache-2.0
"""The energy of the host's CPUs and memory, divided as the ledger divided that of the GPUs at the same time."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from agent.catalogue.cpu_power import CPU_ENERGY, MEMORY_ENERGY
from agent.clock import NS, Clock
from agent.metric import Sample
from agent.processors.overhead import Overhead
from agent.snapshot import Snapshots, Source
from agent.timeline import Timeline

NAME = "overhead"
LEDGER = (Source("agent"), Source("requests"))
"""Who says what the ledger divided: of each GPU, and of each class."""
_AROUND = 5 * NS
"""ns around a moment in which readings of a meter tell what it had counted then."""


class HostOverhead:
    """Divides what the host took up to the moment that the ledger has closed."""

    def __init__(self, snapshots: Snapshots, timeline: Timeline, clock: Clock, lateness: float) -> None:
        """The ledger closes a moment `lateness` seconds after it."""
        self._snapshots = snapshots
        self._timeline = timeline
        self._clock = clock
        self._lateness = int(lateness * NS)
        self._overhead = Overhead()

    def read(self) -> Iterator[Sample]:
        """Divide, and say what was."""
        closed = self._clock.monotonic_ns() - self._lateness
        batches = self._snapshots.current.batches
        divided = [sample for source in LEDGER if source in batches for sample in batches[source].samples()]
        self._overhead.take(self._counted(closed), divided)
        yield from self._overhead.samples()

    def _counted(self, time: int) -> dict[str, float]:
        """Tell what each meter of CPUs and memory had counted at a time, J."""
        found: dict[str, float] = {}
        for metric in (CPU_ENERGY, MEMORY_ENERGY):
            for series in self._timeline.series_of(metric):
                times, values = self._timeline.window(series, time - _AROUND, time + _AROUND)
                joules = between(times, values, time)
                if joules is not None:
                    found[f"{metric.name} {series.entity[0]}"] = joules
        return found


def between(times: Sequence[int], values: Sequence[float], time: int) -> float | None:
    """Interpolate a counter; None where there is no reading before `time` or none after it."""
    place = bisect_left(times, time)
    if place == len(times):
        return None
    if times[place] == time:
        return values[place]
    if place == 0:
        return None
    share = (time - times[place - 1]) / (times[place] - times[place - 1])
    return values[place - 1] + (values[place] - values[place - 1]) * share
