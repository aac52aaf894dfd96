# SPDX-License-Identifier: Apache-2.0
"""The truth that the ledger is held against is the Shapley value of the game "who makes the engine run"."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from agent.simulation.batching import Batching, Finished, Iteration
from agent.simulation.deployment import Rates
from agent.simulation.workload import ClientRequest
from tests.accuracy.simulated import MODELS

TRUTH = MODELS[1].truth


def request(arrival: float, prompt: int, output: int, cached: int = 0) -> ClientRequest:
    return ClientRequest(arrival, f"r{arrival}", "t", prompt, cached, (output,), 4096, 0.0, 1.0, None)


CASES = [
    [request(0.0, 700, 9), request(0.02, 300, 4), request(0.06, 900, 6, cached=320)],
    [request(0.0, 64, 3), request(0.0001, 64, 3)],
    [request(0.0, 400, 12), request(0.01, 800, 2), request(0.02, 80, 5), request(0.03, 500, 8, cached=160)],
]


def played(requests: Sequence[ClientRequest]) -> tuple[list[Finished], list[Iteration]]:
    done: list[Finished] = []
    batching = Batching(MODELS[1], iter(requests), done.append)
    batching.advance(5.0)
    return done, batching.iterations()


def own(one: Finished, price: Rates) -> float:
    """What it costs by itself: its prompt is one chunk here, so the cache is read once."""
    steps, prompt = one.output_tokens - 1, one.request.prompt_tokens
    read = one.cached_tokens + steps * prompt + steps * (steps - 1) // 2
    return price.prefill_token * (prompt - one.cached_tokens) + price.decode_token * steps + price.kv_token * read


def cost(some: Sequence[Finished], iterations: Sequence[Iteration]) -> float:
    """What it costs to serve only these, in the iterations in which they were served."""
    run = [
        TRUTH.joules.iteration + TRUTH.engine_idle_watts * (one.end - one.start)
        for one in iterations
        if any(who.scheduled <= one.start and one.end <= who.last_token for who in some)
    ]
    return sum(run) + sum(own(who, TRUTH.joules) for who in some)


@pytest.mark.parametrize("requests", CASES)
def test_equal_shares_of_an_iteration_and_own_shares_of_the_rest_are_the_shapley_value(
    requests: list[ClientRequest],
) -> None:
    done, iterations = played(requests)
    assert len(done) == len(requests)
    orders = list(permutations(done))
    for one in done:
        value = 0.0
        for order in orders:
            before = order[: order.index(one)]
            value += cost([*before, one], iterations) - cost(before, iterations)
        assert one.joules == pytest.approx(value / len(orders), rel=1e-9)
