# SPDX-License-Identifier: Apache-2.0
"""How busy every GPU is by its coarse counters."""

from collections.abc import Iterable

from agent.catalogue.gpu import GPU_UTILIZATION, MEMORY_CONTROLLER_UTILIZATION, MMA_STALL
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.entities import GpuTask
from agent.metric import Sample
from agent.system.nvml import fields as nvml


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device
    stall = FieldSamples(device, {MMA_STALL.series(gpu): nvml.MMA_STALL})
    general = GpuTask(gpu, "general")

    def read() -> Iterable[Sample]:
        if rates := device.utilization():
            yield GPU_UTILIZATION(general, rates.gpu)
            yield MEMORY_CONTROLLER_UTILIZATION(gpu, rates.memory)
        yield from stall.samples()

    return read


COLLECTOR = GpuCollector("gpu_utilization", Cadence.NORMAL, _open)
