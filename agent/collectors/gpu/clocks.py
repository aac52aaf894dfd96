# SPDX-License-Identifier: Apache-2.0
"""Clocks of every GPU, and why and for how long they were held down."""

from collections.abc import Iterable

from agent.catalogue.gpu import CLOCK, THROTTLE_ACTIVE, THROTTLE_DURATION
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.entities import GpuClock, GpuReason
from agent.metric import Sample
from agent.system.nvml import fields as nvml
from agent.system.nvml.device import Domain

DOMAINS: tuple[Domain, ...] = ("graphics", "sm", "memory", "video")
_DURATIONS = {
    "power_cap": nvml.THROTTLE_POWER_CAP,
    "sw_thermal": nvml.THROTTLE_SW_THERMAL,
    "hw_thermal": nvml.THROTTLE_HW_THERMAL,
    "power_brake": nvml.THROTTLE_POWER_BRAKE,
    "sync_boost": nvml.THROTTLE_SYNC_BOOST,
    "board_limit": nvml.THROTTLE_BOARD_LIMIT,
    "low_utilization": nvml.THROTTLE_LOW_UTILIZATION,
    "reliability": nvml.THROTTLE_RELIABILITY,
    "base_clocks": nvml.THROTTLE_BASE_CLOCKS,
    "power_smoothing": nvml.THROTTLE_POWER_SMOOTHING,
}


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device
    durations = FieldSamples(
        device, {THROTTLE_DURATION.series(GpuReason(gpu, reason)): field for reason, field in _DURATIONS.items()}
    )

    def read() -> Iterable[Sample]:
        for domain in DOMAINS:
            if (hertz := device.clock(domain)) is not None:
                yield CLOCK(GpuClock(gpu, domain), hertz)
        for reason, active in (device.throttle_reasons() or {}).items():
            yield THROTTLE_ACTIVE(GpuReason(gpu, reason), active)
        yield from durations.samples()

    return read


COLLECTOR = GpuCollector("gpu_clocks", Cadence.NORMAL, _open)
