# SPDX-License-Identifier: Apache-2.0
"""Scrapes the engines of this node, each on its own, in a thread of its own.

Reading a page takes milliseconds for each thousand lines, and reading /proc takes some too: neither may hold up the
event loop. In the thread one task for each engine waits, gets its page and reads it; what it found is handed to the
event loop, which alone writes into the snapshot and the timeline. Nothing piles up: an engine's next scrape begins
after its last, on a grid of times, and one that takes long to read is read less often.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from agent.catalogue import own
from agent.clock import NS, Clock
from agent.config import EngineCollectors
from agent.entities import CollectorFailure, Queue
from agent.metric import Sample
from agent.processors.kinship import Device
from agent.scrape_entities import EngineProbe, ScrapedEngine, ScrapeFault, ScrapeInfo
from agent.scraping.page import EnginePage, Place, Status, Taken
from agent.scraping.search import Search
from agent.snapshot import Snapshots, Source
from agent.timeline import Timeline

LOG = logging.getLogger("joulespan.engines")

COLLECTOR = "engines"
_TICK = 1.0
"""Seconds between two questions whether it is time to look."""
_REST = 9
"""An engine's page may take a tenth of the time: this often the time it took is waited after it."""
_GOLDEN = 0.618
"""Scrapes of different engines are spread over the interval: multiples of it fill a circle evenly."""
_GRACE = 1.0
_SILENT = 5 * NS
"""ns beyond interval and time-out after which a batch is no longer believed, whatever became of the thread."""


class Served(NamedTuple):
    """An engine that is scraped: what it is, and its GPUs as far as they are known."""

    kind: str | None
    gpus: tuple[Device, ...]


