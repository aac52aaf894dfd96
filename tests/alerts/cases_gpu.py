# SPDX-License-Identifier: Apache-2.0
"""When alerts about GPUs fire, and when they must not."""

from agent.catalogue.gpu import (
    CLOCK,
    CLOCK_LIMIT,
    GPU_INFO,
    GPU_UTILIZATION,
    MEMORY_UTILIZATION,
    POWER_LIMIT,
    TEMPERATURE_MARGIN,
    THROTTLE_ACTIVE,
    THROTTLE_DURATION,
)
from agent.catalogue.health import (
    BANK_REMAP_PENDING,
    ECC_ERRORS,
    LAST_READ,
    RECOVERY_ACTION,
    REMAP_FAILURE,
    REMAP_PENDING,
    REPAIR_PENDING,
    SRAM_THRESHOLD,
    STATUS,
    XID,
    XID_LAST_SEEN,
)
from agent.catalogue.own import READER_UP
from tests.alerts.cases import Case, Input, fires, of_gpu, silent, stored

FAILED, FINE = {"hw.state": "failed"}, {"hw.state": "ok"}
VOLATILE = {"error.type": "uncorrected", "location": "dram", "lifetime": "volatile"}
AGGREGATE = {**VOLATILE, "lifetime": "aggregate"}
GENERAL = {"hw.gpu.task": "general"}
A, B = {"hw.id": "A"}, {"hw.id": "B"}


def seen(xid: int, values: str, gpu: str = "A") -> Input:
    return of_gpu(XID_LAST_SEEN, values, {"xid": xid}, gpu=gpu)


def throttled(reason: str, values: str) -> Input:
    return of_gpu(THROTTLE_DURATION, values, {"reason": reason})


def clock(values: str, limit: str = "2e9x60") -> tuple[Input, Input]:
    return of_gpu(CLOCK, values, {"clock": "sm"}), of_gpu(CLOCK_LIMIT, limit, {"clock": "sm"})


def busy(values: str) -> Input:
    return of_gpu(GPU_UTILIZATION, values, GENERAL)


