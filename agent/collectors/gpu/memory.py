# SPDX-License-Identifier: Apache-2.0
"""Device memory and the BAR1 window of every GPU."""

from collections.abc import Iterable

from agent.catalogue.gpu import (
    BAR1_LIMIT,
    BAR1_USAGE,
    CONFIDENTIAL_MEMORY,
    MEMORY_FREE,
    MEMORY_LIMIT,
    MEMORY_RESERVED,
    MEMORY_USAGE,
    MEMORY_UTILIZATION,
)
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target
from agent.entities import GpuLimit
from agent.metric import Sample


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device

    def read() -> Iterable[Sample]:
        if memory := device.memory():
            yield MEMORY_USAGE(gpu, memory.used)
            yield MEMORY_FREE(gpu, memory.free)
            yield MEMORY_LIMIT(gpu, memory.total)
            if memory.total:
                yield MEMORY_UTILIZATION(gpu, memory.used / memory.total)
            if memory.reserved is not None:
                yield MEMORY_RESERVED(gpu, memory.reserved)
        if bar1 := device.bar1():
            yield BAR1_USAGE(gpu, bar1.used)
            yield BAR1_LIMIT(gpu, bar1.total)
        for protection, size in (device.confidential_memory() or {}).items():
            yield CONFIDENTIAL_MEMORY(GpuLimit(gpu, protection), size)

    return read


COLLECTOR = GpuCollector("gpu_memory", Cadence.NORMAL, _open)