class EngineCollector:
    """Finds engines and scrapes them. Starts and stops like a server."""

    def __init__(
        self, settings: EngineCollectors, search: Search, snapshots: Snapshots, timeline: Timeline, clock: Clock
    ) -> None:
        """Scrape what `search` finds."""
        self._settings = settings
        self._search = search
        self._snapshots = snapshots
        self._timeline = timeline
        self._clock = clock
        self._hand: Callable[[Callable[[], None]], object] = lambda call: call()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pages: dict[str, EnginePage] = {}
        self._begun = 0
        self._failures: Counter[str] = Counter()
        # Of the event loop that writes: what the thread does not touch.
        self._statuses: dict[str, Status] = {}
        self._served: Mapping[str, Served] = MappingProxyType({})

    async def start(self) -> None:
        """Begin to look and to scrape."""
        self._hand = asyncio.get_running_loop().call_soon_threadsafe
        self._thread = threading.Thread(target=self._run, name="engines", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End, within a second."""
        self._hand = lambda _: None
        if self._thread is not None:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stop.set)
            await asyncio.to_thread(self._thread.join, _GRACE)

    def served(self) -> Mapping[str, Served]:
        """Give the engines that are scraped, by the name that their series have. Any thread may ask."""
        return self._served

    def samples(self) -> Iterator[Sample]:
        """Say how the scrapes went, and drop what is no longer true."""
        self._forget_silent()
        for name, status in self._statuses.items():
            yield from _samples(name, status, self._clock)
        for outcome, number in list(self._search.outcomes.items()):
            yield own.ENGINE_PROBES(EngineProbe(outcome), number)
        yield own.QUEUE_DROPPED(Queue(COLLECTOR), self._search.dropped)
        for kind, number in list(self._failures.items()):
            yield own.COLLECTOR_FAILURES(CollectorFailure(COLLECTOR, kind), number)

    async def work(self) -> None:
        """Look for engines and keep a task for each, until stopped."""
        self._apply(self._search.places())
        while not self._stop.is_set():
            try:
                if self._search.due():
                    self._apply(await self._search.look())
            except Exception as error:  # One look that failed must not be the last.
                if not self._failures[type(error).__name__]:
                    LOG.exception("looking for engines failed; further failures are counted")
                self._failures[type(error).__name__] += 1
            try:
                await asyncio.wait_for(self._stop.wait(), _TICK)
            except TimeoutError:
                continue
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self.work())

    def _apply(self, places: Mapping[str, Place]) -> None:
        """Begin to scrape what is new, go on with what is known, and leave what is gone."""
        for url, page in list(self._pages.items()):
            place = places.get(url)
            if place is None or place.name != page.place.name:
                self._end(url, page.place, place)
            elif place.gpus != page.place.gpus:
                LOG.info("%s runs on %s", place.name, _gpus(place))
                page.place = page.place._replace(gpus=place.gpus)
        for url, place in places.items():
            if url not in self._pages:
                self._begin(url, place)

    def _begin(self, url: str, place: Place) -> None:
        kind = place.kind or "engine"
        LOG.info("found %s %s at %s, on %s, by %s", kind, place.name, url, _gpus(place), place.source)
        settings = self._settings
        page = EnginePage(place, self._clock, limit=settings.max_page, timeout=settings.timeout)
        self._pages[url] = page
        self._hand(partial(self._put, Status(place)))
        self._tasks[url] = asyncio.get_running_loop().create_task(self._follow(page, self._begun * _GOLDEN % 1))
        self._begun += 1

    def _end(self, url: str, was: Place, now: Place | None) -> None:
        if now is None:
            LOG.info("lost %s at %s", was.name, url)
        else:
            LOG.info("%s at %s is called %s from now on", was.name, url, now.name)
        del self._pages[url]
        self._tasks.pop(url).cancel()
        self._hand(partial(self._gone, was.name))

    async def _follow(self, page: EnginePage, phase: float) -> None:
        """Scrape one engine on its grid of times, without end."""
        due = self._clock.monotonic_ns()
        grid = due + int(phase * self._settings.interval * NS)
        up: bool | None = None
        while True:
            await asyncio.sleep(max(0.0, (due - self._clock.monotonic_ns()) / NS))
            kind = page.place.kind
            taken = await page.scrape()
            if taken.status.up is not up:
                up = _tell(taken.status, first=up is None)
                self._search.hasten()
            if kind is not None and page.place.kind != kind:
                LOG.info("%s is %s now, and was %s", page.place.name, page.place.kind, kind)
            self._hand(partial(self._take, taken))
            before, due = due, self.next_after(grid, self._clock.monotonic_ns(), taken.busy)
            page.missed += max(0, (due - before) // int(self._settings.interval * NS) - 1)

    def next_after(self, grid: int, now: int, busy: float) -> int:
        """Tell when to scrape next: on the grid that begins at `grid`, ns, and after a rest for `busy` seconds."""
        period = int(self._settings.interval * NS)
        rested = now + max(1, int(busy * _REST * NS))
        return grid + max(0, -(-(rested - grid) // period)) * period

    def _put(self, status: Status) -> None:
        self._statuses[status.place.name] = status
        served = {name: Served(one.place.kind, one.place.gpus) for name, one in self._statuses.items()}
        if served != self._served:
            self._served = MappingProxyType(served)

    def _take(self, taken: Taken) -> None:
        """Write down a scrape, in the event loop."""
        self._put(taken.status)
        source = Source(COLLECTOR, taken.status.place.name)
        if taken.batch is None:
            self._snapshots.drop(lambda known: known == source)
            return
        self._snapshots.put({source: taken.batch})
        if taken.row is not None and taken.row.series:
            self._timeline.append(source, taken.row.series, taken.time, taken.row.values)

    def _gone(self, name: str) -> None:
        self._statuses.pop(name, None)
        self._served = MappingProxyType({one: served for one, served in self._served.items() if one != name})
        self._snapshots.drop(lambda known: known == Source(COLLECTOR, name))

    def _forget_silent(self) -> None:
        oldest = self._clock.monotonic_ns() - int((self._settings.interval + self._settings.timeout) * NS) - _SILENT
        batches = self._snapshots.current.batches
        old = {one for one, batch in batches.items() if one.collector == COLLECTOR and batch.time < oldest}
        if old:
            self._snapshots.drop(old.__contains__)


def _tell(status: Status, *, first: bool) -> bool:
    """Log that an engine answers, or does not any more."""
    name = status.place.name
    if not status.up:
        LOG.warning("%s: %s does not give its metrics: %s", name, status.place.target.url, status.failure)
    elif not first:
        LOG.info("%s: answers again", name)
    return status.up


def _gpus(place: Place) -> str:
    return " ".join(gpu.name for gpu in place.gpus) or "no GPU that is known"


def _samples(name: str, status: Status, clock: Clock) -> Iterator[Sample]:
    engine, place = ScrapedEngine(name), status.place
    if status.up or status.failure:
        yield own.ENGINE_UP(engine, status.up)
    yield own.ENGINE_SCRAPE_INFO(ScrapeInfo(name, place.target.url, place.source, place.kind, status.failure), 1)
    yield own.ENGINE_SCRAPE_DURATION(engine, status.duration)
    yield own.ENGINE_SCRAPE_MISSED(engine, status.missed)
    if status.last_success is not None:
        yield own.ENGINE_SCRAPE_LAST_SUCCESS(engine, clock.unix_ns(status.last_success) / NS)
    for reason, number in status.failures.items():
        yield own.ENGINE_SCRAPE_FAILURES(ScrapeFault(name, reason), number)
    for reason, number in status.dropped.items():
        yield own.ENGINE_SCRAPE_DROPPED(ScrapeFault(name, reason), number)
