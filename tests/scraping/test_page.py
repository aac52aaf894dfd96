# SPDX-License-Identifier: Apache-2.0
"""One engine's page over a real connection: what it becomes, and what each way to fail costs."""

import asyncio
import socket
import threading

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from agent.catalogue.engine import ITERATIONS, KV_CACHE_UTILIZATION, REQUESTS_RUNNING, REQUESTS_WAITING, TOKENS
from agent.clock import FakeClock
from agent.entities import Engine, EngineModel, EngineTokens
from agent.metric import Distribution, Series
from agent.scraping.page import EnginePage, Later, Place, Taken
from agent.scraping.probe import probe
from agent.system.http_client import Target
from tests.scraping.server import OTHER, PAGE, Answer, EngineServer, endless, hangs, nonsense, page, serving

MODEL = EngineModel("chat", "m")


def reading(
    server: EngineServer, *, kind: str | None = "vllm", limit: int = 1 << 20, timeout: float = 30
) -> EnginePage:
    place = Place("chat", Target("127.0.0.1", server.port), "process", kind)
    return EnginePage(place, FakeClock(), limit=limit, timeout=timeout)


def values(taken: Taken) -> dict[Series, float]:
    assert taken.batch is not None
    return {sample.series: sample.value for sample in taken.batch.samples()}


def test_a_page_becomes_a_batch_and_a_row_for_the_ledger() -> None:
    with serving(page()) as server:
        taken = asyncio.run(reading(server).scrape())
    found = values(taken)
    assert found[REQUESTS_RUNNING.series(MODEL)] == 3
    assert found[KV_CACHE_UTILIZATION.series(MODEL)] == 0.25
    assert taken.row is not None
    assert dict(zip(taken.row.series, taken.row.values, strict=True)) == {
        REQUESTS_RUNNING.series(MODEL): 3,
        REQUESTS_WAITING.series(MODEL): 1,
        TOKENS.series(EngineTokens("chat", "m", "output")): 70,
        ITERATIONS.series(Engine("chat")): 40,
    }
    assert taken.status.up
    assert taken.time == taken.status.last_success == FakeClock().monotonic_ns()


def test_the_layout_is_the_same_object_while_the_series_are() -> None:
    with serving(page()) as server:
        engine = reading(server)
        first = asyncio.run(engine.scrape())
        server.answer = page(PAGE.replace(b"3.0", b"4.0"))
        second = asyncio.run(engine.scrape())
    assert first.batch is not None
    assert second.batch is not None
    assert second.batch.series is first.batch.series
    assert first.row is not None
    assert second.row is not None
    assert second.row.series is first.row.series
    assert values(second)[REQUESTS_RUNNING.series(MODEL)] == 4


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (hangs, "timeout"),
        (nonsense, "malformed"),
        (endless, "too_large"),
        (page(OTHER), "unrecognised"),
        (page(b""), "unrecognised"),
        (page(at="/elsewhere"), "status_404"),
        (page(status="503 Service Unavailable"), "status_503"),
        (page(status="302 Found"), "status_302"),
    ],
)
def test_a_failure_is_told_by_its_reason_and_leaves_nothing(answer: Answer, reason: str) -> None:
    with serving(answer) as server:
        taken = asyncio.run(reading(server, timeout=0.3 if answer is hangs else 30).scrape())
    assert (taken.batch, taken.row, taken.status.up) == (None, None, False)
    assert (taken.status.failure, taken.status.failures) == (reason, {reason: 1})


def test_after_a_failure_it_is_read_again_and_its_failures_are_still_counted() -> None:
    with serving(page()) as server:
        engine = reading(server)
        assert asyncio.run(engine.scrape()).status.up
        server.answer = nonsense
        assert not asyncio.run(engine.scrape()).status.up
        server.answer = page()
        taken = asyncio.run(engine.scrape())
    assert taken.status.up
    assert taken.status.failures == {"malformed": 1}


def test_histograms_are_made_when_they_are_looked_at_and_once() -> None:
    with serving(page()) as server:
        taken = asyncio.run(reading(server).scrape())
    assert taken.batch is not None
    found = [one.series.metric.name for one in taken.batch.distributions]
    assert found == ["joulespan.engine.iteration.tokens"]
    assert len(taken.batch.distributions) == 1
    assert taken.batch.distributions[0] is taken.batch.distributions[0:1][0]
    assert taken.batch.distributions[0].counts == [30, 10]


def test_a_fault_in_making_histograms_costs_them_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> list[Distribution]:
        raise ValueError("a page that nobody thought of")

    later = Later(fails, threading.Lock())
    assert list(later) == []
    assert len(later) == 0
    assert len(caplog.records) == 1


def test_lines_that_cannot_be_read_are_counted_and_cost_only_themselves() -> None:
    with serving(page(PAGE + b"vllm:broken{ 1\n")) as server:
        taken = asyncio.run(reading(server).scrape())
    assert taken.status.up
    assert taken.status.dropped == {"malformed": 1}


def test_the_kind_of_a_configured_engine_is_learnt_from_its_page_and_may_change() -> None:
    with serving(page(OTHER)) as server:
        engine = reading(server, kind=None)
        assert asyncio.run(engine.scrape()).status.failure == "unrecognised"
        server.answer = page()
        assert asyncio.run(engine.scrape()).status.place.kind == "vllm"
        server.answer = page(PAGE.replace(b"vllm:", b"sglang:"))
        assert asyncio.run(engine.scrape()).status.place.kind == "sglang"


@pytest.mark.parametrize(
    ("answer", "outcome", "kind"),
    [
        (page(), "found", "vllm"),
        (page(PAGE, at="/prometheus/metrics"), "found", "vllm"),
        (page(OTHER), "no_engine", None),
        (page(PAGE, status="404 Not Found"), "no_engine", None),
        (page(PAGE, status="302 Found"), "no_engine", None),
        (endless, "found", "vllm"),
        (nonsense, "malformed", None),
        (hangs, "timeout", None),
    ],
)
def test_a_port_tells_whether_it_is_an_engines(answer: Answer, outcome: str, kind: str | None) -> None:
    with serving(answer) as server:
        answered = asyncio.run(probe("127.0.0.1", server.port))
    assert (answered.outcome, answered.kind) == (outcome, kind)
    assert len(server.asked) <= 2


def test_nobody_there_is_an_outcome_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    assert asyncio.run(probe("127.0.0.1", port)).outcome == "refused"


def test_prometheus_client_keeps_the_colons_of_names_for_us() -> None:
    """In OpenMetrics it puts underscores in their place unless it is asked not to."""
    registry = CollectorRegistry()
    Gauge("vllm:num_requests_running", "Running.", ["model_name"], registry=registry).labels("m").set(2)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        place = Place("chat", Target("127.0.0.1", server.server_port), "process", "vllm")
        taken = asyncio.run(EnginePage(place, FakeClock(), limit=1 << 20, timeout=30).scrape())
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert values(taken)[REQUESTS_RUNNING.series(MODEL)] == 2
