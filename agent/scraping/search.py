# SPDX-License-Identifier: Apache-2.0
"""Looks for engines: now and then at the processes, and then asks the ports that may be theirs.

Bounded: so many ports in one look and at a time, each port again only after a pause that grows, and no further port of
a process of which one has answered as an engine. The agent's own ports are never asked.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from agent.clock import NS, Clock
from agent.config import Engine as EngineConfig
from agent.processors.discovery import Candidate, Node, Senders, name_of, survey, unique_names
from agent.processors.kinship import Device, Kinship
from agent.processors.pauses import Pauses
from agent.processors.topology import Sender, gpu_called
from agent.scraping.page import Place
from agent.scraping.probe import FOUND, Answered, probe
from agent.system.http_client import Target

LOG = logging.getLogger("joulespan.engines")

MOST = 64
"""Engines that are scraped at a time."""
_SOON, _EVERY = 2 * NS, 10 * NS
"""Time between looks: sooner after a change, such as a process that holds a GPU and may be about to listen."""
_APART = 5 * NS
"""The least time between two looks where senders change all the time."""
_PROBES, _AT_ONCE = 64, 8
_FIRST_PAUSE, _LONGEST_PAUSE = 15.0, 600.0
"""Seconds. An engine that loads its model for minutes is found about as much later as it took."""
_Port: TypeAlias = tuple[str, int, int]


class Feeds(NamedTuple):
    """What the search is told; all can be called in another thread than that in which it is made."""

    holders: Callable[[], Mapping[int, Sequence[Device]]]
    """The processes that hold memory of GPUs."""
    gpus: Callable[[], Sequence[Device]]
    """The GPUs, in their order."""
    senders: Callable[[int], Iterable[Sender]]
    """Who sent spans of late; called with the time, monotonic ns."""
    news: Callable[[], int]
    """A number that changes when the senders do."""
    own: Callable[[], Collection[int]]
    """The agent's processes."""


class _Found(NamedTuple):
    candidate: Candidate
    target: Target
    kind: str
    service: str | None


