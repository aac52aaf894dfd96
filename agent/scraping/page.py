# SPDX-License-Identifier: Apache-2.0
"""One engine's page: got, read, translated, and made what the snapshot and the timeline take."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, overload

from agent.clock import NS, Clock
from agent.dialects.pages import Translator, recognise
from agent.exposition import Key, Page, Parser
from agent.metric import Distribution, Series
from agent.processors.engine_totals import EngineTotals
from agent.processors.kinship import Device
from agent.snapshot import Batch
from agent.system.http_client import Failed, Target, get

LOG = logging.getLogger("joulespan.engines")

ACCEPT = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,"
    "application/openmetrics-text;version=0.0.1;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
"""OpenMetrics, which has exemplars, where it can be had. Without `escaping`, prometheus-client puts underscores in the
place of the colons in names, in that format alone."""
OK = 200
TOTALS = "totals"
"""What is dropped where an engine has more models and ranks than are kept for the ledger."""
UNRECOGNISED, INTERNAL, STATUS = "unrecognised", "internal", "status_"
"""Reasons beside those of the HTTP client: no engine's page, a fault of ours, and another status than 200."""


class Place(NamedTuple):
    """An engine: its name on this node, where its page is, how that is known, and its GPUs as far as they are known.

    `kind` is None until its page has told, of one that is configured.
    """

    name: str
    target: Target
    source: str
    kind: str | None = None
    gpus: tuple[Device, ...] = ()


class Status(NamedTuple):
    """How the scrapes of an engine went, since it was found under this name. Times are monotonic ns."""

    place: Place
    failure: str | None = None
    duration: float = 0.0
    last_success: int | None = None
    missed: int = 0
    failures: Mapping[str, int] = {}
    dropped: Mapping[str, int] = {}

    @property
    def up(self) -> bool:
        """Whether the last scrape succeeded."""
        return self.failure is None and self.last_success is not None


class Row(NamedTuple):
    """What goes into the timeline."""

    series: tuple[Series, ...]
    values: Sequence[float | None]


class Taken(NamedTuple):
    """What a scrape gave; no batch where it failed. `busy` is how long it kept the processor, in seconds."""

    status: Status
    time: int
    batch: Batch | None = None
    row: Row | None = None
    busy: float = 0.0


class Later(Sequence[Distribution]):
    """Distributions that are made when somebody looks at them: an exporter, in whichever thread."""

    def __init__(self, make: Callable[[], Sequence[Distribution]], guard: AbstractContextManager[object]) -> None:
        """`make` is called once at most, inside of the guard."""
        self._make = make
        self._guard = guard
        self._made: Sequence[Distribution] | None = None

    def __len__(self) -> int:
        """Count them."""
        return len(self._all())

    @overload
    def __getitem__(self, place: int) -> Distribution: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Distribution]: ...

    def __getitem__(self, place: int | slice) -> Distribution | Sequence[Distribution]:
        """Give one of them, or some."""
        return self._all()[place]

    def __iter__(self) -> Iterator[Distribution]:
        """Give each of them."""
        return iter(self._all())

    def _all(self) -> Sequence[Distribution]:
        with self._guard:
            if self._made is None:
                try:
                    self._made = self._make()
                except Exception:  # The exporter that looks at them has others to write.
                    LOG.exception("the histograms of an engine's page cannot be dealt with")
                    self._made = ()
                del self._make
            return self._made


class EnginePage:
    """The page of one engine. Not to be shared between threads, and scraped once at a time."""

    def __init__(self, place: Place, clock: Clock, *, limit: int, timeout: float) -> None:
        """Read at most `limit` bytes within `timeout` seconds."""
        self.place = place
        self.missed = 0
        """Scrapes that were left out."""
        self._clock = clock
        self._limit = limit
        self._timeout = timeout
        self._guard = threading.Lock()
        self._parser = Parser()
        self._keys: tuple[Key, ...] | None = None
        self._translator: Translator | None = None
        self._totals = EngineTotals()
        self._last_success: int | None = None
        self._failures: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    async def scrape(self) -> Taken:
        """Get the page and read it. Raises nothing: a failure is told in the status."""
        began = self._clock.monotonic_ns()
        try:
            answer = await get(self.place.target, ACCEPT, limit=self._limit, timeout=self._timeout)
            if answer.status != OK:
                return self._failed(f"{STATUS}{answer.status}", began)
            arrived = self._clock.monotonic_ns()
            page = self._parser.parse(answer.body)
            self._dropped.update(page.dropped)
            translator = self._translates(page)
            if translator is None:
                return self._failed(UNRECOGNISED, began)
            series, values = translator.numbers(page)
            self._dropped.update({"translated": translator.dropped} if translator.dropped else {})
            batch = Batch(series, values, arrived, Later(translator.distributions(page), self._guard))
            return self._took(batch, began)
        except Failed as failure:
            return self._failed(failure.reason, began)
        except Exception:
            if not self._failures[INTERNAL]:
                LOG.exception("%s: its page cannot be dealt with; further failures are counted", self.place.name)
            return self._failed(INTERNAL, began)

    def _translates(self, page: Page) -> Translator | None:
        """Give what translates this page, anew where another kind of engine wrote it."""
        if self._keys is not page.keys:
            self._keys = page.keys
            kind = recognise(page)
            if kind is None:
                self._translator = None
            elif self._translator is None or kind != self.place.kind:
                self.place = self.place._replace(kind=kind)
                self._translator = Translator(self.place.name, kind)
        return self._translator

    def _took(self, batch: Batch, began: int) -> Taken:
        row = Row(*self._totals.row(batch.series, batch.values))
        if self._totals.dropped:
            self._dropped[TOTALS] = self._totals.dropped
        self._last_success = arrived = batch.time
        now = self._clock.monotonic_ns()
        return Taken(self._status(None, (now - began) / NS), arrived, batch, row, (now - arrived) / NS)

    def _failed(self, reason: str, began: int) -> Taken:
        self._failures[str(reason)] += 1
        now = self._clock.monotonic_ns()
        return Taken(self._status(str(reason), (now - began) / NS), now)

    def _status(self, failure: str | None, duration: float) -> Status:
        failures, dropped = dict(self._failures), dict(self._dropped)
        return Status(self.place, failure, duration, self._last_success, self.missed, failures, dropped)
