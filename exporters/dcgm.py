# SPDX-License-Identifier: Apache-2.0
"""The names of dcgm-exporter, with its labels and units, so that what was made for it keeps working.

Opt in with `exporters.prometheus.dcgm_names`. Names, units and labels are those of dcgm-exporter's
etc/default-counters.csv and its MIG-free label set; what joulespan does not read is left out. A GPU that is one pod's
or job's alone has its labels too, as with dcgm-exporter's mapping of pods and jobs; one that is shared has none, where
dcgm-exporter would give each pod the values of the whole GPU.
"""

import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from agent.catalogue import gpu, health, links
from agent.entities import Gpu, GpuInfo, GpuXid
from agent.entity import Entity
from agent.metric import Metric
from agent.owner_entities import GpuOwner
from agent.snapshot import Snapshot
from exporters.prometheus import Format, escape

_MHZ = 1e-6
_PERCENT = 100.0
_MIB = 1 / (1 << 20)
_MILLI = 1000.0
_NANO = 1e9
_DIGITS = 6
"""dcgm-exporter's; 0.14 times 100 is 14 then, not 14.000000000000002."""


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
XID_NAME = "DCGM_FI_DEV_XID_ERRORS"


class DcgmWriter:
    """Writes the aliases of a snapshot."""

    def __init__(self, hostname: str | None = None) -> None:
        """Write `hostname` on every series, as dcgm-exporter does."""
        self._hostname = hostname or socket.gethostname()

    def write(self, snapshot: Snapshot, form: Format) -> str:
        """Write the families. OpenMetrics wants counters to end in _total: there they are of unknown type."""
        labels = self._labels(snapshot)
        families: dict[str, list[str]] = {}
        kinds: dict[str, str] = {}
        xids: dict[Gpu, tuple[float, int]] = {}
        for (metric, entity), value in snapshot.samples():
            for alias in ALIASES.get(metric, ()):
                gpu_of = _gpu(entity)
                if alias.match == entity[1:] or (not alias.match and isinstance(entity, Gpu)):
                    kinds[alias.name] = alias.kind
                    families.setdefault(alias.name, []).append(
                        f"{alias.name}{labels.get(gpu_of, '')} {round(value * alias.scale, _DIGITS)!r}"
                    )
            if metric is health.XID_LAST_SEEN and isinstance(entity, GpuXid):
                xids[entity.gpu] = max(xids.get(entity.gpu, (0.0, 0)), (value, entity.xid))
        if labels:
            kinds[XID_NAME] = "gauge"
            families[XID_NAME] = [f"{XID_NAME}{text} {xids.get(known, (0.0, 0))[1]}" for known, text in labels.items()]
        parts = []
        for name, lines in families.items():
            kind = "unknown" if form is Format.OPENMETRICS and kinds[name] == "counter" else kinds[name]
            parts += [f"# TYPE {name} {kind}", *lines]
        return "\n".join([*parts, ""]) if parts else ""

    def _labels(self, snapshot: Snapshot) -> dict[Gpu, str]:
        found: dict[Gpu, str] = {}
        owners = _owners(snapshot)
        for (_, entity), _ in snapshot.samples():
            if isinstance(entity, GpuInfo):
                pairs = {
                    "gpu": entity.nvml_index,
                    "UUID": entity.gpu.id,
                    "pci_bus_id": None if entity.pci is None else f"0000{entity.pci.upper()}",
                    "device": None if entity.minor is None else f"nvidia{entity.minor}",
                    "modelName": entity.model,
                    "hostname": self._hostname,
                    "DCGM_FI_DRIVER_VERSION": entity.driver,
                    **owners.get(entity.gpu.id, {}),
                }
                written = ",".join(
                    f'{name}="{escape(str(value))}"' for name, value in pairs.items() if value is not None
                )
                found[entity.gpu] = f"{{{written}}}"
        return found


def _owners(snapshot: Snapshot) -> dict[str, dict[str, str | None]]:
    """Give the labels of the GPUs that are one owner's alone."""
    return {
        entity.device: {
            "container": entity.who.pod_container,
            "namespace": entity.who.namespace,
            "pod": entity.who.pod,
            "hpc_job": entity.who.slurm_job,
        }
        for (_, entity), _ in snapshot.samples()
        if isinstance(entity, GpuOwner) and entity.shared == "false"
    }


def _gpu(entity: Entity) -> Gpu:
    return entity if isinstance(entity, Gpu) else entity[0]
