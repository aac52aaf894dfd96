# SPDX-License-Identifier: Apache-2.0
"""Requests to a simulated engine: the same for the same seed, and like those that clients send."""

from itertools import islice, pairwise
from statistics import mean, median, pstdev

import pytest

from agent.simulation import DEMO, Deployment
from agent.simulation.workload import BLOCK, ClientRequest, Workload

LLAMA = DEMO["llama-3.3-70b"]
DEPLOYMENTS = pytest.mark.parametrize("deployment", DEMO.values(), ids=list(DEMO))


def first(count: int, deployment: Deployment = LLAMA, seed: int = 7) -> list[ClientRequest]:
    return list(islice(Workload(deployment.traffic, seed), count))


def test_the_same_seed_gives_the_same_requests_and_another_one_others() -> None:
    assert first(500) == first(500)
    assert first(10) != first(10, seed=8)


@DEPLOYMENTS
def test_requests_come_in_order_at_the_rate_that_was_chosen_and_in_clumps(deployment: Deployment) -> None:
    arrivals = [request.arrival for request in first(6000, deployment)]
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    assert min(gaps) >= 0
    assert len(arrivals) / arrivals[-1] == pytest.approx(deployment.traffic.requests_per_second, rel=0.1)
    assert pstdev(gaps) / mean(gaps) > 1.2


def test_the_rate_swings() -> None:
    period = LLAMA.traffic.period
    phases = [request.arrival % period / period for request in first(8000)]
    busy, quiet = (sum(low < phase < low + 0.3 for phase in phases) for low in (0.1, 0.6))
    assert busy > 2 * quiet


def test_lengths_are_those_of_chats_and_no_prompt_is_cached_to_the_end() -> None:
    requests = first(5000)
    prompts = [request.prompt_tokens for request in requests]
    assert 450 < median(prompts) < 800
    assert 4000 < max(prompts) <= 8192
    assert 150 < median(request.outputs[0] for request in requests) < 210
    assert all(1 <= tokens <= request.max_tokens for request in requests for tokens in request.outputs)
    assert all(0 <= request.cached_tokens < request.prompt_tokens for request in requests)
    assert all(request.cached_tokens % BLOCK == 0 for request in requests)
    assert 0.2 < sum(request.cached_tokens for request in requests) / sum(prompts) < 0.6


def test_there_are_several_tenants_greedy_requests_parents_and_requests_for_two_answers() -> None:
    requests = first(3000)
    assert len({request.tenant for request in requests}) == 5
    assert {bool(request.temperature) for request in requests} == {True, False}
    assert {len(request.outputs) for request in requests} == {1, 2}
    traced = [request.traceparent for request in requests if request.traceparent]
    assert 0.2 < len(traced) / len(requests) < 0.6
    traces = [parent.split("-")[1] for parent in traced]
    assert max(traces.count(trace) for trace in set(traces)) >= 5, "no agent asked several things in one trace"
    assert len({request.request_id for request in requests}) == len(requests)
