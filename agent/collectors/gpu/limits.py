# SPDX-License-Identifier: Apache-2.0
"""Limits of every GPU: power, clocks, temperatures; and its fans and power smoothing."""

from collections.abc import Iterable

from agent.catalogue.gpu import (
    CLOCK_LIMIT,
    FAN_SPEED,
    FAN_SPEED_RATIO,
    GPU_UPTIME,
    POWER_LIMIT,
    POWER_SMOOTHING,
    POWER_SMOOTHING_LIFETIME,
    POWER_SMOOTHING_LIMIT,
    POWER_SMOOTHING_PROFILE,
    TEMPERATURE_LIMIT,
    TEMPERATURE_MARGIN_LIMIT,
)
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.collectors.gpu.clocks import DOMAINS
from agent.entities import GpuClock, GpuFan, GpuLimit
from agent.metric import Sample
from agent.system.nvml import fields as nvml
from agent.system.nvml.device import Threshold

_POWER = {
    "enforced": nvml.POWER_ENFORCED_LIMIT,
    "requested": nvml.POWER_REQUESTED_LIMIT,
    "default": nvml.POWER_DEFAULT_LIMIT,
    "min": nvml.POWER_MIN_LIMIT,
    "max": nvml.POWER_MAX_LIMIT,
}
_MARGINS = {
    "shutdown": nvml.TLIMIT_SHUTDOWN,
    "slowdown": nvml.TLIMIT_SLOWDOWN,
    "memory_max": nvml.TLIMIT_MEMORY_MAX,
    "gpu_max": nvml.TLIMIT_GPU_MAX,
}
_THRESHOLDS: tuple[Threshold, ...] = ("shutdown", "slowdown", "memory_max", "gpu_max")


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device
    batch = FieldSamples(
        device,
        {
            **{POWER_LIMIT.series(GpuLimit(gpu, limit)): field for limit, field in _POWER.items()},
            **{TEMPERATURE_MARGIN_LIMIT.series(GpuLimit(gpu, limit)): field for limit, field in _MARGINS.items()},
            POWER_SMOOTHING.series(gpu): nvml.SMOOTHING_ENABLED,
            POWER_SMOOTHING_LIMIT.series(GpuLimit(gpu, "ceiling")): nvml.SMOOTHING_CEILING,
            POWER_SMOOTHING_LIMIT.series(GpuLimit(gpu, "floor")): nvml.SMOOTHING_FLOOR,
            POWER_SMOOTHING_LIFETIME.series(gpu): nvml.SMOOTHING_LIFETIME,
            POWER_SMOOTHING_PROFILE.series(gpu): nvml.SMOOTHING_PROFILE,
        },
    )

    def read() -> Iterable[Sample]:
        yield from batch.samples()
        for domain in DOMAINS:
            if (hertz := device.clock_limit(domain)) is not None:
                yield CLOCK_LIMIT(GpuClock(gpu, domain), hertz)
        for threshold in _THRESHOLDS:
            if (degrees := device.temperature_limit(threshold)) is not None:
                yield TEMPERATURE_LIMIT(GpuLimit(gpu, threshold), degrees)
        for number, (ratio, rpm) in enumerate(device.fans()):
            if ratio is not None:
                yield FAN_SPEED_RATIO(GpuFan(gpu, number), ratio)
            if rpm is not None:
                yield FAN_SPEED(GpuFan(gpu, number), rpm)
        if (uptime := device.uptime()) is not None:
            yield GPU_UPTIME(gpu, uptime)

    return read


COLLECTOR = GpuCollector("gpu_limits", Cadence.SLOW, _open)