class Search:
    """Knows the engines of the node. Not to be shared between threads; look() blocks for some ms to read processes."""

    def __init__(
        self,
        node: Node,
        engines: Sequence[EngineConfig],
        feeds: Feeds,
        clock: Clock,
        *,
        discover: bool = True,
        ask: Callable[[str, int], Awaitable[Answered]] = probe,
    ) -> None:
        """Know the configured engines that have a page. With `discover`, find others."""
        self.outcomes: Counter[str] = Counter()
        """Ports that were asked, by what they said."""
        self.refused = 0
        """Processes that could not be looked into, the last time."""
        self.dropped = 0
        """Engines that were not scraped when they were found, because there were too many."""
        self._node = node
        self._engines = tuple(engines)
        self._feeds = feeds
        self._clock = clock
        self._discover = discover
        self._ask = ask
        self._senders = Senders()
        self._pauses: Pauses[_Port] = Pauses(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._found: dict[_Port, _Found] = {}
        self._names: dict[str, str] = {}
        self._beyond: set[str] = set()
        self._looked: int | None = None
        self._gap = _SOON
        self._holders: frozenset[int] = frozenset()
        self._news = 0

    def hasten(self) -> None:
        """Look soon: an engine does not answer any more."""
        self._gap = _SOON

    def due(self) -> bool:
        """Say whether to look: at once where other processes hold GPUs, soon where other senders are heard."""
        if self._looked is None:
            return True
        passed = self._clock.monotonic_ns() - self._looked
        if not self._discover:  # The GPUs of those that are configured may have become known.
            return passed >= _EVERY
        return (
            self._holders != frozenset(self._feeds.holders())
            or passed >= self._gap
            or (passed >= _APART and self._news != self._feeds.news())
        )

    async def look(self) -> dict[str, Place]:
        """Look at the processes, ask who may be asked, and give the engines there are now, by the address of each."""
        if self._discover:
            await self._look()
        else:
            self._looked = self._clock.monotonic_ns()
        return self.places()

    def places(self) -> dict[str, Place]:
        """Give the engines that are known, by address: those with a page in the configuration, and those found."""
        local = {"localhost", *self._node.addresses()} if self._found else set()
        configured = {Target.of(one.metrics_url): one for one in self._engines if one.metrics_url}
        here = {("127.0.0.1" if at.host in local else at.host, at.port): (at, one) for at, one in configured.items()}
        wanted: dict[str, str] = {}
        places: dict[str, Place] = {}
        gpus = self._feeds.gpus()
        for target, one in configured.items():
            named = (gpu_called(word, gpus) for word in one.gpus)
            places[target.url] = Place(one.name, target, "config", gpus=tuple(gpu for gpu in named if gpu))
            wanted[target.url] = one.name
        for found in self._found.values():
            listener = found.candidate.listener
            if (listener.host, listener.port) in here:
                target, _ = here[listener.host, listener.port]
                place = places[target.url]
                places[target.url] = place._replace(gpus=place.gpus or found.candidate.gpus)
                continue
            url = found.target.url
            wanted[url] = name_of(found.candidate, found.kind, found.service, self._engines)
            places[url] = Place(wanted[url], found.target, "process", found.kind, found.candidate.gpus)
        names = unique_names(wanted, self._names, [target.url for target in configured])
        kept = [url for url in places if url in names][:MOST]
        beyond = places.keys() - set(kept)
        self.dropped += len(beyond - self._beyond)
        self._beyond = beyond
        self._names = {url: names[url] for url in kept}
        return {url: places[url]._replace(name=names[url]) for url in kept}

    async def _look(self) -> None:
        now = self._clock.monotonic_ns()
        holders, news, senders = self._feeds.holders(), self._feeds.news(), list(self._feeds.senders(now))
        changed = self._looked is None or (frozenset(holders), news) != (self._holders, self._news)
        self._gap = _SOON if changed else min(self._gap * 2, _EVERY)
        self._looked, self._holders, self._news = now, frozenset(holders), news
        if not (holders or senders or self._found):
            self._pauses.keep(())
            return
        kinship = Kinship(self._node, holders, self._feeds.gpus())
        sent = self._senders.processes(senders, kinship)
        known = [found.candidate.listener.pid for found in self._found.values()]
        seen = survey(self._node, kinship, sent, dict.fromkeys(one.placement for one in senders), known)
        self.refused = seen.refused
        own = set(self._feeds.own())
        ports = {_port(one): one for one in seen.candidates if one.listener.pid not in own}
        self._keep(ports)
        await self._probe(ports, now)

    def _keep(self, ports: Mapping[_Port, Candidate]) -> None:
        """Forget what is gone, and take in what has changed. GPUs that cannot be read now are believed as they were."""
        found, self._found = self._found, {}
        for port, one in found.items():
            if now := ports.get(port):
                gpus = now.gpus or one.candidate.gpus
                placed = now.placed or one.candidate.placed
                self._found[port] = one._replace(candidate=Candidate(now.listener, gpus, placed))
        self._pauses.keep(ports.keys())

    async def _probe(self, ports: Mapping[_Port, Candidate], now: int) -> None:
        answered = {one.candidate.listener.pid for one in self._found.values()}
        open_ = [
            (port, one)
            for port, one in ports.items()
            if port not in self._found and one.listener.pid not in answered and self._pauses.due(port, now)
        ]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(port: _Port, one: Candidate) -> None:
            async with gate:
                if one.listener.pid not in answered:
                    answer = await self._ask(port[0], port[1])
                    self.outcomes[answer.outcome] += 1
                    if answer.outcome == FOUND and answer.kind:
                        answered.add(one.listener.pid)
                        service = self._node.service_name(one.listener.pid)
                        self._found[port] = _Found(one, answer.target, answer.kind, service)
                    else:
                        self._pauses.no(port, self._clock.monotonic_ns())

        await asyncio.gather(*(ask(port, one) for port, one in sorted(open_)[:_PROBES]))


def _port(candidate: Candidate) -> _Port:
    """Tell a port from another one, and from what listened there before."""
    listener = candidate.listener
    return (listener.host, listener.port, listener.inode)
