# SPDX-License-Identifier: Apache-2.0
"""Averaged power of every GPU, by the part of the board."""

from agent.catalogue.gpu import POWER_AVERAGE
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.entities import GpuScope
from agent.metric import Sample
from agent.system.nvml import fields as nvml

_SCOPES = {
    "gpu": nvml.POWER_AVERAGE,
    "module": nvml.POWER_AVERAGE.of(nvml.SCOPE_MODULE),
    "memory": nvml.POWER_AVERAGE.of(nvml.SCOPE_MEMORY),
}


def _open(target: Target) -> Read:
    batch = FieldSamples(
        target.device, {POWER_AVERAGE.series(GpuScope(target.gpu, scope)): field for scope, field in _SCOPES.items()}
    )

    def read() -> list[Sample]:
        return [sample for sample in batch.samples() if sample.value > 0]

    return read


COLLECTOR = GpuCollector("gpu_power", Cadence.NORMAL, _open)
