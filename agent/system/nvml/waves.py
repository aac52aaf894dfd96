# SPDX-License-Identifier: Apache-2.0
"""The signals of simulated GPUs: what the mock NVML library answers and the demo shows.

Every formula is chosen, not measured; each is smooth, has an exact integral where it feeds a counter, and
differs from GPU to GPU, so that a value read from the wrong GPU shows. `t` is CLOCK_MONOTONIC in seconds
(`time.monotonic()`), `t0` the time the driver's counters began, `index` the GPU. The library says the same
in C (tests/mock_nvml/waves.c) and a test holds the two together.
"""

from dataclasses import dataclass
from math import cos, floor, pi, sin
from types import MappingProxyType
from typing import Final

MIB: Final = 1 << 20
GIB: Final = 1 << 30
_TURN: Final = 2.0 * pi


@dataclass(frozen=True, slots=True)
class Model:
    """A simulated board. Watts are chosen; the rest is what such a board says of itself, rounded."""

    name: str
    base_watts: float
    amplitude_watts: float
    limit_watts: int
    memory_bytes: int
    links: int
    link_mbps: int
    sm_mhz: int
    memory_mhz: int


MODELS: Final = MappingProxyType(
    {
        "h100": Model("NVIDIA H100 80GB HBM3", 300.0, 150.0, 700, 81559 * MIB, 18, 26562, 1980, 2619),
        "h200": Model("NVIDIA H200", 320.0, 150.0, 700, 143771 * MIB, 18, 26562, 1980, 3201),
        "gb200": Model("NVIDIA GB200", 650.0, 350.0, 1200, 189471 * MIB, 18, 53125, 2062, 3996),
        "a100": Model("NVIDIA A100-SXM4-80GB", 150.0, 80.0, 400, 81920 * MIB, 12, 25000, 1410, 1593),
        "l40s": Model("NVIDIA L40S", 130.0, 60.0, 350, 46068 * MIB, 0, 0, 2520, 9001),
    },
)
H100: Final = MODELS["h100"]

MEMORY_RESERVED: Final = 600 * MIB
"""Bytes the driver keeps for itself."""

HOTSPOT_ABOVE: Final = 6.0
MEMORY_ABOVE: Final = 10.0
"""°C by which the hottest spot of the die, and HBM, are warmer than the GPU."""

GPM_SHARES: Final = MappingProxyType(
    {1: 1.0, 2: 0.9, 3: 0.5, 4: 0.3, 5: 0.6, 6: 0.02, 7: 0.55, 8: 0.01, 9: 0.03, 10: 0.4, 11: 0.05, 12: 0.2, 13: 0.1},
)
"""GPM metric id (1 graphics ... 13 FP16) -> its share of the busy time."""

THROTTLE_SHARES: Final = MappingProxyType(
    {
        74: 0.01,
        75: 0.002,
        77: 0.001,
        78: 0.005,
        79: 0.0005,
        81: 0.0003,
        269: 0.002,
        270: 0.0002,
        271: 0.0001,
        309: 0.003,
    },
)
"""NVML field id of a throttle counter -> the share of time that GPU 0 is held back for that reason."""


def uuid(index: int) -> str:
    """The UUID of a GPU."""
    return f"GPU-00000000-0000-4000-8000-{index:012x}"


def mig_uuid(index: int, instance: int) -> str:
    """The UUID of a MIG instance of a GPU."""
    return f"MIG-00000000-0000-4000-8000-{1:08x}{index:02x}{instance:02x}"


def _sine(t: float, period: float, index: int) -> float:
    return sin(_TURN * (t / period + index / 8.0))


def step_time(t: float) -> float:
    """The time of the last update: power and energy move every 100 ms."""
    return floor(t * 10.0) / 10.0


def power(index: int, t: float, model: Model = H100) -> float:
    """Board power, W: a sine of 20 s around a level that rises by 20 W from GPU to GPU."""
    return model.base_watts + 20.0 * index + model.amplitude_watts * _sine(t, 20.0, index)


def energy(index: int, t: float, t0: float = 0.0, model: Model = H100) -> float:
    """Energy since `t0`, J: the exact integral of `power`."""
    swing = cos(_TURN * (t0 / 20.0 + index / 8.0)) - cos(_TURN * (t / 20.0 + index / 8.0))
    return (model.base_watts + 20.0 * index) * (t - t0) + model.amplitude_watts * 20.0 / _TURN * swing


def power_average(index: int, t: float, model: Model = H100) -> float:
    """Board power averaged over the last second, W."""
    return energy(index, t, t - 1.0, model)


def memory_power(board_watts: float) -> float:
    """The part of board power that its memory draws, W."""
    return 0.2 * board_watts


