# SPDX-License-Identifier: Apache-2.0
"""Runs the node's collectors, each in a thread: one that is slow or hangs holds up neither others nor the loop.

What a thread read it makes into a batch and hands to the event loop, which alone writes into the snapshot and the
timeline. A run that does not end is told as a failure, `Hung`, and what its collector last said is dropped.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from agent.clock import NS, Clock
from agent.collectors.node import NodeCollector, Read
from agent.entity import attributes
from agent.errors import NotSupported
from agent.metric import Distribution, Sample, Series
from agent.rounds import Rounds
from agent.runs import Runs
from agent.snapshot import Batch, Snapshots, Source
from agent.timeline import Timeline

LOG = logging.getLogger("joulespan.collector")

_GOLDEN = 0.618
"""Collectors are spread over their intervals: multiples of it fill a circle evenly."""
_HUNG = 10.0
"""Seconds after which a run is taken to hang, if its interval is not longer than a third of it."""
_GRACE = 1.0
"""Seconds that runs under way get at the end."""
_LATEST, _LOOK, _AFTER = 2.0, 0.1, 0.3
"""Seconds that the first readings of GPUs are waited for, between two looks, and that all of them take."""
Failed = Callable[[Exception], None]


class Job(NamedTuple):
    """A collector with its seconds between runs. `open` prepares it; see NodeCollector and Node.failed."""

    collector: NodeCollector
    period: float
    open: Callable[[Failed], Read]


class Row(NamedTuple):
    """What goes into the timeline of one device."""

    device: str
    series: tuple[Series, ...]
    values: Sequence[float | None]


class Outcome(NamedTuple):
    """How a run went. Without a batch it has nothing to say; `error` is why, where that is a failure."""

    started: int
    seconds: float
    missed: int
    batch: Batch | None
    rows: Sequence[Row]
    failures: Mapping[str, int]
    error: str | None


class Worker:
    """One collector: its runs, and what of its work is kept between them. Of its thread, except for `since`."""

    def __init__(self, job: Job, clock: Clock) -> None:
        """Start with nothing opened."""
        self._job = job
        self._clock = clock
        self._read: Read | None = None
        self._failures: Counter[str] = Counter()
        self._first_error: str | None = None
        self._layout = _Layout(job.collector)
        self.since: int | None = None
        """When the run under way began, ns; None between runs. Any thread may look."""

    def run(self, missed: int) -> Outcome:
        """Read once."""
        started = self._clock.monotonic_ns()
        self.since = started
        self._failures.clear()
        self._first_error = None
        batch, rows = self._collect(started)
        seconds = (self._clock.monotonic_ns() - started) / NS
        self.since = None
        return Outcome(started, seconds, missed, batch, rows, dict(self._failures), self._first_error)

    def _collect(self, started: int) -> tuple[Batch | None, Sequence[Row]]:
        try:
            if self._read is None:
                self._read = self._job.open(self._failed)
            return self._layout.batch(self._read(), started)
        except NotSupported:
            return None, ()
        except Exception as error:  # noqa: BLE001 - one collector's failure costs that collector
            self._failed(error)
            return None, ()

    def _failed(self, error: Exception) -> None:
        self._failures[type(error).__name__] += 1
        self._first_error = self._first_error or f"{type(error).__name__}: {error}"


class _Layout:
    """Keeps the series of a collector, and which of them are of which device, as long as it names the same."""

    def __init__(self, collector: NodeCollector) -> None:
        self._history = collector.history
        self._remembered = collector.remembered
        self._series: tuple[Series, ...] = ()
        self._devices: dict[str, tuple[tuple[Series, ...], Sequence[int]]] = {}

    def batch(self, samples: Iterable[Sample | Distribution], time: int) -> tuple[Batch, list[Row]]:
        """Make a batch and the rows of the timeline."""
        found: list[Sample] = []
        distributions: list[Distribution] = []
        for one in samples:
            if isinstance(one, Distribution):
                distributions.append(one)
            else:
                found.append(one)
        series = tuple([sample.series for sample in found])
        if series != self._series:
            self._lay(series)
        values = [float(sample.value) for sample in found]
        rows = [
            Row(device, some, [values[place] for place in places]) for device, (some, places) in self._devices.items()
        ]
        return Batch(self._series, values, time, tuple(distributions)), rows

    def _lay(self, series: tuple[Series, ...]) -> None:
        self._series = series
        places: dict[str, list[int]] = {}
        for place, (metric, entity) in enumerate(series):
            if metric in self._history:
                device = dict(attributes(entity)).get("hw.id", "")
                if self._remembered(device):
                    places.setdefault(device, []).append(place)
        before = self._devices
        self._devices = {}
        for device, some in places.items():
            names = tuple(series[place] for place in some)
            # The same object while a device has the same series, whatever others have: its history goes on.
            kept = before.get(device, (names, ()))[0]
            self._devices[device] = (kept if kept == names else names, some)


class Workers:
    """The node's collectors. Starts and stops like a server; all but the threads' work is of the event loop."""

    def __init__(self, jobs: Sequence[Job], snapshots: Snapshots, timeline: Timeline, clock: Clock) -> None:
        """Run these, all of them at once at first."""
        self._snapshots = snapshots
        self._timeline = timeline
        self._clock = clock
        self._jobs = {job.collector.name: job for job in jobs}
        self.workers = {name: Worker(job, clock) for name, job in self._jobs.items()}
        self._runs: dict[str, Runs] = {}
        self._failing: dict[str, str] = {}
        self._hanging: dict[str, int] = {}
        self._hand: Callable[[Callable[[], None]], object] = lambda call: call()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    async def start(self) -> None:
        """Begin to read."""
        self._hand = asyncio.get_running_loop().call_soon_threadsafe
        self.spawn()

    def spawn(self) -> None:
        """Start the threads."""
        for number, name in enumerate(self._jobs):
            work = partial(self._work, name, number * _GOLDEN % 1)
            self._threads.append(threading.Thread(target=work, name=f"collector {name}", daemon=True))
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """End, within a second or so. A run that hangs is left to the end of the process."""
        self._hand = lambda _: None
        self._stopping.set()
        await asyncio.to_thread(self._join)

    def samples(self) -> Iterator[Sample]:
        """Say how the runs went; those that hang are found here."""
        now = self._clock.monotonic_ns()
        for name, worker in self.workers.items():
            since = worker.since
            if since is not None and now - since > self._patience(name):
                self._hangs(name, since, now)
        for runs in self._runs.values():
            yield from runs.samples(self._clock)

    def take(self, name: str, outcome: Outcome) -> None:
        """Write down a run."""
        source = Source(name)
        late = self._clock.monotonic_ns() - outcome.started > self._patience(name)
        if outcome.batch is None or late:
            self._snapshots.drop(lambda known: known == source)
        else:
            self._snapshots.put({source: outcome.batch})
        for device, series, values in outcome.rows:
            self._timeline.append(Source(name, device), series, outcome.started, values)
        self._tell(name, outcome.error)
        runs = self._runs.setdefault(name, Runs(name))
        runs.note(outcome.started, outcome.seconds, outcome.failures, outcome.missed)

    def _work(self, name: str, phase: float) -> None:
        period = self._jobs[name].period
        rounds = Rounds({name: period}, self._clock.monotonic_ns() - int(phase * period * NS))
        while not self._stopping.is_set():
            for due in rounds.due(self._clock.monotonic_ns()):
                outcome = self.workers[name].run(due.missed)
                with suppress(RuntimeError):  # The loop has ended meanwhile, and nobody waits for it any more.
                    self._hand(partial(self.take, name, outcome))
            self._stopping.wait(max(0.0, (rounds.next_time() - self._clock.monotonic_ns()) / NS))

    def _join(self) -> None:
        deadline = self._clock.monotonic_ns() + int(_GRACE * NS)
        for thread in self._threads:
            thread.join(max(0.0, (deadline - self._clock.monotonic_ns()) / NS))

    def _patience(self, name: str) -> int:
        return int(max(_HUNG, 3 * self._jobs[name].period) * NS)

    def _hangs(self, name: str, since: int, now: int) -> None:
        first = self._hanging.get(name) != since
        if first:
            self._hanging[name] = since
            self._tell(name, f"Hung: reading has not returned for {(now - since) / NS:.0f} s")
            self._snapshots.drop(lambda known: known == Source(name))
        self._runs.setdefault(name, Runs(name)).note(since, (now - since) / NS, {"Hung": int(first)}, 0)

    def _tell(self, name: str, error: str | None) -> None:
        """Log failures when they begin, when they change and when they end."""
        before = self._failing.get(name)
        if error is None:
            if self._failing.pop(name, None) is not None:
                LOG.info("%s: works again", name)
        elif error != before:
            LOG.warning("%s: %s", name, error)
            self._failing[name] = error


class LateWorkers:
    """The node's collectors, loaded and begun once the GPUs were read: their first scrape does not wait for the rest.

    Where there are none, they begin two seconds later. Starts and stops like a server.
    """

    def __init__(self, make: Callable[[], Workers], snapshots: Snapshots) -> None:
        """`make` loads and prepares them; it is called in another thread, once."""
        self._make = make
        self._snapshots = snapshots
        self._workers: Workers | None = None
        self._beginning: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to wait."""
        self._beginning = asyncio.get_running_loop().create_task(self._begin())

    async def stop(self) -> None:
        """End, as Workers do."""
        if self._beginning is not None:
            self._beginning.cancel()
            with suppress(asyncio.CancelledError):
                await self._beginning
        if self._workers is not None:
            await self._workers.stop()

    def samples(self) -> Iterator[Sample]:
        """Say how the runs went."""
        if self._workers is not None:
            yield from self._workers.samples()

    async def _begin(self) -> None:
        latest = asyncio.get_running_loop().time() + _LATEST
        while not self._gpus() and asyncio.get_running_loop().time() < latest:  # noqa: ASYNC110 - a snapshot sets no event
            await asyncio.sleep(_LOOK)
        await asyncio.sleep(_AFTER)
        try:
            workers = await asyncio.to_thread(self._make)
        except Exception:  # What a task raises nobody sees.
            LOG.exception("the node's collectors cannot be prepared")
            return
        await workers.start()
        self._workers = workers

    def _gpus(self) -> bool:
        return any(source.collector.startswith("gpu_") for source in self._snapshots.current.batches)
