# SPDX-License-Identifier: Apache-2.0
"""What the GPUs do: load, memory, clocks, temperature, power and energy."""

from agent.entities import (
    Fabric,
    Gpu,
    GpuClock,
    GpuFan,
    GpuInfo,
    GpuIo,
    GpuLimit,
    GpuMode,
    GpuPipe,
    GpuProcess,
    GpuProcessTask,
    GpuReason,
    GpuScope,
    GpuSensor,
    GpuTask,
    MigInstance,
    MigPipe,
    MigProcess,
    Platform,
)
from agent.metric import Counter, Gauge, Info, UpDownCounter
from agent.unit import Unit

GPU_INFO = Info("joulespan.gpu.info", GpuInfo, "Model, driver, firmware and place of a GPU.")
GPU_MODE_INFO = Info("joulespan.gpu.mode.info", GpuMode, "Modes an administrator has set on a GPU.")
FABRIC_INFO = Info("joulespan.gpu.fabric.info", Fabric, "NVLink fabric and clique a GPU has joined.")
PLATFORM_INFO = Info("joulespan.gpu.platform.info", Platform, "Place of a GPU in its rack.")
GPU_UPTIME = Gauge("joulespan.gpu.uptime", Unit.SECONDS, Gpu, "Time since the GPU was last reset.")

GPU_UTILIZATION = Gauge(
    "hw.gpu.utilization",
    Unit.RATIO,
    GpuTask,
    "Share of the last sample period in which the engine was busy. 1 means that some kernel ran all the time, "
    "not that the multiprocessors were full: see joulespan.gpu.sm.active.",
)
MEMORY_CONTROLLER_UTILIZATION = Gauge(
    "joulespan.gpu.memory.controller.utilization",
    Unit.RATIO,
    Gpu,
    "Share of the last sample period in which device memory was read or written.",
)
MEMORY_USAGE = UpDownCounter(
    "hw.gpu.memory.usage", Unit.BYTES, Gpu, "Device memory in use, without what the driver reserves."
)
MEMORY_LIMIT = UpDownCounter("hw.gpu.memory.limit", Unit.BYTES, Gpu, "Device memory of the board.")
MEMORY_UTILIZATION = Gauge("hw.gpu.memory.utilization", Unit.RATIO, Gpu, "Share of device memory that is in use.")
MEMORY_FREE = UpDownCounter("joulespan.gpu.memory.free", Unit.BYTES, Gpu, "Device memory that can be allocated.")
MEMORY_RESERVED = UpDownCounter(
    "joulespan.gpu.memory.reserved", Unit.BYTES, Gpu, "Device memory that driver and firmware keep for themselves."
)
BAR1_USAGE = UpDownCounter("joulespan.gpu.bar1.usage", Unit.BYTES, Gpu, "BAR1 window that is mapped.")
BAR1_LIMIT = UpDownCounter("joulespan.gpu.bar1.limit", Unit.BYTES, Gpu, "Size of the BAR1 window.")

CLOCK = Gauge("joulespan.gpu.clock.frequency", Unit.HERTZ, GpuClock, "Clock of a domain now.")
CLOCK_LIMIT = Gauge("joulespan.gpu.clock.limit", Unit.HERTZ, GpuClock, "Highest clock of a domain.")
THROTTLE_ACTIVE = Gauge(
    "joulespan.gpu.throttle.active",
    Unit.NONE,
    GpuReason,
    "1 while clocks are held down for this reason. A point sample: for shares of time "
    "use joulespan.gpu.throttle.duration.",
)
THROTTLE_DURATION = Counter(
    "joulespan.gpu.throttle.duration", Unit.SECONDS, GpuReason, "Time for which clocks were held down, by reason."
)

TEMPERATURE = Gauge("hw.temperature", Unit.CELSIUS, GpuSensor, "Temperature of a sensor.")
TEMPERATURE_LIMIT = Gauge(
    "hw.temperature.limit", Unit.CELSIUS, GpuLimit, "Temperature at which the GPU slows down or shuts down."
)
TEMPERATURE_MARGIN = Gauge(
    "joulespan.gpu.temperature.margin",
    Unit.CELSIUS,
    Gpu,
    "Distance to the nearest temperature that slows the GPU down.",
)
TEMPERATURE_MARGIN_LIMIT = Gauge(
    "joulespan.gpu.temperature.margin.limit",
    Unit.CELSIUS,
    GpuLimit,
    "Margin (T.Limit) below which the GPU slows down or shuts down; may be negative.",
)
FAN_SPEED_RATIO = Gauge("hw.fan.speed_ratio", Unit.RATIO, GpuFan, "Fan speed asked for; can exceed 1.")
FAN_SPEED = Gauge("hw.fan.speed", Unit.RPM, GpuFan, "Fan speed.")

