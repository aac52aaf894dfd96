# SPDX-License-Identifier: Apache-2.0
"""What every GPU is and where it sits. Read once; again after a driver restart."""

from collections.abc import Iterable

from agent.catalogue.gpu import GPU_INFO, PLATFORM_INFO
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target
from agent.entities import GpuInfo, Platform
from agent.metric import Sample


def _open(target: Target) -> Read:
    gpu, who = target.gpu, target.device.identity
    info = GpuInfo(
        gpu,
        model=who.model,
        serial=who.serial,
        driver=target.driver_version,
        vbios=who.vbios,
        cuda=target.cuda_version,
        architecture=who.architecture,
        capability=who.capability,
        pci=who.pci,
        nvml_index=who.index,
        minor=who.minor,
        gsp=who.gsp,
        part_number=who.part_number,
    )

    def read() -> Iterable[Sample]:
        yield GPU_INFO(info, 1)
        if place := target.device.platform():
            yield PLATFORM_INFO(
                Platform(gpu, place.chassis, place.slot, place.tray, place.host, place.module, place.peer), 1
            )

    return read


COLLECTOR = GpuCollector("gpu_identity", Cadence.ONCE, _open)
