# SPDX-License-Identifier: Apache-2.0
"""How busy the fixed-function engines of every GPU are."""

from collections.abc import Iterable

from agent.catalogue.gpu import GPU_UTILIZATION
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target
from agent.entities import GpuTask
from agent.metric import Sample
from agent.system.nvml.device import Engine

_ENGINES: tuple[Engine, ...] = ("encoder", "decoder", "jpeg", "ofa")


def _open(target: Target) -> Read:
    def read() -> Iterable[Sample]:
        for engine in _ENGINES:
            if (ratio := target.device.engine_utilization(engine)) is not None:
                yield GPU_UTILIZATION(GpuTask(target.gpu, engine), ratio)

    return read


COLLECTOR = GpuCollector("gpu_media", Cadence.SLOW, _open)
