# SPDX-License-Identifier: Apache-2.0
"""The PCIe link of every GPU."""

from collections.abc import Iterable

from agent.catalogue.links import (
    PCIE_ERRORS,
    PCIE_GENERATION,
    PCIE_GENERATION_LIMIT,
    PCIE_REPLAYS,
    PCIE_WIDTH,
    PCIE_WIDTH_LIMIT,
)
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.entities import GpuError
from agent.metric import Sample
from agent.system.nvml import fields as nvml

_ERRORS = {
    "correctable": nvml.PCIE_CORRECTABLE,
    "non_fatal": nvml.PCIE_NON_FATAL,
    "fatal": nvml.PCIE_FATAL,
    "recovery": nvml.PCIE_RECOVERIES,
}
_DETAIL = {
    "replay_rollover": nvml.PCIE_REPLAY_ROLLOVERS,
    "nak_received": nvml.PCIE_NAKS_RECEIVED,
    "nak_sent": nvml.PCIE_NAKS_SENT,
    "receiver": nvml.PCIE_RECEIVER,
    "bad_tlp": nvml.PCIE_BAD_TLP,
    "bad_dllp": nvml.PCIE_BAD_DLLP,
    "unsupported_request": nvml.PCIE_UNSUPPORTED_REQUEST,
    "lcrc": nvml.PCIE_LCRC,
    "lane": nvml.PCIE_LANE,
}


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device
    errors = {**_ERRORS, **(_DETAIL if target.detail else {})}
    batch = FieldSamples(
        device,
        {
            PCIE_REPLAYS.series(gpu): nvml.PCIE_REPLAYS,
            **{PCIE_ERRORS.series(GpuError(gpu, error)): field for error, field in errors.items()},
        },
    )

    def read() -> Iterable[Sample]:
        yield from batch.samples()
        link = device.pcie_link()
        for metric, value in (
            (PCIE_GENERATION, link.generation),
            (PCIE_GENERATION_LIMIT, link.generation_limit),
            (PCIE_WIDTH, link.width),
            (PCIE_WIDTH_LIMIT, link.width_limit),
        ):
            if value is not None:
                yield metric(gpu, value)

    return read


COLLECTOR = GpuCollector("gpu_pcie", Cadence.SLOW, _open)