PRESENCE: tuple[Case, ...] = (
    fires("GpuLost", "one GPU of many falls off the bus", "8m", of_gpu(STATUS, "1x20", FAILED), who=[A]),
    fires(
        "GpuLost",
        "only the GPU that is lost is told of, and on its node",
        "8m",
        of_gpu(STATUS, "1x20", FAILED),
        of_gpu(STATUS, "1x20", FINE, gpu="B"),
        of_gpu(STATUS, "1x20", FINE, node="n2"),
        who=[{"hw.id": "A", "instance": "n1"}],
    ),
    fires(
        "GpuLost",
        "a GPU that comes and goes keeps firing in between",
        "8m",
        of_gpu(STATUS, "1 1 1 1 _ _ _ 1 _ _ _ _", FAILED),
        who=[A],
    ),
    silent("GpuLost", "all are fine", "8m", of_gpu(STATUS, "1x20", FINE), of_gpu(STATUS, "1x20", FINE, gpu="B")),
    silent(
        "GpuLost", "a GPU is back for longer than it keeps firing", "15m", of_gpu(STATUS, "1 1 1 stale _x20", FAILED)
    ),
    silent("GpuLost", "nothing is known of any GPU", "8m", stored(READER_UP, "1x20")),
    fires(
        "GpuMissing",
        "one GPU of two is not listed after a restart",
        "20m",
        of_gpu(GPU_INFO, "1x3 stale _x30", {"hw.model": "H100"}),
        of_gpu(GPU_INFO, "1x30", {"hw.model": "H100"}, gpu="B"),
        stored(READER_UP, "1x30"),
        who=[A],
    ),
    silent(
        "GpuMissing",
        "a driver update changes what is said of a GPU",
        "20m",
        of_gpu(GPU_INFO, "1x3 stale _x30", {"hw.driver_version": "570"}),
        of_gpu(GPU_INFO, "_x4 1x30", {"hw.driver_version": "580"}),
        stored(READER_UP, "1x30"),
    ),
    silent(
        "GpuMissing",
        "the whole agent is silent",
        "20m",
        of_gpu(GPU_INFO, "1x3 stale _x30"),
        stored(READER_UP, "1x3 stale _x30"),
    ),
    silent(
        "GpuMissing",
        "it is lost, which another alert tells",
        "20m",
        of_gpu(GPU_INFO, "1x3 stale _x30"),
        of_gpu(STATUS, "_x4 1x30", FAILED),
        stored(READER_UP, "1x30"),
    ),
    fires(
        "GpuReadingsOld",
        "one GPU of two is read no more",
        "10m",
        of_gpu(LAST_READ, "0 60 120x20"),
        of_gpu(LAST_READ, "0+60x20", gpu="B"),
        stored(READER_UP, "1x20"),
        who=[A],
    ),
    silent("GpuReadingsOld", "it is read", "10m", of_gpu(LAST_READ, "0+60x20"), stored(READER_UP, "1x20")),
    silent(
        "GpuReadingsOld",
        "no GPU is read as the reader is away, which another alert tells",
        "10m",
        of_gpu(LAST_READ, "0 60 120x20"),
        stored(READER_UP, "1 1 0x20"),
    ),
    fires(
        "GpuRecoveryActionNeeded",
        "a reset is asked for",
        "5m",
        of_gpu(RECOVERY_ACTION, "1x9", {"action": "reset"}),
        who=[A],
    ),
    silent("GpuRecoveryActionNeeded", "none is asked for", "5m", of_gpu(RECOVERY_ACTION, "1x9", {"action": "none"})),
)
XIDS: tuple[Case, ...] = (
    fires(
        "GpuXidHardware",
        "the first event of a GPU, ever",
        "11m",
        seen(79, "_x10 600x60"),
        who=[{"hw.id": "A", "xid": 79}],
    ),
    fires(
        "GpuXidHardware", "the event is before the first scrape after a gap", "21m", seen(79, "_x20 600x60"), who=[A]
    ),
    silent("GpuXidHardware", "the event is long ago", "30m", seen(79, "_x10 600x60")),
    silent("GpuXidHardware", "it is an XID of a program", "11m", seen(13, "_x10 600x60")),
    silent("GpuXidHardware", "the agent was restarted and has forgotten", "16m", seen(79, "_x10 600 stale _x60")),
    fires("GpuXidFabric", "NVLink fails", "11m", seen(74, "_x10 600x60"), who=[A]),
    fires("GpuXidFabric", "NVLink of Blackwell fails", "11m", seen(149, "_x10 600x60"), who=[A]),
    silent("GpuXidFabric", "a program used NVLink wrongly", "11m", seen(137, "_x10 600x60")),
    fires("GpuXidWorn", "a memory error was contained", "11m", seen(94, "_x10 600x60"), who=[A]),
    silent("GpuXidWorn", "only the summary of others came", "11m", seen(154, "_x10 600x60")),
    fires("GpuXidApplication", "a program reads where nothing is", "11m", seen(31, "_x10 600x60"), who=[A]),
    silent("GpuXidApplication", "the hardware failed", "11m", seen(48, "_x10 600x60")),
    fires(
        "GpuXidRepeated",
        "one GPU of two has the same again and again",
        "50m",
        of_gpu(XID, "1+1x60", {"xid": 31}),
        of_gpu(XID, "1x60", {"xid": 31}, gpu="B"),
        who=[A],
    ),
    fires(
        "GpuXidRepeated",
        "the first that is seen is many at once",
        "31m",
        of_gpu(XID, "_x30 20x9", {"xid": 31}),
        who=[A],
    ),
    fires(
        "GpuXidRepeated",
        "the counter begins again with the agent, and goes on",
        "50m",
        of_gpu(XID, "1 2 3 4 1 2 3 4 4x60", {"xid": 31}),
        who=[A],
    ),
    silent("GpuXidRepeated", "the counter begins again at less", "50m", of_gpu(XID, "40x10 1x60", {"xid": 31})),
    silent("GpuXidRepeated", "they are long ago", "150m", of_gpu(XID, "1+2x9 19x200", {"xid": 31})),
    fires("GpuXidUnknown", "a code that no class has", "11m", seen(999, "_x10 600x60"), who=[A]),
    silent("GpuXidUnknown", "a code that has a class", "11m", seen(79, "_x10 600x60"), seen(106, "_x10 600x60", "B")),
)
MEMORY: tuple[Case, ...] = (
    fires("GpuUncorrectableEcc", "the first error of a GPU", "12m", of_gpu(ECC_ERRORS, "0x10 1x60", VOLATILE), who=[A]),
    silent("GpuUncorrectableEcc", "the error is long ago", "120m", of_gpu(ECC_ERRORS, "0x10 1x200", VOLATILE)),
    silent(
        "GpuUncorrectableEcc",
        "a reload of the driver sets the counter back",
        "30m",
        of_gpu(ECC_ERRORS, "3x10 0x60", VOLATILE),
    ),
    silent(
        "GpuUncorrectableEcc",
        "a GPU with old errors comes new into the fleet",
        "12m",
        of_gpu(ECC_ERRORS, "_x10 7x60", VOLATILE),
    ),
    silent(
        "GpuUncorrectableEcc",
        "errors of its whole life are not counted twice",
        "12m",
        of_gpu(ECC_ERRORS, "0x10 1x9", AGGREGATE),
    ),
    fires("GpuSramErrorsOverThreshold", "the flag is set", "5m", of_gpu(SRAM_THRESHOLD, "1x9"), who=[A]),
    silent("GpuSramErrorsOverThreshold", "it is not", "5m", of_gpu(SRAM_THRESHOLD, "0x9")),
    fires(
        "GpuMemoryRepairPending",
        "a row waits",
        "10m",
        of_gpu(REMAP_PENDING, "1x20"),
        of_gpu(REMAP_PENDING, "0x20", gpu="B"),
        who=[A],
    ),
    fires(
        "GpuMemoryRepairPending",
        "a bank waits",
        "10m",
        of_gpu(REMAP_PENDING, "0x20"),
        of_gpu(BANK_REMAP_PENDING, "1x20"),
        who=[A],
    ),
    fires(
        "GpuMemoryRepairPending",
        "a channel waits",
        "10m",
        of_gpu(REPAIR_PENDING, "1x20", {"cause": "channel"}),
        who=[A],
    ),
    silent(
        "GpuMemoryRepairPending",
        "nothing waits",
        "10m",
        of_gpu(REMAP_PENDING, "0x20"),
        of_gpu(BANK_REMAP_PENDING, "0x20"),
    ),
    silent("GpuMemoryRepairPending", "a reset has repaired it", "20m", of_gpu(REMAP_PENDING, "1x10 0x20")),
    fires("GpuRowRemapFailure", "no spare row is left", "5m", of_gpu(REMAP_FAILURE, "1x9"), who=[A]),
    silent("GpuRowRemapFailure", "there are some", "5m", of_gpu(REMAP_FAILURE, "0x9")),
)
HELD_DOWN: tuple[Case, ...] = (
    fires("GpuThermalSlowdown", "a tenth of the time", "15m", throttled("hw_thermal", "0+6x30"), who=[A]),
    fires(
        "GpuThermalSlowdown",
        "an older driver does not count the time",
        "15m",
        of_gpu(THROTTLE_ACTIVE, "1x30", {"reason": "sw_thermal"}),
        who=[A],
    ),
    fires(
        "GpuThermalSlowdown",
        "it stops and starts, and keeps firing",
        "22m",
        throttled("hw_thermal", "0+6x14 84x30"),
        who=[A],
    ),
    silent("GpuThermalSlowdown", "a second in an hour", "15m", throttled("hw_thermal", "0x8 1x30")),
    silent(
        "GpuThermalSlowdown",
        "a reload of the driver sets the counter back",
        "15m",
        throttled("hw_thermal", "900x8 0x30"),
    ),
    silent("GpuThermalSlowdown", "the power limit holds it down", "15m", throttled("power_cap", "0+50x30")),
    fires("GpuPowerBrake", "the server brakes", "15m", throttled("power_brake", "0+3x30"), who=[A]),
    silent("GpuPowerBrake", "it does not", "15m", throttled("power_brake", "0x30")),
    fires("GpuTemperatureMarginLow", "two degrees are left", "15m", of_gpu(TEMPERATURE_MARGIN, "2x30"), who=[A]),
    silent("GpuTemperatureMarginLow", "twenty are left", "15m", of_gpu(TEMPERATURE_MARGIN, "20x30")),
    silent("GpuTemperatureMarginLow", "a peak of minutes", "15m", of_gpu(TEMPERATURE_MARGIN, "20x9 2x3 20x30")),
    fires("GpuPowerCapped", "all the time", "60m", throttled("power_cap", "0+60x90"), who=[A]),
    silent("GpuPowerCapped", "half of the time", "60m", throttled("power_cap", "0+30x90")),
    fires(
        "GpuPowerLimitLowered",
        "someone halved it",
        "90m",
        of_gpu(POWER_LIMIT, "350x90", {"hw.limit_type": "enforced"}),
        of_gpu(POWER_LIMIT, "700x90", {"hw.limit_type": "default"}),
        who=[A],
    ),
    silent(
        "GpuPowerLimitLowered",
        "it is the default",
        "90m",
        of_gpu(POWER_LIMIT, "700x90", {"hw.limit_type": "enforced"}),
        of_gpu(POWER_LIMIT, "700x90", {"hw.limit_type": "default"}),
    ),
    silent(
        "GpuPowerLimitLowered",
        "the default is not known",
        "90m",
        of_gpu(POWER_LIMIT, "350x90", {"hw.limit_type": "enforced"}),
    ),
    fires("GpuClocksStuck", "busy at a third of its clock", "30m", *clock("6e8x60"), busy("0.9x60"), who=[A]),
    silent("GpuClocksStuck", "it is idle", "30m", *clock("6e8x60"), busy("0.1x60")),
    silent(
        "GpuClocksStuck",
        "heat explains it",
        "30m",
        *clock("6e8x60"),
        busy("0.9x60"),
        of_gpu(THROTTLE_ACTIVE, "1x60", {"reason": "hw_thermal"}),
    ),
    silent("GpuClocksStuck", "the highest clock is not known", "30m", clock("6e8x60")[0], busy("0.9x60")),
)
USE: tuple[Case, ...] = (
    fires(
        "GpuIdleAllocated",
        "weights are loaded and nobody asks",
        "90m",
        busy("0x90"),
        of_gpu(MEMORY_UTILIZATION, "0.9x90"),
        who=[A],
    ),
    silent("GpuIdleAllocated", "nothing is loaded", "90m", busy("0x90"), of_gpu(MEMORY_UTILIZATION, "0.01x90")),
    silent("GpuIdleAllocated", "one request came", "90m", busy("0x60 0.8 0x30"), of_gpu(MEMORY_UTILIZATION, "0.9x90")),
    silent("GpuIdleAllocated", "utilization is not known, as with MIG", "90m", of_gpu(MEMORY_UTILIZATION, "0.9x90")),
)
CASES = (*PRESENCE, *XIDS, *MEMORY, *HELD_DOWN, *USE)
