# SPDX-License-Identifier: Apache-2.0
"""Energy, power and link bytes of every GPU, as often as the counters move: the input of the timeline."""

from collections.abc import Iterable

from agent.catalogue.gpu import ENERGY, POWER, POWER_MODULE
from agent.catalogue.links import GPU_NVLINK_IO, PCIE_IO
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.entities import GpuIo
from agent.metric import Sample
from agent.system.nvml import fields as nvml


def _open(target: Target) -> Read:
    gpu = target.gpu
    transmit, receive = GpuIo(gpu, "transmit"), GpuIo(gpu, "receive")
    power = {POWER.series(gpu), POWER_MODULE.series(gpu)}
    batch = FieldSamples(
        target.device,
        {
            ENERGY.series(gpu): nvml.ENERGY,
            POWER.series(gpu): nvml.POWER_INSTANT,
            POWER_MODULE.series(gpu): nvml.POWER_INSTANT.of(nvml.SCOPE_MODULE),
            GPU_NVLINK_IO.series(transmit): (
                nvml.NVLINK5_TX_BYTES.of(nvml.ALL_LINKS),
                nvml.NVLINK_TX.of(nvml.ALL_LINKS),
            ),
            GPU_NVLINK_IO.series(receive): (
                nvml.NVLINK5_RX_BYTES.of(nvml.ALL_LINKS),
                nvml.NVLINK_RX.of(nvml.ALL_LINKS),
            ),
            PCIE_IO.series(transmit): nvml.PCIE_TX_BYTES,
            PCIE_IO.series(receive): nvml.PCIE_RX_BYTES,
        },
    )

    def read() -> Iterable[Sample]:
        # Asked faster than the sensor refreshes, some drivers answer 0 W: no reading, not no power.
        return [sample for sample in batch.samples() if sample.value > 0 or sample.series not in power]

    return read


COLLECTOR = GpuCollector("gpu_energy", Cadence.FAST, _open)
