# SPDX-License-Identifier: Apache-2.0
"""The C2C links between the GPUs and the CPU of a superchip."""

from agent.catalogue.links import C2C_BANDWIDTH, C2C_ERRORS, C2C_LINKS, C2C_UP
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.entities import NvLink, NvLinkError
from agent.metric import Series
from agent.system.nvml import fields as nvml
from agent.system.nvml.fields import Field

_MAX_LINKS = 14
"""GPM counts C2C links 0 to 13."""
_ERRORS = {"crc": nvml.C2C_CRC}
_ERRORS_DETAIL = {"replay": nvml.C2C_REPLAY, "replay_back_to_back": nvml.C2C_REPLAY_B2B}


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device
    (count,) = device.fields([nvml.C2C_COUNT]).read()
    fields: dict[Series, Field | tuple[Field, ...]] = {C2C_LINKS.series(gpu): nvml.C2C_COUNT}
    for link in range(min(int(count or 0), _MAX_LINKS)):
        fields[C2C_UP.series(NvLink(gpu, link))] = nvml.C2C_STATUS.of(link)
        if target.detail:
            fields[C2C_BANDWIDTH.series(NvLink(gpu, link))] = nvml.C2C_SPEED.of(link)
        for error, field in {**_ERRORS, **(_ERRORS_DETAIL if target.detail else {})}.items():
            fields[C2C_ERRORS.series(NvLinkError(gpu, link, error))] = field.of(link)
    return FieldSamples(device, fields if count else {}).samples


COLLECTOR = GpuCollector("gpu_c2c", Cadence.SLOW, _open)
