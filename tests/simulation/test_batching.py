# SPDX-License-Identifier: Apache-2.0
"""A simulated engine: the same however it is looked at, and no joule lost."""

from dataclasses import replace
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.simulation import DEMO, Deployment
from agent.simulation.batching import KEPT, Batching, Finished
from agent.simulation.deployment import Limits
from agent.simulation.workload import ClientRequest, Workload

LLAMA = DEMO["llama-3.3-70b"]
TRUTH = LLAMA.truth
DEPLOYMENTS = pytest.mark.parametrize("deployment", DEMO.values(), ids=list(DEMO))
REQUESTS = st.lists(
    st.builds(
        lambda arrival, cached, more, outputs: ask(arrival, cached + more, outputs, cached),
        st.floats(0, 20),
        st.integers(0, 500),
        st.integers(1, 9000),
        st.lists(st.integers(1, 300), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=40,
)


def ask(arrival: float, prompt: int, outputs: list[int], cached: int = 0) -> ClientRequest:
    return ClientRequest(arrival, f"{arrival}", "acme", prompt, cached, tuple(outputs), 512, 0.7, 1.0, None)


def run(requests: list[ClientRequest], deployment: Deployment = LLAMA) -> tuple[Batching, list[Finished]]:
    """Let an engine serve them all."""
    finished: list[Finished] = []
    engine = Batching(deployment, iter(sorted(requests)), finished.append)
    engine.advance(1e6)
    return engine, finished


def demo(deployment: Deployment) -> tuple[Batching, list[Finished]]:
    finished: list[Finished] = []
    return Batching(deployment, Workload(deployment.traffic, deployment.seed), finished.append), finished


@given(st.lists(st.floats(0, 30), max_size=20))
@settings(max_examples=20, deadline=None)
def test_what_happens_does_not_depend_on_when_one_looks(looks: list[float]) -> None:
    often, told = demo(LLAMA)
    once, told_at_once = demo(LLAMA)
    seen = [(look, often.work(look)) for look in sorted(looks)]
    often.advance(30.0)
    once.advance(30.0)
    assert told == told_at_once
    assert often.iterations() == once.iterations()
    assert seen == [(look, once.work(look)) for look, _ in seen]


@given(REQUESTS)
@settings(deadline=None)
def test_the_joules_of_the_requests_and_of_idling_are_those_of_the_gpus(requests: list[ClientRequest]) -> None:
    engine, finished = run(requests)
    until = max(done.last_token for done in finished) + 1.0
    work = engine.work(until)
    idle = TRUTH.engine_idle_watts * (until - TRUTH.seconds.of(work))
    drawn = TRUTH.joules.of(work) + TRUTH.engine_idle_watts * until
    assert sum(done.joules for done in finished) + idle == pytest.approx(drawn, rel=1e-9)


@given(REQUESTS)
@settings(deadline=None)
def test_every_sequence_is_served_once_in_order_and_within_the_limits(requests: list[ClientRequest]) -> None:
    small = replace(LLAMA, limits=Limits(sequences=8, batched_tokens=256))
    engine, finished = run(requests, small)
    wanted = sorted((request.request_id, output) for request in requests for output in request.outputs)
    assert sorted((done.request.request_id, done.output_tokens) for done in finished) == wanted
    assert [done.last_token for done in finished] == sorted(done.last_token for done in finished)
    for done in finished:
        assert done.request.arrival < done.queued <= done.scheduled < done.first_token <= done.last_token
        assert (done.first_token == done.last_token) is (done.output_tokens == 1)
    for one in engine.iterations():
        assert one.done.decode_tokens <= 8
        assert 0 < one.done.prefill_tokens + one.done.decode_tokens <= 256
    assert all(later.start >= earlier.end for earlier, later in pairwise(engine.iterations()))


@given(REQUESTS)
@settings(deadline=None)
def test_all_tokens_are_computed_except_those_in_the_prefix_cache(requests: list[ClientRequest]) -> None:
    alone = [request._replace(outputs=request.outputs[:1]) for request in requests]
    engine, _ = run(alone)
    work = engine.work(1e6)
    assert work.prefill_tokens == sum(request.prompt_tokens - request.cached_tokens for request in alone)
    assert work.decode_tokens == sum(request.outputs[0] - 1 for request in alone)


def test_a_request_that_is_alone_takes_what_the_truth_says() -> None:
    _, (done,) = run([ask(1.0, 1000, [11], cached=160)])
    seconds, joules = TRUTH.seconds, TRUTH.joules
    prefill = seconds.iteration + 840 * seconds.prefill_token + 160 * seconds.kv_token
    read = sum(range(1000, 1010))
    decode = 10 * (seconds.iteration + seconds.decode_token) + read * seconds.kv_token
    assert done.first_token - done.scheduled == pytest.approx(prefill)
    assert done.last_token - done.first_token == pytest.approx(decode)
    idle = TRUTH.engine_idle_watts
    assert done.prefill_joules == pytest.approx(
        joules.iteration + 840 * joules.prefill_token + 160 * joules.kv_token + idle * prefill
    )
    assert done.decode_joules == pytest.approx(
        10 * (joules.iteration + joules.decode_token) + read * joules.kv_token + idle * decode
    )


def test_the_second_answer_to_a_prompt_finds_the_first_ones_prompt_in_the_cache() -> None:
    engine, finished = run([ask(0.0, 1000, [20, 30])])
    assert [done.output_tokens for done in finished] == [20, 30]
    assert engine.work(1e6).prefill_tokens == 1000 + 1000 - 992


def test_what_comes_when_too_many_wait_is_refused_and_counted() -> None:
    full = replace(LLAMA, limits=Limits(sequences=4, waiting=8))
    engine, finished = run([ask(0.0, 8000, [100]) for _ in range(60)], full)
    assert engine.refused > 0
    assert len(finished) + engine.refused == 60


@DEPLOYMENTS
def test_an_engine_of_the_demo_is_busy_and_keeps_up(deployment: Deployment) -> None:
    engine, finished = demo(deployment)
    period = deployment.traffic.period
    busy = deployment.truth.seconds.of(engine.work(period)) / period
    assert 0.4 < busy <= 1.0
    assert engine.refused == 0
    asked = sum(len(one.outputs) for one in islice(Workload(deployment.traffic, deployment.seed), len(finished)))
    assert len(finished) > 0.9 * asked
    assert max(done.scheduled - done.queued for done in finished) < 10


def test_some_seconds_of_iterations_are_kept_and_older_ones_are_not_made_up() -> None:
    engine, _ = demo(LLAMA)
    last = engine.work(200.0)
    assert len(engine.iterations()) < 3 * KEPT / TRUTH.seconds.iteration
    assert 0 < engine.work(200.0 - KEPT).iterations < last.iterations
    with pytest.raises(ValueError, match="no longer known"):
        engine.work(100.0)
