# SPDX-License-Identifier: Apache-2.0
"""The modes an administrator has set on every GPU."""

from collections.abc import Iterable

from agent.catalogue.gpu import GPU_MODE_INFO
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target
from agent.entities import GpuMode
from agent.metric import Sample


def _open(target: Target) -> Read:
    def read() -> Iterable[Sample]:
        modes = target.device.modes()
        yield GPU_MODE_INFO(
            GpuMode(
                target.gpu,
                persistence=modes.persistence,
                compute=modes.compute,
                mig=modes.mig,
                ecc=modes.ecc,
                addressing=modes.addressing,
                confidential=target.confidential_compute,
                profiles=modes.profiles,
            ),
            1,
        )

    return read


COLLECTOR = GpuCollector("gpu_modes", Cadence.SLOW, _open)
