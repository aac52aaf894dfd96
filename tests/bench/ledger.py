# SPDX-License-Identifier: Apache-2.0
"""What the ledger costs: a million requests over an hour on eight GPUs after the fact, and a thousand a second live.

Requests, energies and pages are made up; what they come to does not matter here. Times are CPU seconds of this process.
"""

import time
from typing import NamedTuple

import numpy as np

from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, TOKENS
from agent.catalogue.gpu import ENERGY
from agent.clock import NS
from agent.entities import Engine, EngineModel, EngineTokens, Gpu
from agent.processors.ledger.book import EngineKey
from agent.processors.ledger.ledger import Ledger
from agent.processors.ledger.work import Work
from agent.snapshot import Source
from agent.timeline import Timeline

GPUS = tuple(Gpu(f"GPU-{index}", f"gpu{index}") for index in range(8))
_STEP = 0.1
_HOUR = 3600.0
_MILLION = 1_000_000
_LENGTH = 8.0
"""Mean seconds of a request."""


class Cost(NamedTuple):
    """CPU seconds for a million requests after the fact, and the share of a core at a thousand a second live."""

    million: float
    live: float


def measure(seconds: float = 60.0) -> Cost:
    """Measure both; the second over so many simulated seconds."""
    return Cost(_million(), _live(seconds))


def _million() -> float:
    timeline, work = _timeline(_HOUR, _MILLION / _HOUR), _work(_MILLION, _HOUR)
    ledger = Ledger(timeline, 0, _STEP)
    numbers = np.arange(_MILLION)
    began = time.process_time()
    ledger.add(EngineKey("engine", GPUS), numbers, np.zeros_like(numbers), work)
    ledger.close(round(_HOUR / _STEP))
    return time.process_time() - began


def _live(seconds: float, rate: float = 1000.0, lateness: float = 10.0) -> float:
    """Requests come 3 s after they ended on average; the first half warms up."""
    timeline, work = _timeline(seconds, rate), _work(round(rate * seconds), seconds)
    ledger, key = Ledger(timeline, 0, _STEP), EngineKey("engine", GPUS)
    comes = work.end + 3.0
    used = 0.0
    for now in np.arange(1.0, seconds, 1.0):
        come = np.flatnonzero((comes <= now) & (comes > now - 1))
        began = time.process_time()
        if len(come):
            ledger.add(key, come, np.zeros_like(come), work.take(come))
        if int(now) % 2 == 0:
            ledger.close(max(0, round((now - lateness) / _STEP)))
        used += (time.process_time() - began) * (now >= seconds / 2)
    return used / (seconds / 2)


def _work(count: int, seconds: float) -> Work:
    random = np.random.default_rng(1)
    begin = np.sort(random.uniform(0, seconds - 1, count))
    first = begin + random.exponential(0.2, count)
    end = np.minimum(first + random.exponential(_LENGTH, count), seconds)
    prompt = random.integers(50, 3000, count).astype(np.float64)
    cached = np.floor(prompt * random.uniform(0, 0.8, count))
    return Work(begin, first, np.maximum(first, end), prompt - cached, cached, np.maximum(1, (end - first) * 40), prompt)


def _timeline(seconds: float, rate: float) -> Timeline:
    found = Timeline(seconds + 60, _STEP)
    random = np.random.default_rng(2)
    for gpu in GPUS:
        joules = np.cumsum(random.uniform(30, 60, round(seconds / _STEP) + 1))
        series = (ENERGY.series(gpu),)
        for step, value in enumerate(joules.tolist()):
            found.append(Source("gpu_energy", gpu.id), series, int(step * _STEP * NS), (value,))
    kinds = [TOKENS.series(EngineTokens("engine", "m", kind)) for kind in ("input", "cached", "output")]
    series = (REQUESTS_RUNNING.series(EngineModel("engine", "m")), ITERATIONS.series(Engine("engine")), *kinds)
    for second in range(int(seconds) + 1):
        row = (rate * _LENGTH, second * 40, second * rate * 900, second * rate * 600, second * rate * 320)
        found.append(Source("engines", "engine"), series, second * NS, row)
    return found
