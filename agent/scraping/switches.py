# SPDX-License-Identifier: Apache-2.0
"""Scrapes the pages that tell of NVLink and InfiniBand switches, in a thread of its own with a task for each page."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Protocol

from agent.catalogue import switch as catalogue
from agent.clock import NS, Clock
from agent.config import SwitchCollector, SwitchPage
from agent.dialects.switches.fabric import IN_BYTES, IN_WORDS
from agent.dialects.switches.reading import SwitchReader
from agent.exposition import Page, Parser
from agent.metric import Sample
from agent.scraping.page import INTERNAL, OK, STATUS
from agent.switch_entities import SwitchPage as PageEntity
from agent.switch_entities import SwitchPageFault
from agent.system.http_client import Failed, Target, get

LOG = logging.getLogger("joulespan.switches")

_ACCEPT = "text/plain;version=0.0.4,*/*;q=0.1"


class Taker(Protocol):
    """Takes in pages."""

    def page(self, reader: SwitchReader, page: Page, source: str, wants: Callable[[str], bool]) -> None:
        """Take in a page that was scraped just now."""
        ...


class ScrapedPage:
    """One page. Not to be shared between threads, but for samples()."""

    def __init__(self, settings: SwitchPage, collector: SwitchCollector, taker: Taker, clock: Clock) -> None:
        """Read it as its kind is read."""
        self.name = settings.name
        self.interval = float(settings.interval)
        self._target = Target.of(settings.metrics_url)
        self._include = settings.include
        self._collector = collector
        self._taker = taker
        self._clock = clock
        self._parser = Parser()
        tables = IN_BYTES if settings.data_unit == "bytes" else IN_WORDS
        self._reader = SwitchReader(tables[settings.kind], source=settings.name)
        self._up: bool | None = None
        self._duration = 0.0
        self._last_success: int | None = None
        self._failures: Counter[str] = Counter()

    async def scrape(self) -> None:
        """Get the page and hand on what it says. Raises nothing: failures are counted, and told when they begin."""
        began = self._clock.monotonic_ns()
        failure = await self._scrape()
        self._duration = (self._clock.monotonic_ns() - began) / NS
        if failure is None:
            self._last_success = self._clock.monotonic_ns()
        else:
            self._failures[failure] += 1
        if self._up is not (failure is None):
            self._up = failure is None
            if failure is not None:
                LOG.warning("%s: %s does not give its metrics: %s", self.name, self._target.url, failure)
            else:
                LOG.info("%s: %s gives its metrics", self.name, self._target.url)

    def samples(self) -> Iterator[Sample]:
        """Say how the scrapes went. Any thread may ask."""
        page = PageEntity(self.name)
        if self._up is None:
            return
        yield catalogue.PAGE_UP(page, self._up)
        yield catalogue.PAGE_DURATION(page, self._duration)
        if self._last_success is not None:
            yield catalogue.PAGE_LAST_SUCCESS(page, self._clock.unix_ns(self._last_success) / NS)
        for reason, number in list(self._failures.items()):
            yield catalogue.PAGE_FAILURES(SwitchPageFault(self.name, reason), number)

    def wants(self, switch: str) -> bool:
        """Tell whether a switch is asked for."""
        return not self._include or any(fnmatchcase(switch, pattern) for pattern in self._include)

    async def _scrape(self) -> str | None:
        settings = self._collector
        try:
            answer = await get(self._target, _ACCEPT, limit=settings.max_page, timeout=settings.timeout)
            if answer.status != OK:
                return f"{STATUS}{answer.status}"
            self._taker.page(self._reader, self._parser.parse(answer.body), self.name, self.wants)
        except Failed as failed:
            return str(failed.reason)
        except Exception:
            if not self._failures[INTERNAL]:
                LOG.exception("%s: its page cannot be dealt with; further failures are counted", self.name)
            return INTERNAL
        return None


class SwitchPages:
    """Scrapes all pages. Starts and stops like a pusher."""

    def __init__(self, pages: Sequence[SwitchPage], settings: SwitchCollector, taker: Taker, clock: Clock) -> None:
        """Hand what they say to `taker`."""
        self.pages = [ScrapedPage(page, settings, taker, clock) for page in pages]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="switches", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """End; an answer under way is not waited for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(grace_seconds)

    def samples(self) -> Iterator[Sample]:
        """Say how the scrapes went."""
        for page in self.pages:
            yield from page.samples()

    def _run(self) -> None:
        with asyncio.Runner() as runner, suppress(asyncio.CancelledError):
            runner.run(self._work())

    async def _work(self) -> None:
        tasks = [asyncio.create_task(self._follow(page)) for page in self.pages]
        await asyncio.to_thread(self._stopping.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, page: ScrapedPage) -> None:
        """Scrape one page, and rest for its interval after each answer."""
        while True:
            await page.scrape()
            await asyncio.sleep(page.interval)
