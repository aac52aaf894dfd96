# SPDX-License-Identifier: Apache-2.0
"""MIG instances: their memory and, on Hopper and later, their activity."""

from collections.abc import Iterable

from agent.catalogue.gpu import (
    MIG_DRAM_ACTIVE,
    MIG_GRAPHICS_ACTIVE,
    MIG_MEMORY_LIMIT,
    MIG_MEMORY_USAGE,
    MIG_PIPE_ACTIVE,
    MIG_SM_ACTIVE,
    MIG_SM_COUNT,
    MIG_SM_OCCUPANCY,
)
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target
from agent.entities import Gpu, MigInstance, MigPipe
from agent.metric import Sample
from agent.system.nvml.device import MigDevice


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device

    def read() -> Iterable[Sample]:
        for mig in device.mig_instances():
            yield from _instance(mig, mig_instance(gpu, mig))

    return read


def mig_instance(gpu: Gpu, mig: MigDevice) -> MigInstance:
    """Name an instance by its GPU, its profile and its place."""
    who = mig.identity
    return MigInstance(who.uuid, f"{gpu.name}/{who.profile}/{who.gpu_instance}/{who.compute_instance}", gpu.id)


def _instance(mig: MigDevice, entity: MigInstance) -> Iterable[Sample]:
    if mig.identity.multiprocessors is not None:
        yield MIG_SM_COUNT(entity, mig.identity.multiprocessors)
    if memory := mig.memory():
        yield MIG_MEMORY_USAGE(entity, memory.used)
        yield MIG_MEMORY_LIMIT(entity, memory.total)
    if not (gpm := mig.gpm()):
        return
    for metric, ratio in (
        (MIG_GRAPHICS_ACTIVE, gpm.graphics_active),
        (MIG_SM_ACTIVE, gpm.sm_active),
        (MIG_SM_OCCUPANCY, gpm.sm_occupancy),
        (MIG_DRAM_ACTIVE, gpm.dram_active),
    ):
        if ratio is not None:
            yield metric(entity, ratio)
    for pipe, ratio in gpm.pipes.items():
        yield MIG_PIPE_ACTIVE(MigPipe(entity, pipe), ratio)


COLLECTOR = GpuCollector("gpu_mig", Cadence.NORMAL, _open)
