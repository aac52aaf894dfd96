# SPDX-License-Identifier: Apache-2.0
"""The NVLink fabric a GPU has joined: NVL72-class domains and NVSwitch systems."""

from collections.abc import Iterable

from agent.catalogue.gpu import FABRIC_INFO
from agent.catalogue.health import FABRIC_HEALTH, FABRIC_STATE, FABRIC_STATUS
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target
from agent.entities import Fabric, GpuError, GpuState
from agent.metric import Sample


def _open(target: Target) -> Read:
    gpu = target.gpu

    def read() -> Iterable[Sample]:
        if not (fabric := target.device.fabric()):
            return
        yield FABRIC_STATE(GpuState(gpu, fabric.state), 1)
        yield FABRIC_STATUS(gpu, fabric.status)
        if fabric.state == "completed":
            yield FABRIC_INFO(Fabric(gpu, fabric.cluster, fabric.clique), 1)
        for problem, bad in fabric.problems.items():
            yield FABRIC_HEALTH(GpuError(gpu, problem), bad)

    return read


COLLECTOR = GpuCollector("gpu_fabric", Cadence.SLOW, _open)
