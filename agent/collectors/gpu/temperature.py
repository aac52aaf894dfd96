# SPDX-License-Identifier: Apache-2.0
"""Temperatures of every GPU and how far they are from slowing it down."""

from collections.abc import Iterable

from agent.catalogue.gpu import TEMPERATURE, TEMPERATURE_MARGIN
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.entities import GpuSensor
from agent.metric import Sample
from agent.system.nvml import fields as nvml


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device
    core, hotspot = TEMPERATURE.series(GpuSensor(gpu, "gpu")), TEMPERATURE.series(GpuSensor(gpu, "hotspot"))
    memory = TEMPERATURE.series(GpuSensor(gpu, "memory"))
    batch = FieldSamples(device, {core: nvml.GPU_TEMPERATURE, memory: nvml.MEMORY_TEMPERATURE})

    def read() -> Iterable[Sample]:
        found = dict(batch.samples())
        # The field has fractions of a degree, on new drivers.
        if core not in found and (degrees := device.temperature()) is not None:
            found[core] = degrees
        if (degrees := device.hotspot()) is not None:
            found[hotspot] = degrees
        yield from (Sample(series, value) for series, value in found.items())
        if (margin := device.temperature_margin()) is not None:
            yield TEMPERATURE_MARGIN(gpu, margin)

    return read


COLLECTOR = GpuCollector("gpu_temperature", Cadence.NORMAL, _open)