POWER = Gauge(
    "hw.power",
    Unit.WATTS,
    Gpu,
    "Board power now (NVML POWER_INSTANT). The sensor looks only part of the time: for energy use hw.energy.",
)
POWER_AVERAGE = Gauge(
    "joulespan.gpu.power.average",
    Unit.WATTS,
    GpuScope,
    "Power averaged by the driver over 1 s (before Ampere and on GA100: instantaneous).",
)
POWER_MODULE = Gauge(
    "joulespan.gpu.power.module",
    Unit.WATTS,
    Gpu,
    "Power now of the superchip module: GPUs and CPU. Never add it to hw.power.",
)
POWER_LIMIT = Gauge(
    "joulespan.gpu.power.limit",
    Unit.WATTS,
    GpuLimit,
    "Power limits: enforced (in force now), requested, default, and the range in which it can be set.",
)
ENERGY = Counter(
    "hw.energy",
    Unit.JOULES,
    Gpu,
    "Energy of the board since the driver was loaded. The counter steps about every 100 ms.",
)
POWER_SMOOTHING = Gauge(
    "joulespan.gpu.power_smoothing.enabled", Unit.NONE, Gpu, "1 while power smoothing is on (Blackwell and later)."
)
POWER_SMOOTHING_LIMIT = Gauge(
    "joulespan.gpu.power_smoothing.limit", Unit.WATTS, GpuLimit, "Ceiling and floor that power smoothing applies."
)
POWER_SMOOTHING_PROFILE = Gauge(
    "joulespan.gpu.power_smoothing.profile", Unit.NONE, Gpu, "Number of the active power smoothing preset."
)
POWER_SMOOTHING_LIFETIME = Gauge(
    "joulespan.gpu.power_smoothing.lifetime", Unit.RATIO, Gpu, "Share of the smoothing circuit's life that is left."
)

SM_ACTIVE = Gauge(
    "joulespan.gpu.sm.active", Unit.RATIO, Gpu, "Share of multiprocessor cycles with at least one warp (GPM)."
)
SM_OCCUPANCY = Gauge("joulespan.gpu.sm.occupancy", Unit.RATIO, Gpu, "Warps resident, of the most there can be (GPM).")
GRAPHICS_ACTIVE = Gauge(
    "joulespan.gpu.graphics.active", Unit.RATIO, Gpu, "Share of time the compute or graphics engine was busy (GPM)."
)
PIPE_ACTIVE = Gauge(
    "joulespan.gpu.pipe.active", Unit.RATIO, GpuPipe, "Share of cycles in which an execution pipe was busy (GPM)."
)
DRAM_ACTIVE = Gauge(
    "joulespan.gpu.dram.active", Unit.RATIO, Gpu, "Share of the peak device memory bandwidth in use (GPM)."
)
GPM_PCIE = Gauge(
    "joulespan.gpu.pcie.throughput", Unit.BYTES_PER_SECOND, GpuIo, "PCIe traffic between the last two samples (GPM)."
)
GPM_NVLINK = Gauge(
    "joulespan.gpu.nvlink.throughput",
    Unit.BYTES_PER_SECOND,
    GpuIo,
    "NVLink traffic between the last two samples (GPM).",
)
MMA_STALL = Gauge(
    "joulespan.gpu.mma.stall", Unit.RATIO, Gpu, "Share of time in which matrix instructions were stalled."
)

PROCESS_COUNT = UpDownCounter(
    "joulespan.gpu.processes",
    Unit.ITEMS,
    Gpu,
    "Processes on the GPU. The 64 that hold most memory have series of their own.",
)
PROCESS_MEMORY = UpDownCounter(
    "joulespan.gpu.process.memory.usage", Unit.BYTES, GpuProcess, "Device memory that a process holds."
)
PROCESS_UTILIZATION = Gauge(
    "joulespan.gpu.process.utilization", Unit.RATIO, GpuProcessTask, "Share of an engine's time that a process took."
)

MIG_MEMORY_USAGE = UpDownCounter(
    "joulespan.mig.memory.usage", Unit.BYTES, MigInstance, "Memory of a MIG instance in use."
)
MIG_MEMORY_LIMIT = UpDownCounter("joulespan.mig.memory.limit", Unit.BYTES, MigInstance, "Memory of a MIG instance.")
MIG_PROCESS_MEMORY = UpDownCounter(
    "joulespan.mig.process.memory.usage", Unit.BYTES, MigProcess, "Memory of a MIG instance that a process holds."
)
MIG_SM_COUNT = UpDownCounter(
    "joulespan.mig.multiprocessors", Unit.ITEMS, MigInstance, "Multiprocessors of a MIG instance."
)
MIG_SM_ACTIVE = Gauge(
    "joulespan.mig.sm.active",
    Unit.RATIO,
    MigInstance,
    "Share of the instance's multiprocessor cycles with a warp (GPM).",
)
MIG_SM_OCCUPANCY = Gauge(
    "joulespan.mig.sm.occupancy", Unit.RATIO, MigInstance, "Warps resident, of the most there can be (GPM)."
)
MIG_GRAPHICS_ACTIVE = Gauge(
    "joulespan.mig.graphics.active", Unit.RATIO, MigInstance, "Share of time the instance's engine was busy (GPM)."
)
MIG_DRAM_ACTIVE = Gauge(
    "joulespan.mig.dram.active", Unit.RATIO, MigInstance, "Share of the instance's memory bandwidth in use (GPM)."
)
MIG_PIPE_ACTIVE = Gauge(
    "joulespan.mig.pipe.active", Unit.RATIO, MigPipe, "Share of cycles in which a pipe of the instance was busy (GPM)."
)
CONFIDENTIAL_MEMORY = UpDownCounter(
    "joulespan.gpu.confidential_memory.limit",
    Unit.BYTES,
    GpuLimit,
    "Device memory by its protection under confidential computing.",
)