def module_power(board_watts: float) -> float:
    """The power of GPU and CPU together on a Grace part, W."""
    return 1.4 * board_watts + 150.0


def energy_counter(index: int, t: float, t0: float = 0.0, model: Model = H100) -> int:
    """What the driver's energy counter shows, mJ: `energy` at the last update."""
    at = step_time(t)
    return 0 if at <= t0 else floor(energy(index, at, t0, model) * 1000.0)


def utilization(index: int, t: float) -> int:
    """Share of time with a kernel running, %: a sine of 30 s between 5 and 95."""
    return floor(50.0 + 45.0 * _sine(t, 30.0, index) + 0.5)


def memory_utilization(index: int, t: float) -> int:
    """Share of time with memory in use, %: half of `utilization`."""
    return utilization(index, t) // 2


def busy_seconds(index: int, t: float) -> float:
    """Seconds the GPU was busy since 0: the exact integral of `utilization` before rounding."""
    return 0.5 * t + 0.45 * 30.0 / _TURN * (cos(_TURN * index / 8.0) - cos(_TURN * (t / 30.0 + index / 8.0)))


def gpm_percent(metric: int, index: int, start: float, end: float) -> float:
    """A GPM activity metric between two samples, %: its share of the busy time."""
    return 100.0 * GPM_SHARES[metric] * (busy_seconds(index, end) - busy_seconds(index, start)) / (end - start)


def engine_utilization(index: int) -> tuple[int, int, int, int]:
    """Encoder, decoder, JPEG and optical-flow engines, %: constant by GPU."""
    least = 1 + index % 8
    return least, least + 1, least + 2, least + 3


def memory_used(index: int, t: float) -> int:
    """Allocated memory without the driver's own, bytes: 20 to 24 GiB and a GiB more from GPU to GPU."""
    return (20 + index) * GIB + floor(4.0 * GIB * (1.0 + _sine(t, 60.0, 0)) / 2.0)


def temperature(index: int, t: float) -> float:
    """GPU temperature, °C: a sine of 60 s between 40 and 60, a degree more from GPU to GPU."""
    return 50.0 + index + 10.0 * _sine(t, 60.0, index)


def hotspot_temperature(index: int, t: float) -> float:
    """The hottest spot of the die, °C."""
    return temperature(index, t) + HOTSPOT_ABOVE


def memory_temperature(index: int, t: float) -> float:
    """HBM temperature, °C."""
    return temperature(index, t) + MEMORY_ABOVE


def sm_clock(index: int, t: float, model: Model = H100) -> int:
    """SM clock, MHz: up to 60 MHz below the maximum, 15 MHz lower from GPU to GPU."""
    return model.sm_mhz - floor(15.0 * index + 60.0 * (1.0 + _sine(t, 30.0, index)) / 2.0)


def fan_percent(fan: int, t: float) -> int:
    """Intended fan speed, %."""
    return floor(30.0 + 5.0 * fan + 10.0 * (1.0 + _sine(t, 60.0, 0)))


def pcie_rates(index: int) -> tuple[float, float]:
    """PCIe bytes a second, sent and received: constant. A 32-bit byte counter wraps after about 10 s."""
    return 0.4e9 + 0.05e9 * index, 0.3e9 + 0.05e9 * index


def pcie_counters(index: int, t: float, t0: float = 0.0) -> tuple[int, int]:
    """PCIe bytes since `t0`, sent and received, as 32-bit counters that wrap."""
    sent, received = pcie_rates(index)
    return floor(sent * (t - t0)) & 0xFFFFFFFF, floor(received * (t - t0)) & 0xFFFFFFFF


def nvlink_rates(index: int, link: int) -> tuple[float, float]:
    """Bytes a second over one NVLink, sent and received: constant by GPU and link."""
    sent = (1.0 + 0.1 * link + 0.05 * index) * 1e9
    return sent, 0.9 * sent


def nvlink_bytes(index: int, link: int, t: float, t0: float = 0.0) -> tuple[float, float]:
    """Bytes over one NVLink since `t0`, sent and received. The driver's counters show them in KiB."""
    sent, received = nvlink_rates(index, link)
    return sent * (t - t0), received * (t - t0)


def nvlink_errors(index: int, link: int) -> tuple[int, int, int]:
    """Replays, recoveries and CRC errors of one NVLink: constant by GPU and link."""
    return 10 * index + link, (index + link) % 3, index + 2 * link


def throttle_seconds(field: int, index: int, t: float, t0: float = 0.0) -> float:
    """Seconds a GPU was held back since `t0` for the reason that an NVML field counts."""
    return THROTTLE_SHARES.get(field, 0.0) * (1.0 + 0.1 * index) * (t - t0)
