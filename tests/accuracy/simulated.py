# SPDX-License-Identifier: Apache-2.0
"""Simulated engines whose energies are known, seen as the agent would see them.

What is seen of the energy: a counter that the driver moves every 100 ms or so, by what a sensor says that errs and may
look at the power only part of the time, read a moment later. What is seen of the engine: a page each second, and a span
for each sequence that ended, except for those that send none.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.simulation.batching import Batching, Finished
from agent.simulation.deployment import Deployment, Limits, Rates, Traffic, Truth
from agent.simulation.workload import BLOCK, ClientRequest, Workload

Numbers = NDArray[np.float64]

LEAD: Final = 8.0
"""Seconds before the first request: the GPUs are idle, and the agent sees it."""


def _deployment(name: str, gpus: int, seconds: Rates, joules: Rates, idle: float) -> Deployment:
    return Deployment(
        name=name,
        model=name,
        gpus=tuple(range(gpus)),
        seed=1,
        truth=Truth(
            seconds=seconds,
            joules=joules,
            idle_watts=tuple(idle + 2.0 * rank for rank in range(gpus)),
            shares=tuple((1 + 0.02 * (rank - (gpus - 1) / 2)) / gpus for rank in range(gpus)),
            nvlink_bytes=0.0,
            memory_bytes=0,
        ),
        traffic=Traffic(requests_per_second=1.0),
    )


MODELS: Final = (
    _deployment("1.5B", 1, Rates(4.0e-3, 4.5e-6, 6e-6, 4e-9), Rates(0.9, 2.4e-3, 1.2e-3, 1.5e-6), 75.0),
    _deployment("8B", 1, Rates(8.0e-3, 2.4e-5, 1.2e-5, 1.6e-8), Rates(2.6, 0.0128, 4.5e-3, 5.5e-6), 78.0),
    _deployment("70B, 4 GPUs", 4, Rates(14e-3, 70e-6, 40e-6, 41e-9), Rates(12.9, 0.148, 0.042, 49e-6), 115.0),
    _deployment("405B FP8, 8 GPUs", 8, Rates(24e-3, 84e-6, 50e-6, 33e-9), Rates(46.0, 0.36, 0.12, 9e-5), 118.0),
)
"""Sizes of models, with what work takes in the order of magnitude that H100 boards take; chosen, not measured."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is simulated.

    `unseen` is the share of requests that send no span, `cached` the share of the prompts that is found in the cache,
    where it is said, `noise` the relative deviation of what the sensor says of each step of the counter, and
    `part_time` the share of the time in which it looks.
    """

    deployment: Deployment
    rate: float
    seconds: float = 420.0
    seed: int = 1
    unseen: float = 0.0
    cached: float | None = None
    kv_tokens: int = 1 << 20
    noise: float = 0.03
    part_time: float = 1.0
    counter_step: float = 0.1


class Scrapes(NamedTuple):
    """What pages said: s, sequences running, and cumulative tokens and iterations."""

    times: Numbers
    running: Numbers
    input: Numbers
    cached: Numbers
    output: Numbers
    iterations: Numbers


class Observed(NamedTuple):
    """A run as it was seen; s since the start, J of each GPU's counter. Of `done`, only those in `sent` sent a span."""

    case: Case
    times: Numbers
    joules: list[Numbers]
    scrapes: Scrapes
    done: list[Finished]
    sent: NDArray[np.bool_]
    preempted: int


def observe(case: Case) -> Observed:
    """Simulate it, to the end of `seconds`."""
    deployment = replace(
        case.deployment,
        traffic=Traffic(case.rate, period=200.0, swing=0.5),
        limits=Limits(sequences=256, kv_tokens=case.kv_tokens),
    )
    done: list[Finished] = []
    batching = Batching(deployment, _requests(deployment, case), done.append)
    random = np.random.default_rng(case.seed)
    fine = case.counter_step * case.part_time
    ends = np.arange(1, int(case.seconds / case.counter_step) + 1) * case.counter_step
    joules, scrapes = np.zeros(len(ends)), []
    for place, end in enumerate(ends):
        # The sensor looks at the last part of each step.
        before = _joules(deployment, batching, end - fine)
        joules[place] = (_joules(deployment, batching, end) - before) / case.part_time
        if (place + 1) % round(1 / case.counter_step) == 0:
            scrapes.append((end, *_page(batching, end)))
    noisy = [
        np.cumsum(
            (joules * share + deployment.truth.idle_watts[rank] * case.counter_step)
            * (1 + case.noise * random.standard_normal(len(ends)))
        )
        for rank, share in enumerate(deployment.truth.shares)
    ]
    # The counter shows whole mJ, at the end of each of its steps; we read it when we get to it.
    read = ends + random.uniform(0.0, 0.02, len(ends))
    shown = [np.floor(one * 1e3) / 1e3 for one in noisy]
    sent = random.random(len(done)) >= case.unseen
    columns = np.array(scrapes).T
    return Observed(case, read, shown, Scrapes(*columns), done, sent, batching.preempted)


def _page(batching: Batching, time: float) -> tuple[float, ...]:
    """Say what vLLM's page says: running, prompt tokens computed and cached, tokens made, iterations."""
    work = batching.work(time)
    made = work.decode_tokens + batching.prompts
    return (batching.running, batching.computed_tokens, batching.cached_tokens, made, math.floor(work.iterations))


def _joules(deployment: Deployment, batching: Batching, time: float) -> float:
    return deployment.truth.joules.of(batching.work(time))


def _requests(deployment: Deployment, case: Case) -> Iterator[ClientRequest]:
    random = Random(case.seed)
    for request in Workload(deployment.traffic, case.seed):
        cached = request.cached_tokens
        if case.cached is not None:
            share = min(1.0, random.betavariate(3 * case.cached, 3 * (1 - case.cached)))
            cached = int(share * (request.prompt_tokens - 1)) // BLOCK * BLOCK
        yield request._replace(arrival=request.arrival + LEAD, cached_tokens=cached)
