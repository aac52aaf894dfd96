# SPDX-License-Identifier: Apache-2.0
"""What NVML's numbers stand for (nvml.h 13.5)."""

from collections.abc import Callable

MODES = {0: "disabled", 1: "enabled"}
COMPUTE_MODES = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}
ADDRESSING = {0: "none", 1: "hmm", 2: "ats"}
ARCHITECTURES = {
    2: "kepler",
    3: "maxwell",
    4: "pascal",
    5: "volta",
    6: "turing",
    7: "ampere",
    8: "ada",
    9: "hopper",
    10: "blackwell",
    13: "rubin",
}
ECC_LOCATIONS = {"l1": 0, "l2": 1, "dram": 2, "register_file": 3, "texture": 4, "cbu": 6, "sram": 7}

THROTTLE_REASONS = {
    0x1: "idle",
    0x2: "app_clocks",
    0x4: "power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "power_brake",
    0x100: "display",
    0x200: "board_limit",
    0x400: "reliability",
}

RECOVERY_ACTIONS = {
    0: "none",
    1: "reset",
    2: "reboot",
    3: "drain_p2p",
    4: "drain_and_reset",
    5: "recover_imex",
    6: "bus_reset",
    7: "system_reboot",
}

NVLINK_STATES = {0: "inactive", 1: "active", 2: "sleep", 3: "disabled"}
NVLINK_VERSIONS = {1: "1.0", 2: "2.0", 3: "2.2", 4: "3.0", 5: "3.1", 6: "4.0", 7: "5.0", 8: "6.0"}
"""NVML_NVLINK_VERSION_*: an enumeration, not the version."""

FABRIC_STATES = {0: "not_supported", 1: "not_started", 2: "in_progress", 3: "completed"}

_TRUE, _FALSE = 1, 2
_CONFIGURATION_FINE = 1


class _Bits:
    def __init__(self, shift: int, width: int, bad: Callable[[int], bool]) -> None:
        self.shift, self.width, self.bad = shift, width, bad


_FABRIC_HEALTH = {
    "degraded_bandwidth": _Bits(0, 0x3, lambda value: value == _TRUE),
    "route_recovery": _Bits(2, 0x3, lambda value: value == _TRUE),
    "route_unhealthy": _Bits(4, 0x3, lambda value: value == _TRUE),
    "access_timeout_recovery": _Bits(6, 0x3, lambda value: value == _TRUE),
    "incorrect_configuration": _Bits(8, 0xF, lambda value: value != _CONFIGURATION_FINE),
    "partition_unassigned": _Bits(12, 0x3, lambda value: value == _FALSE),
    "fabric_manager_disconnected": _Bits(14, 0x3, lambda value: value == _FALSE),
}


def fabric_problems(mask: int) -> dict[str, bool]:
    """Say for each part of the fabric health mask that the fabric tells of whether it is bad."""
    values = {name: mask >> bits.shift & bits.width for name, bits in _FABRIC_HEALTH.items()}
    return {name: _FABRIC_HEALTH[name].bad(value) for name, value in values.items() if value}
