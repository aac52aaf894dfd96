# SPDX-License-Identifier: Apache-2.0
"""The names of dcgm-exporter for what is in this catalogue, with its units, so that what was made for it keeps working.

Names and units are those of dcgm-exporter's etc/default-counters.csv; what joulespan does not read is left out.
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from agent.catalogue import gpu, health, links
from agent.entity import Attr
from agent.metric import Counter, Gauge, Metric
from agent.unit import Unit

_MHZ = 1e-6
_PERCENT = 100.0
_MIB = 1 / (1 << 20)
_MILLI = 1000.0
_NANO = 1e9


class Alias(NamedTuple):
    """A DCGM name: for which attribute values beside the GPU's, times what, and its type."""

    name: str
    match: tuple[object, ...] = ()
    scale: float = 1.0
    kind: str = "gauge"


ALIASES: Mapping[Metric[Any], tuple[Alias, ...]] = {
    gpu.CLOCK: (
        Alias("DCGM_FI_DEV_SM_CLOCK", ("sm",), _MHZ),
        Alias("DCGM_FI_DEV_MEM_CLOCK", ("memory",), _MHZ),
    ),
    gpu.TEMPERATURE: (
        Alias("DCGM_FI_DEV_GPU_TEMP", ("gpu",)),
        Alias("DCGM_FI_DEV_MEMORY_TEMP", ("memory",)),
    ),
    gpu.POWER_AVERAGE: (Alias("DCGM_FI_DEV_POWER_USAGE", ("gpu",)),),
    gpu.ENERGY: (Alias("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", (), _MILLI, "counter"),),
    links.PCIE_REPLAYS: (Alias("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", (), 1.0, "counter"),),
    gpu.GPU_UTILIZATION: (
        Alias("DCGM_FI_DEV_GPU_UTIL", ("general",), _PERCENT),
        Alias("DCGM_FI_DEV_ENC_UTIL", ("encoder",), _PERCENT),
        Alias("DCGM_FI_DEV_DEC_UTIL", ("decoder",), _PERCENT),
    ),
    gpu.MEMORY_CONTROLLER_UTILIZATION: (Alias("DCGM_FI_DEV_MEM_COPY_UTIL", (), _PERCENT),),
    gpu.MEMORY_FREE: (Alias("DCGM_FI_DEV_FB_FREE", (), _MIB),),
    gpu.MEMORY_USAGE: (Alias("DCGM_FI_DEV_FB_USED", (), _MIB),),
    gpu.MEMORY_LIMIT: (Alias("DCGM_FI_DEV_FB_TOTAL", (), _MIB),),
    gpu.MEMORY_RESERVED: (Alias("DCGM_FI_DEV_FB_RESERVED", (), _MIB),),
    health.REMAPPED_ROWS: (
        Alias("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", ("corrected",), 1.0, "counter"),
        Alias("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", ("uncorrected",), 1.0, "counter"),
    ),
    health.REMAP_FAILURE: (Alias("DCGM_FI_DEV_ROW_REMAP_FAILURE"),),
    health.HW_ERRORS: (
        Alias("DCGM_FI_DEV_ECC_SBE_AGG_TOTAL", ("corrected",), 1.0, "counter"),
        Alias("DCGM_FI_DEV_ECC_DBE_AGG_TOTAL", ("uncorrected",), 1.0, "counter"),
    ),
    gpu.THROTTLE_DURATION: (
        Alias("DCGM_FI_DEV_POWER_VIOLATION", ("power_cap",), _NANO, "counter"),
        Alias("DCGM_FI_DEV_THERMAL_VIOLATION", ("sw_thermal",), _NANO, "counter"),
        Alias("DCGM_FI_DEV_SYNC_BOOST_VIOLATION", ("sync_boost",), _NANO, "counter"),
        Alias("DCGM_FI_DEV_BOARD_LIMIT_VIOLATION", ("board_limit",), _NANO, "counter"),
        Alias("DCGM_FI_DEV_LOW_UTIL_VIOLATION", ("low_utilization",), _NANO, "counter"),
        Alias("DCGM_FI_DEV_RELIABILITY_VIOLATION", ("reliability",), _NANO, "counter"),
    ),
    gpu.GRAPHICS_ACTIVE: (Alias("DCGM_FI_PROF_GR_ENGINE_ACTIVE"),),
    gpu.SM_ACTIVE: (Alias("DCGM_FI_PROF_SM_ACTIVE"),),
    gpu.SM_OCCUPANCY: (Alias("DCGM_FI_PROF_SM_OCCUPANCY"),),
    gpu.DRAM_ACTIVE: (Alias("DCGM_FI_PROF_DRAM_ACTIVE"),),
    gpu.PIPE_ACTIVE: (
        Alias("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", ("any_tensor",)),
        Alias("DCGM_FI_PROF_PIPE_FP64_ACTIVE", ("fp64",)),
        Alias("DCGM_FI_PROF_PIPE_FP32_ACTIVE", ("fp32",)),
        Alias("DCGM_FI_PROF_PIPE_FP16_ACTIVE", ("fp16",)),
    ),
    gpu.GPM_PCIE: (
        Alias("DCGM_FI_PROF_PCIE_TX_BYTES", ("transmit",)),
        Alias("DCGM_FI_PROF_PCIE_RX_BYTES", ("receive",)),
    ),
    gpu.GPM_NVLINK: (
        Alias("DCGM_FI_PROF_NVLINK_TX_BYTES", ("transmit",)),
        Alias("DCGM_FI_PROF_NVLINK_RX_BYTES", ("receive",)),
    ),
}
XID = "DCGM_FI_DEV_XID_ERRORS"
"""The code of the last XID, 0 without one; it has no counterpart, as no code is a value here."""


class DcgmGpu(NamedTuple):
    """A GPU as dcgm-exporter names it, as far as all its versions agree."""

    number: Annotated[str, Attr("gpu", "Index of the GPU")]
    id: Annotated[str, Attr("UUID", "NVML UUID")]
    model: Annotated[str, Attr("modelName", "Product name")]


class _Cumulative(Counter[DcgmGpu]):
    """A counter whose name does not end in total."""

    def __init__(self, name: str, brief: str) -> None:
        """Define it under its very name."""
        super().__init__(name, Unit.NONE, DcgmGpu, brief)
        self.prometheus = name


def gauge(metric: Metric[Any], *match: object) -> Gauge[DcgmGpu]:
    """Give what dcgm-exporter calls a metric of these attribute values. Raises KeyError where it does not have it."""
    return Gauge(_alias(metric, match).name, Unit.NONE, DcgmGpu, metric.brief)


def counter(metric: Metric[Any], *match: object) -> Counter[DcgmGpu]:
    """Give the same of a counter. Raises KeyError where dcgm-exporter does not have it as one."""
    return _Cumulative(_alias(metric, match, "counter").name, metric.brief)


LAST_XID = Gauge(XID, Unit.NONE, DcgmGpu, "Code of the last XID, 0 without one. It never goes back.")
NAMES = frozenset({XID, *(alias.name for aliases in ALIASES.values() for alias in aliases)})


def _alias(metric: Metric[Any], match: tuple[object, ...], kind: str = "gauge") -> Alias:
    for alias in ALIASES.get(metric, ()):
        if (alias.match, alias.kind) == (match, kind):
            return alias
    raise KeyError(metric.name, match)
