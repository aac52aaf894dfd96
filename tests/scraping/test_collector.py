# SPDX-License-Identifier: Apache-2.0
"""Engines scraped over real connections: into the snapshot, the timeline and the log, each at its own cost."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, cast

import pytest

from agent.catalogue import own
from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, REQUESTS_WAITING, TOKENS
from agent.clock import NS, Clock, FakeClock, SystemClock
from agent.config import EngineCollectors
from agent.config_values import Duration, Size
from agent.entities import Engine, EngineModel, EngineTokens, Gpu
from agent.metric import Metric
from agent.scrape_entities import ScrapedEngine, ScrapeFault
from agent.scraping.collector import COLLECTOR, EngineCollector, Served
from agent.scraping.page import Place
from agent.scraping.search import Search
from agent.snapshot import Snapshots, Source
from agent.system.http_client import Target
from agent.timeline import Timeline
from tests.scraping.server import PAGE, EngineServer, endless, hangs, nonsense, page, serving

GPU = Gpu("GPU-00000000-1111-2222-3333-444444444444", "gpu0")
WAIT = 30.0
"""Seconds: far more than anything here takes."""
QUICK = EngineCollectors(interval=Duration(0.05), timeout=Duration(0.2), max_page=Size(1 << 20))
PATIENT = EngineCollectors(interval=Duration(0.05), timeout=Duration(30), max_page=Size(1 << 20))


class Found:
    """A search that finds what it is told."""

    def __init__(self, *places: Place) -> None:
        self.outcomes = {"found": len(places)}
        self.dropped = 0
        self.hastened = 0
        self.now: Sequence[Place] = places
        self.fails = False

    def places(self) -> Mapping[str, Place]:
        return {place.target.url: place for place in self.now}

    def due(self) -> bool:
        return True

    async def look(self) -> Mapping[str, Place]:
        if self.fails:
            raise RuntimeError
        return self.places()

    def hasten(self) -> None:
        self.hastened += 1


class Agent:
    """A collector with what it writes into."""

    def __init__(self, found: Found, settings: EngineCollectors = PATIENT, clock: Clock | None = None) -> None:
        self.snapshots = Snapshots()
        self.timeline = Timeline(900, 0.1, guard=threading.Lock())
        self.clock = clock or SystemClock()
        search = cast("Search", found)
        self.collector = EngineCollector(settings, search, self.snapshots, self.timeline, self.clock)

    def engines(self) -> set[str]:
        return {one.device for one in self.snapshots.current.batches if one.collector == COLLECTOR}

    def value(self, metric: Metric[Any], entity: Any) -> float | None:
        found = {
            sample.series: sample.value for sample in (*self.collector.samples(), *self.snapshots.current.samples())
        }
        return found.get(metric.series(entity))

    def run(self, *steps: Callable[[], object]) -> None:
        """Run until each of these is true, one after the other."""

        async def run() -> None:
            await self.collector.start()
            try:
                for step in steps:
                    async with asyncio.timeout(WAIT):
                        while not step():  # noqa: ASYNC110 - what is waited for is in no event
                            await asyncio.sleep(0.01)
            finally:
                await self.collector.stop()

        asyncio.run(run())


def place(server: EngineServer, name: str, gpus: tuple[Gpu, ...] = (GPU,)) -> Place:
    return Place(name, Target("127.0.0.1", server.port), "process", "vllm", gpus)


def test_an_engine_is_in_the_snapshot_the_timeline_and_the_metrics_of_the_agent() -> None:
    with serving(page()) as server:
        agent = Agent(Found(place(server, "chat")))
        engine = ScrapedEngine("chat")
        agent.run(lambda: len(server.asked) > 2 and agent.value(own.ENGINE_UP, engine))
        assert agent.collector.served() == {"chat": Served("vllm", (GPU,))}
    assert agent.value(REQUESTS_RUNNING, EngineModel("chat", "m")) == 3
    assert agent.value(own.ENGINE_SCRAPE_DURATION, engine) is not None
    assert agent.value(own.ENGINE_SCRAPE_LAST_SUCCESS, engine) is not None
    for series, wanted in (
        (REQUESTS_RUNNING.series(EngineModel("chat", "m")), 3),
        (REQUESTS_WAITING.series(EngineModel("chat", "m")), 1),
        (TOKENS.series(EngineTokens("chat", "m", "output")), 70),
        (ITERATIONS.series(Engine("chat")), 40),
    ):
        times, values = agent.timeline.window(series, 0, 1 << 62)
        assert len(times) > 1
        assert set(values) == {wanted}


def test_an_engine_that_hangs_lies_or_never_ends_costs_only_itself() -> None:
    with ExitStack() as stack:
        good, hung, lying, without_end = (
            stack.enter_context(serving(one)) for one in (page(), hangs, nonsense, endless)
        )
        names = {"good": good, "hung": hung, "lying": lying, "endless": without_end}
        agent = Agent(Found(*(place(server, name) for name, server in names.items())), QUICK)

        def failed(name: str, *reasons: str) -> bool:
            return any(agent.value(own.ENGINE_SCRAPE_FAILURES, ScrapeFault(name, reason)) for reason in reasons)

        agent.run(
            lambda: (
                failed("hung", "timeout") and failed("lying", "malformed") and failed("endless", "too_large", "timeout")
            ),
            lambda: "good" in agent.engines() and len(good.asked) > 5,
        )
        assert agent.engines() <= {"good"}
        for name in ("hung", "lying", "endless"):
            assert agent.value(own.ENGINE_UP, ScrapedEngine(name)) == 0


def test_an_engine_that_falls_silent_is_absent_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "joulespan.engines")
    with serving(page()) as server:
        found = Found(place(server, "chat"))
        agent = Agent(found)

        def breaks() -> bool:
            server.answer = nonsense
            return "chat" not in agent.engines()

        def returns() -> bool:
            server.answer = page()
            return "chat" in agent.engines()

        agent.run(lambda: "chat" in agent.engines(), breaks, returns)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"found vllm chat at {server.url}, on gpu0, by process",
        f"chat: {server.url} does not give its metrics: malformed",
        "chat: answers again",
    ]
    assert found.hastened


def test_a_new_name_ends_the_series_of_the_old_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "joulespan.engines")
    with serving(page()) as server:
        found = Found(place(server, "vllm:8000"))
        agent = Agent(found)

        def renamed() -> bool:
            found.now = [place(server, "chat")]
            return agent.engines() == {"chat"}

        agent.run(lambda: agent.engines() == {"vllm:8000"}, renamed)
        assert list(agent.collector.served()) == ["chat"]
    assert agent.value(own.ENGINE_UP, ScrapedEngine("vllm:8000")) is None
    assert f"vllm:8000 at {server.url} is called chat from now on" in caplog.messages


def test_an_engine_that_is_lost_leaves_nothing_but_its_history(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "joulespan.engines")
    with serving(page()) as server:
        found = Found(place(server, "chat"))
        agent = Agent(found)

        def lost() -> bool:
            found.now = ()
            return not agent.collector.served()

        agent.run(lambda: agent.engines() == {"chat"}, lost)
    assert agent.engines() == set()
    assert agent.value(own.ENGINE_UP, ScrapedEngine("chat")) is None
    assert caplog.messages[-1] == f"lost chat at {server.url}"
    assert len(agent.timeline.window(ITERATIONS.series(Engine("chat")), 0, 1 << 62)[0])


def test_gpus_that_change_change_where_it_runs_and_no_series() -> None:
    with serving(page()) as server:
        found = Found(place(server, "chat", ()))
        agent = Agent(found)

        def known() -> bool:
            found.now = [place(server, "chat")]
            return agent.collector.served() == {"chat": Served("vllm", (GPU,))}

        agent.run(lambda: "chat" in agent.engines(), known)


def test_a_search_that_fails_is_counted_and_goes_on() -> None:
    with serving(page()) as server:
        found = Found(place(server, "chat"))
        found.fails = True
        agent = Agent(found)
        agent.run(lambda: "chat" in agent.engines() and any("Runtime" in str(one) for one in agent.collector.samples()))


def test_what_is_old_is_dropped_whatever_became_of_the_thread() -> None:
    clock = FakeClock()
    agent = Agent(Found(), clock=clock)
    agent.snapshots.put_samples(Source(COLLECTOR, "chat"), [ITERATIONS(Engine("chat"), 1)], clock.now)
    clock.advance(30)
    list(agent.collector.samples())
    assert agent.engines() == {"chat"}
    clock.advance(10)
    list(agent.collector.samples())
    assert agent.engines() == set()


def test_a_page_that_takes_long_to_read_is_read_less_often() -> None:
    """A tenth of the time is its share: 0.2 s of reading are followed by 1.8 s of rest."""
    clock = FakeClock()
    agent = Agent(Found(), EngineCollectors(interval=Duration(1)), clock)
    assert agent.collector.next_after(clock.now, clock.now, 0.005) == clock.now + NS
    assert agent.collector.next_after(clock.now, clock.now + NS // 2, 0.2) == clock.now + 3 * NS


def test_stopping_takes_no_longer_than_a_hanging_engine_would() -> None:
    with serving(hangs) as server:
        agent = Agent(Found(place(server, "chat")))
        agent.run(lambda: server.asked)
        assert not any(thread.name == "engines" and thread.is_alive() for thread in threading.enumerate())


def test_a_row_is_stamped_with_the_time_of_its_answer() -> None:
    with serving(page(PAGE)) as server:
        agent = Agent(Found(place(server, "chat")))
        before = agent.clock.monotonic_ns()
        agent.run(lambda: "chat" in agent.engines())
        times, _ = agent.timeline.window(ITERATIONS.series(Engine("chat")), 0, 1 << 62)
        batch = agent.snapshots.current.batches[Source(COLLECTOR, "chat")]
    assert before < times[0] <= batch.time == times[-1] <= agent.clock.monotonic_ns()
