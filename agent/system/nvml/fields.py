# SPDX-License-Identifier: Apache-2.0
"""NVML field ids with their units, as nvml.h 13.5 lists them (NVML_FI_DEV_*, NVML_FI_PWR_SMOOTHING_*).

A field is one number of a GPU that nvmlDeviceGetFieldValues serves in batches. Its value times
`multiply` over `divide` is in the base unit.
"""

from typing import NamedTuple

ALL_LINKS = 0xFFFFFFFF
"""Scope of a link counter that means the sum over the GPU's links."""
SCOPE_MODULE = 1
"""NVML_POWER_SCOPE_MODULE: the GPUs and the CPU of a superchip."""
SCOPE_MEMORY = 2
"""NVML_POWER_SCOPE_MEMORY."""

_MILLI = 1_000
_NANO = 1_000_000_000
_KIBI = 1_024
_MEGA = 1_000_000


class Field(NamedTuple):
    """A field id, the part of the GPU it is asked for, and how its number becomes a base unit."""

    id: int
    multiply: int = 1
    divide: int = 1
    scope: int = 0
    wraps: bool = False
    bit_error_rate: bool = False

    def of(self, scope: int) -> "Field":
        """Ask the same of a link or a power scope."""
        return self._replace(scope=scope)


ECC_CORRECTED_AGGREGATE = Field(5)
ECC_UNCORRECTED_AGGREGATE = Field(6)
RETIRED_CORRECTED = Field(29)
RETIRED_UNCORRECTED = Field(30)
RETIRED_PENDING = Field(31)

THROTTLE_POWER_CAP = Field(74, divide=_NANO)
THROTTLE_SYNC_BOOST = Field(76, divide=_NANO)
THROTTLE_BOARD_LIMIT = Field(77, divide=_NANO)
THROTTLE_LOW_UTILIZATION = Field(78, divide=_NANO)
THROTTLE_RELIABILITY = Field(79, divide=_NANO)
THROTTLE_BASE_CLOCKS = Field(81, divide=_NANO)
THROTTLE_SW_THERMAL = Field(269, divide=_NANO)
THROTTLE_HW_THERMAL = Field(270, divide=_NANO)
THROTTLE_POWER_BRAKE = Field(271, divide=_NANO)
THROTTLE_POWER_SMOOTHING = Field(309, divide=_NANO)

MEMORY_TEMPERATURE = Field(82)
GPU_TEMPERATURE = Field(308)
TLIMIT_SHUTDOWN = Field(193)
TLIMIT_SLOWDOWN = Field(194)
TLIMIT_MEMORY_MAX = Field(195)
TLIMIT_GPU_MAX = Field(196)

ENERGY = Field(83, divide=_MILLI)
POWER_AVERAGE = Field(185, divide=_MILLI)
POWER_INSTANT = Field(186, divide=_MILLI)
POWER_MIN_LIMIT = Field(187, divide=_MILLI)
POWER_MAX_LIMIT = Field(188, divide=_MILLI)
POWER_DEFAULT_LIMIT = Field(189, divide=_MILLI)
POWER_ENFORCED_LIMIT = Field(190, divide=_MILLI)
POWER_REQUESTED_LIMIT = Field(192, divide=_MILLI)

PCIE_REPLAYS = Field(94)
PCIE_REPLAY_ROLLOVERS = Field(95)
PCIE_RECOVERIES = Field(169)
PCIE_CORRECTABLE = Field(173)
PCIE_NAKS_RECEIVED = Field(174)
PCIE_RECEIVER = Field(175)
PCIE_BAD_TLP = Field(176)
PCIE_NAKS_SENT = Field(177)
PCIE_BAD_DLLP = Field(178)
PCIE_NON_FATAL = Field(179)
PCIE_FATAL = Field(180)
PCIE_UNSUPPORTED_REQUEST = Field(181)
PCIE_LCRC = Field(182)
PCIE_LANE = Field(183)
PCIE_TX_BYTES = Field(197, wraps=True)
PCIE_RX_BYTES = Field(198, wraps=True)

REMAPPED_CORRECTED = Field(142)
REMAPPED_UNCORRECTED = Field(143)
REMAP_PENDING = Field(144)
REMAP_FAILURE = Field(145)
REMAPPED_CORRECTED_INACTIVE = Field(301)
REMAPPED_UNCORRECTED_INACTIVE = Field(302)
BANKS_ACTIVE = Field(303)
BANKS_INACTIVE = Field(304)
BANKS_PENDING = Field(307)
RECOVERY_ACTION = Field(230)

NVLINK_COUNT = Field(91)
NVLINK_TX = Field(138, multiply=_KIBI)
NVLINK_RX = Field(139, multiply=_KIBI)
NVLINK_RAW_TX = Field(140, multiply=_KIBI)
NVLINK_RAW_RX = Field(141, multiply=_KIBI)
NVLINK_REPLAY = Field(161)
NVLINK_RECOVERY = Field(162)
NVLINK_CRC = Field(163)
NVLINK_SPEED = Field(164, multiply=_MEGA)
NVLINK_STATE = Field(165)
NVLINK_VERSION = Field(166)
# NVLink 5 and later (Blackwell).
NVLINK5_TX_PACKETS = Field(201)
NVLINK5_TX_BYTES = Field(202)
NVLINK5_RX_PACKETS = Field(203)
NVLINK5_RX_BYTES = Field(204)
NVLINK5_MALFORMED = Field(206)
NVLINK5_OVERRUN = Field(207)
NVLINK5_RECEIVE = Field(208)
NVLINK5_REMOTE = Field(209)
NVLINK5_GENERAL = Field(210)
NVLINK5_INTEGRITY = Field(211)
NVLINK5_DISCARDS = Field(212)
NVLINK5_RECOVERED = Field(213)
NVLINK5_RECOVERY_FAILED = Field(214)
NVLINK5_EFFECTIVE = Field(219)
NVLINK5_EFFECTIVE_BER = Field(220, bit_error_rate=True)
NVLINK5_SYMBOL = Field(221)
NVLINK5_SYMBOL_BER = Field(222, bit_error_rate=True)
NVLINK5_RAW_BER = Field(293, bit_error_rate=True)
NVLINK5_FEC_BINS = tuple(Field(235 + n) for n in range(16))
NVLINK5_PLR_RETRIES = Field(295)

C2C_COUNT = Field(170)
C2C_STATUS = Field(171)
C2C_SPEED = Field(172, multiply=_MEGA)
C2C_CRC = Field(231)
C2C_REPLAY = Field(232)
C2C_REPLAY_B2B = Field(233)

SMOOTHING_ENABLED = Field(251)
SMOOTHING_CEILING = Field(254)
SMOOTHING_FLOOR = Field(255)
SMOOTHING_LIFETIME = Field(258, divide=100)
SMOOTHING_PROFILE = Field(264)
MMA_STALL = Field(297, divide=100)

_BER_EXPONENT = 0xFF
_BER_MANTISSA_SHIFT = 8
_BER_ZERO = (15, 255)


def bit_error_rate(raw: int) -> float:
    """Decode NVML's bit error rate: mantissa in bits 8 to 11, exponent in bits 0 to 7, m x 10^-e.

    (15, 255) stands for zero. Source: nvml.h at NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_BER.
    """
    mantissa, exponent = raw >> _BER_MANTISSA_SHIFT & 0xF, raw & _BER_EXPONENT
    return 0.0 if (mantissa, exponent) == _BER_ZERO else float(f"{mantissa}e-{exponent}")
