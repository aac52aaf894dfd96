# SPDX-License-Identifier: Apache-2.0
"""Memory errors, repairs and what the driver says a GPU needs."""

from collections.abc import Iterable

from agent.catalogue.health import (
    BANK_REMAP_PENDING,
    BANK_REMAPPINGS,
    ECC_ERRORS,
    HW_ERRORS,
    RECOVERY_ACTION,
    REMAP_BANKS,
    REMAP_FAILURE,
    REMAP_PENDING,
    REMAPPED_ROWS,
    REPAIR_PENDING,
    RETIRED_PAGES,
    RETIRED_PENDING,
    SRAM_THRESHOLD,
    STATUS,
)
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.entities import Gpu, GpuAction, GpuCause, GpuEcc, GpuError, GpuState
from agent.metric import Sample, Series
from agent.system.nvml import fields as nvml
from agent.system.nvml.device import Device, EccLifetime, EccLocation, EccSeverity
from agent.system.nvml.fields import Field
from agent.system.nvml.names import RECOVERY_ACTIONS

_SEVERITIES: tuple[EccSeverity, ...] = ("corrected", "uncorrected")
_LIFETIMES: tuple[EccLifetime, ...] = ("volatile", "aggregate")
_LOCATIONS: tuple[EccLocation, ...] = ("dram", "sram")
_MORE_LOCATIONS: tuple[EccLocation, ...] = ("l1", "l2", "register_file", "texture", "cbu")


def _fields(gpu: Gpu, *, detail: bool) -> dict[Series, Field | tuple[Field, ...]]:
    fields: dict[Series, Field | tuple[Field, ...]] = {
        HW_ERRORS.series(GpuError(gpu, "corrected")): nvml.ECC_CORRECTED_AGGREGATE,
        HW_ERRORS.series(GpuError(gpu, "uncorrected")): nvml.ECC_UNCORRECTED_AGGREGATE,
        REMAPPED_ROWS.series(GpuCause(gpu, "corrected")): nvml.REMAPPED_CORRECTED,
        REMAPPED_ROWS.series(GpuCause(gpu, "uncorrected")): nvml.REMAPPED_UNCORRECTED,
        REMAP_PENDING.series(gpu): nvml.REMAP_PENDING,
        REMAP_FAILURE.series(gpu): nvml.REMAP_FAILURE,
        BANK_REMAPPINGS.series(GpuCause(gpu, "active")): nvml.BANKS_ACTIVE,
        BANK_REMAPPINGS.series(GpuCause(gpu, "inactive")): nvml.BANKS_INACTIVE,
        BANK_REMAP_PENDING.series(gpu): nvml.BANKS_PENDING,
        RETIRED_PAGES.series(GpuCause(gpu, "corrected")): nvml.RETIRED_CORRECTED,
        RETIRED_PAGES.series(GpuCause(gpu, "uncorrected")): nvml.RETIRED_UNCORRECTED,
        RETIRED_PENDING.series(gpu): nvml.RETIRED_PENDING,
    }
    if detail:
        fields[REMAPPED_ROWS.series(GpuCause(gpu, "corrected_inactive"))] = nvml.REMAPPED_CORRECTED_INACTIVE
        fields[REMAPPED_ROWS.series(GpuCause(gpu, "uncorrected_inactive"))] = nvml.REMAPPED_UNCORRECTED_INACTIVE
    return fields


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device
    batch = FieldSamples(device, _fields(gpu, detail=target.detail))
    recovery = device.fields([nvml.RECOVERY_ACTION])
    locations = _LOCATIONS + (_MORE_LOCATIONS if target.detail else ())

    def read() -> Iterable[Sample]:
        yield from batch.samples()
        yield from _ecc(gpu, device, locations)
        if target.detail and (histogram := device.remap_histogram()):
            for spare, banks in histogram._asdict().items():
                yield REMAP_BANKS(GpuCause(gpu, spare), banks)
        for kind, pending in (device.repairs_pending() or {}).items():
            yield REPAIR_PENDING(GpuCause(gpu, kind), pending)
        if (exceeded := device.sram_threshold_exceeded()) is not None:
            yield SRAM_THRESHOLD(gpu, exceeded)
        yield from _status(gpu, recovery.read()[0])

    return read


def _ecc(gpu: Gpu, device: Device, locations: tuple[EccLocation, ...]) -> Iterable[Sample]:
    for severity in _SEVERITIES:
        for lifetime in _LIFETIMES:
            for location in locations:
                if (count := device.ecc_errors(severity, lifetime, location)) is not None:
                    yield ECC_ERRORS(GpuEcc(gpu, severity, location, lifetime), count)


def _status(gpu: Gpu, action: float | None) -> Iterable[Sample]:
    """Say what the driver asks for. A GPU that answers and needs nothing is ok."""
    if action is not None:
        yield RECOVERY_ACTION(GpuAction(gpu, RECOVERY_ACTIONS.get(int(action), str(int(action)))), 1)
    yield STATUS(GpuState(gpu, "degraded" if action else "ok"), 1)


COLLECTOR = GpuCollector("gpu_health", Cadence.SLOW, _open)
