# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the GPUs: status, XIDs, memory errors and repairs."""

from agent.entities import Gpu, GpuAction, GpuCause, GpuEcc, GpuError, GpuState, GpuXid, NodeGpus
from agent.metric import Counter, Gauge, UpDownCounter
from agent.unit import Unit

NODE_GPUS = UpDownCounter("joulespan.node.gpus", Unit.ITEMS, NodeGpus, "GPUs of the node by whether they can be read.")
STATUS = UpDownCounter(
    "hw.status",
    Unit.RATIO,
    GpuState,
    "1 for the state the GPU is in: failed when it cannot be reached, "
    "degraded when the driver asks for a recovery action.",
)
LAST_READ = Gauge(
    "joulespan.gpu.last_read",
    Unit.SECONDS,
    Gpu,
    "Unix time of the last reading of this GPU that succeeded; stays when the GPU is lost.",
)
XID = Counter("joulespan.gpu.xid", Unit.EVENTS, GpuXid, "XID events since the agent started, by code.")
XID_LAST_SEEN = Gauge("joulespan.gpu.xid.last_seen", Unit.SECONDS, GpuXid, "Unix time of the last event of this XID.")
HW_ERRORS = Counter(
    "hw.errors",
    Unit.ERRORS,
    GpuError,
    "Memory errors over the life of the board, corrected and uncorrected (aggregate ECC counters).",
)
ECC_ERRORS = Counter(
    "joulespan.gpu.ecc.errors", Unit.ERRORS, GpuEcc, "Memory errors, by severity, place and lifetime of the counter."
)
SRAM_THRESHOLD = Gauge(
    "joulespan.gpu.ecc.sram_threshold_exceeded",
    Unit.NONE,
    Gpu,
    "1 when uncorrected SRAM errors passed the threshold for replacing the board (root only).",
)
REMAPPED_ROWS = Counter(
    "joulespan.gpu.remapped_rows", Unit.ROWS, GpuCause, "Memory rows replaced by spare ones, by cause."
)
REMAP_PENDING = Gauge(
    "joulespan.gpu.remapped_rows.pending", Unit.NONE, Gpu, "1 when a row waits for a GPU reset to be remapped."
)
REMAP_FAILURE = Gauge(
    "joulespan.gpu.remapped_rows.failure", Unit.NONE, Gpu, "1 when a remapping failed: the board needs service."
)
REMAP_BANKS = UpDownCounter(
    "joulespan.gpu.remapped_rows.banks",
    Unit.ITEMS,
    GpuCause,
    "Memory banks by how many spare rows are left: max, high, partial, low, none.",
)
BANK_REMAPPINGS = Counter(
    "joulespan.gpu.remapped_banks",
    Unit.ITEMS,
    GpuCause,
    "Memory banks replaced by spare ones (Rubin), active and inactive.",
)
BANK_REMAP_PENDING = Gauge(
    "joulespan.gpu.remapped_banks.pending", Unit.NONE, Gpu, "1 when a bank waits for a GPU reset to be remapped."
)
RETIRED_PAGES = Counter(
    "joulespan.gpu.retired_pages", Unit.PAGES, GpuCause, "Memory pages retired, by cause (before Ampere)."
)
RETIRED_PENDING = Gauge(
    "joulespan.gpu.retired_pages.pending", Unit.NONE, Gpu, "1 when a page waits for a reboot to be retired."
)
REPAIR_PENDING = Gauge(
    "joulespan.gpu.repair.pending",
    Unit.NONE,
    GpuCause,
    "1 when a repair of this kind (channel, tpc) waits for a reset.",
)
RECOVERY_ACTION = Gauge(
    "joulespan.gpu.recovery_action",
    Unit.NONE,
    GpuAction,
    "1 for what the driver says the GPU needs, such as none, reset or reboot.",
)
FABRIC_HEALTH = Gauge(
    "joulespan.gpu.fabric.unhealthy",
    Unit.NONE,
    GpuError,
    "1 while the fabric has this problem (bits of NVML's fabric health mask).",
)
FABRIC_STATE = Gauge(
    "joulespan.gpu.fabric.state",
    Unit.NONE,
    GpuState,
    "1 for the state of the GPU's registration with the NVLink fabric.",
)
FABRIC_STATUS = Gauge(
    "joulespan.gpu.fabric.status",
    Unit.NONE,
    Gpu,
    "Result of the registration with the fabric as an NVML return code; 0 is success.",
)
