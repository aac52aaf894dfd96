# SPDX-License-Identifier: Apache-2.0
"""What simulated engines do to the GPUs of the demo: power, activity and links, all from the iterations."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from agent.clock import NS
from agent.simulation.batching import Batching
from agent.simulation.deployment import Deployment, Rates, SimulatedEngine
from agent.simulation.workload import Workload

EMPTY_WATTS: Final = 72.0
"""W of a GPU on which nothing runs; a watt more from GPU to GPU, so that a value of the wrong one shows."""
_GRAPHICS = 1
_ACTIVITY: Final = MappingProxyType(
    {
        _GRAPHICS: Rates(1.0, 1.0, 1.0, 1.0),
        2: Rates(0.80, 0.96, 0.70, 0.90),
        3: Rates(0.22, 0.45, 0.20, 0.30),
        4: Rates(0.04, 0.08, 0.05, 0.04),
        5: Rates(0.12, 0.75, 0.10, 0.05),
        7: Rates(0.12, 0.75, 0.10, 0.05),
        10: Rates(0.80, 0.30, 0.35, 0.92),
        12: Rates(0.02, 0.03, 0.05, 0.04),
        13: Rates(0.03, 0.02, 0.04, 0.06),
    }
)
"""GPM metric id (1 graphics, 2 SM, 3 occupancy, 4 integer, 5 tensor, 7 HMMA, 10 DRAM, 12 FP32, 13 FP16) -> its share
of the time that each kind of work takes. Weights and KV cache are read from memory; prompts keep the tensor cores busy.
"""
_PCIE_SENT, _PCIE_RECEIVED = Rates(2e3, 0.0, 16.0, 0.0), Rates(40e3, 8.0, 8.0, 0.0)
"""Bytes: what is launched for each iteration, and token ids."""


class EngineLoad:
    """One of the GPUs of an engine; see agent.system.nvml.fake_load.Load."""

    def __init__(self, batching: Batching, deployment: Deployment, rank: int, started: float) -> None:
        """Share the engine, which began at `started` s of CLOCK_MONOTONIC, with its other ranks."""
        truth = deployment.truth
        self.memory_bytes = truth.memory_bytes
        self._batching = batching
        self._started = started
        self._idle_watts = truth.idle_watts[rank]
        self._share = truth.shares[rank]
        self._joules = truth.joules
        self._nvlink_bytes = truth.nvlink_bytes
        self._seconds = {metric: truth.seconds.times(shares) for metric, shares in _ACTIVITY.items()}

    def energy(self, t: float) -> float:
        """See Load."""
        return self._idle_watts * t + self._share * self._of(self._joules, t)

    def busy_seconds(self, t: float) -> float:
        """See Load."""
        return self.active_seconds(_GRAPHICS, t)

    def active_seconds(self, metric: int, t: float) -> float:
        """See Load."""
        rates = self._seconds.get(metric)
        return 0.0 if rates is None else self._of(rates, t)

    def nvlink_bytes(self, t: float) -> tuple[float, float]:
        """See Load."""
        work = self._batching.work(t - self._started)
        total = self._nvlink_bytes * (work.prefill_tokens + work.decode_tokens)
        return total, total

    def pcie_bytes(self, t: float) -> tuple[float, float]:
        """See Load."""
        return self._of(_PCIE_SENT, t), self._of(_PCIE_RECEIVED, t)

    def _of(self, rates: Rates, t: float) -> float:
        return rates.of(self._batching.work(t - self._started))


class NoLoad:
    """A GPU on which nothing runs; see agent.system.nvml.fake_load.Load."""

    memory_bytes = 0

    def __init__(self, index: int) -> None:
        """Let it idle."""
        self._watts = EMPTY_WATTS + index

    def energy(self, t: float) -> float:
        """See Load."""
        return self._watts * t

    def busy_seconds(self, _t: float) -> float:
        """See Load."""
        return 0.0

    def active_seconds(self, _metric: int, _t: float) -> float:
        """See Load."""
        return 0.0

    def nvlink_bytes(self, _t: float) -> tuple[float, float]:
        """See Load."""
        return 0.0, 0.0

    def pcie_bytes(self, _t: float) -> tuple[float, float]:
        """See Load."""
        return 0.0, 0.0


def loads(
    gpus: int, engines: Iterable[SimulatedEngine], deployments: Mapping[str, Deployment]
) -> list[EngineLoad | NoLoad]:
    """Say for each GPU of a node what runs on it. Raises KeyError for an engine that is not deployed."""
    found: list[EngineLoad | NoLoad] = [NoLoad(index) for index in range(gpus)]
    for engine in engines:
        deployment = deployments[engine.name]
        batching = Batching(deployment, Workload(deployment.traffic, deployment.seed))
        for rank, gpu in enumerate(deployment.gpus):
            found[gpu] = EngineLoad(batching, deployment, rank, engine.started_ns / NS)
    return found


def holders(engines: Iterable[SimulatedEngine], deployments: Mapping[str, Deployment]) -> dict[int, tuple[int, int]]:
    """Say for each GPU that an engine holds: the process, and its bytes."""
    return {
        gpu: (engine.pid, deployments[engine.name].truth.memory_bytes)
        for engine in engines
        for gpu in deployments[engine.name].gpus
    }
