# SPDX-License-Identifier: Apache-2.0
"""The switches that this node hears of: what they told over OTLP and on pages, as long as it is true."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from agent.catalogue import switch as catalogue
from agent.clock import NS, Clock
from agent.dialects.switches.otlp import from_switch, points, switch_name
from agent.dialects.switches.page import lines
from agent.dialects.switches.reading import Buckets, Number, SwitchReader
from agent.dialects.switches.spectrum import SPECTRUM
from agent.dialects.switches.state import Outcome, Room, SwitchState
from agent.exposition import Page
from agent.metric import Sample
from agent.otlp.values import attributes
from agent.snapshot import Batch, Snapshots, Source
from agent.switch_entities import Switch, SwitchInfo, SwitchPoints

LOG = logging.getLogger("joulespan.switches")

NAME = "switches"
_REMEMBERED = 3600 * NS
"""How long it is told when a switch was last heard of, ns."""
_MOST_SWITCHES = 1024
_CHUNK = 512
"""Points taken in at once: the event loop may wait for as long."""
_Point: TypeAlias = tuple[Number | Buckets, ...]
"""What one point or line says, of one series or several."""


class Switches:
    """Keeps what switches tell. Receivers and the scraper call from their threads, read() is of the event loop."""

    def __init__(
        self, snapshots: Snapshots, clock: Clock, guard: Callable[[], AbstractContextManager[Any]], most: int
    ) -> None:
        """Keep at most `most` series. `guard` makes locks."""
        self._snapshots = snapshots
        self._clock = clock
        self._guard, self._turn = guard(), guard()
        self._room = Room(most)
        self._states: dict[str, SwitchState] = {}
        self._readers: dict[str, SwitchReader] = {}
        self._outcomes: Counter[Outcome] = Counter()

    def take(self, request: Any) -> bool:
        """Take in an ExportMetricsServiceRequest. Returns whether all of it was of switches."""
        foreign = False
        for resource in request.resource_metrics:
            name = switch_name(attributes(resource.resource.attributes))
            # What a switch says of its own Linux comes apart from what it says as a switch.
            if not from_switch(resource) and name not in self._readers:
                foreign = True
                continue
            outcomes: Counter[Outcome] = Counter()
            with self._turn:
                self._resource(name, resource, outcomes)
            self._count(outcomes)
        return not foreign

    def page(self, reader: SwitchReader, page: Page, source: str, wants: Callable[[str], bool]) -> None:
        """Take in a page that was scraped just now."""
        now = self._clock.monotonic_ns()
        outcomes: Counter[Outcome] = Counter()
        told: dict[str, list[_Point]] = {}
        for name, point in lines(reader, page, self._clock.unix_ns(now), wants, outcomes):
            told.setdefault(name, []).append(point)
        for name, some in told.items():
            self._put(SwitchInfo(name, reader.table.kind, source), some, now, outcomes)
        outcomes[Outcome.MALFORMED] += page.dropped.get("malformed", 0)
        outcomes[Outcome.FULL] += sum(number for reason, number in page.dropped.items() if reason != "malformed")
        self._count(outcomes)

    def read(self) -> Iterator[Sample]:
        """Put what is true now into the snapshot, and say what became of what was told."""
        try:
            yield from self._read()
        except Exception:
            # What is not brought up to date any more is not true for long.
            self._snapshots.drop(lambda source: source.collector == NAME)
            raise

    def _read(self) -> Iterator[Sample]:
        now = self._clock.monotonic_ns()
        batches, silent = self._batches(now)
        if batches:
            self._snapshots.put({Source(NAME, name): batch for name, batch in batches.items()})
        if silent:
            self._snapshots.drop(lambda source: source.collector == NAME and source.device in silent)
        with self._guard:
            seen = {name: state.seen for name, state in self._states.items()}
            outcomes = dict(self._outcomes)
        for name, when in seen.items():
            yield catalogue.LAST_SEEN(Switch(name), self._clock.unix_ns(when) / NS)
        for outcome, number in outcomes.items():
            if number:
                yield catalogue.POINTS(SwitchPoints(outcome), number)

    def _batches(self, now: int) -> tuple[dict[str, Batch], set[str]]:
        """Give what each switch says, and those that say nothing any more."""
        batches: dict[str, Batch] = {}
        silent: set[str] = set()
        for name, state in list(self._states.items()):
            with self._guard:
                batch = state.batch(now)
                forgotten = now - state.seen > _REMEMBERED
                if forgotten:
                    state.forget()
                    del self._states[name]
                    self._readers.pop(name, None)
            if batch is not None and not forgotten:
                batches[name] = batch
            elif Source(NAME, name) in self._snapshots.current.batches:
                LOG.warning("%s has fallen silent", name)
                silent.add(name)
        return batches, silent

    def _resource(self, name: str | None, resource: Any, outcomes: Counter[Outcome]) -> None:
        if name is None:
            outcomes[Outcome.MALFORMED] += sum(len(scope.metrics) for scope in resource.scope_metrics)
            return
        reader = self._readers.get(name)
        if reader is None:
            if len(self._readers) >= _MOST_SWITCHES:
                outcomes[Outcome.FULL] += sum(len(scope.metrics) for scope in resource.scope_metrics)
                return
            reader = self._readers[name] = SwitchReader(SPECTRUM, switch=name)
        now = self._clock.monotonic_ns()
        info = SwitchInfo(name, SPECTRUM.kind, "otlp")
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                self._put(info, [*points(reader, metric, self._clock.unix_ns(now), outcomes)], now, outcomes)

    def _put(self, info: SwitchInfo, told: Sequence[_Point], now: int, outcomes: Counter[Outcome]) -> None:
        for begin in range(0, len(told), _CHUNK):
            with self._guard:
                state = self._state(info)
                if state is None:
                    outcomes[Outcome.FULL] += len(told) - begin
                    return
                for point in told[begin : begin + _CHUNK]:
                    became = Outcome.TAKEN
                    for one in point:
                        outcome = state.take(one, now)
                        became = outcome if became is Outcome.TAKEN else became
                    outcomes[became] += 1

    def _state(self, info: SwitchInfo) -> SwitchState | None:
        state = self._states.get(info.switch)
        if state is None and len(self._states) < _MOST_SWITCHES:
            LOG.info("hears of the switch %s (%s)", info.switch, info.kind)
            state = self._states[info.switch] = SwitchState(info, self._room)
        return state

    def _count(self, outcomes: Counter[Outcome]) -> None:
        with self._guard:
            self._outcomes.update(outcomes)
