# SPDX-License-Identifier: Apache-2.0
"""What a GPU's multiprocessors really do: GPM, on Hopper and later, for GPUs that are not split by MIG."""

from collections.abc import Iterable

from agent.catalogue.gpu import (
    DRAM_ACTIVE,
    GPM_NVLINK,
    GPM_PCIE,
    GRAPHICS_ACTIVE,
    PIPE_ACTIVE,
    SM_ACTIVE,
    SM_OCCUPANCY,
)
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target
from agent.entities import GpuIo, GpuPipe
from agent.metric import Sample

_THROUGHPUT = {"pcie": GPM_PCIE, "nvlink": GPM_NVLINK}


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device

    def read() -> Iterable[Sample]:
        if not (gpm := device.gpm()):
            return
        for metric, ratio in (
            (GRAPHICS_ACTIVE, gpm.graphics_active),
            (SM_ACTIVE, gpm.sm_active),
            (SM_OCCUPANCY, gpm.sm_occupancy),
            (DRAM_ACTIVE, gpm.dram_active),
        ):
            if ratio is not None:
                yield metric(gpu, ratio)
        for pipe, ratio in gpm.pipes.items():
            yield PIPE_ACTIVE(GpuPipe(gpu, pipe), ratio)
        for (link, direction), rate in gpm.throughput.items():
            yield _THROUGHPUT[link](GpuIo(gpu, direction), rate)

    return read


COLLECTOR = GpuCollector("gpu_activity", Cadence.NORMAL, _open)
