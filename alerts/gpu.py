# SPDX-License-Identifier: Apache-2.0
"""Alerts about GPUs: lost, failing, held down, and paid for without use."""

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
    RETIRED_PENDING,
    SRAM_THRESHOLD,
    STATUS,
    XID,
    XID_LAST_SEEN,
)
from agent.catalogue.own import READER_UP
from agent.promql import Expr, Not, NotRegex, Regex, Scope, now
from alerts import thresholds as to
from alerts.alert import GPU, NODE, Alert, Severity, grew
from alerts.thresholds import Thresholds
from alerts.xids import APPLICATION, CLASSES, FABRIC, HARDWARE, WORN, XidClass

_NAMED = (*GPU, "hw.name")


def gpu(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    """List them."""
    return (
        *_presence(scope, limits),
        *_xids(scope, limits),
        *_memory(scope, limits),
        *_held_down(scope, limits),
        *_use(scope, limits),
    )


def _presence(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    failed = scope.of(STATUS, {"hw.state": "failed", "hw.type": "gpu"}).equals(1)
    reader = scope.of(READER_UP).equals(1)
    seen = scope.of(GPU_INFO).over("last", limits.period(to.GPU_REMEMBERED)).max(*_NAMED, "hw.model")
    return (
        Alert(
            name="GpuLost",
            severity="critical",
            expr=failed,
            hold="1m",
            keep="5m",
            meaning="The driver cannot reach the GPU, or calls to it do not return.",
            summary="GPU {hw.name} of {instance} cannot be reached",
            description="The driver no longer reaches {hw.name} ({hw.id}) of {instance}. Engines that use it have "
            "failed or hang.",
        ),
        Alert(
            name="GpuMissing",
            severity="warning",
            expr=seen.unless(scope.of(GPU_INFO), *GPU).unless(failed, *GPU).where(reader, *NODE),
            hold="10m",
            thresholds=(to.GPU_REMEMBERED,),
            meaning="A GPU that was there of late is not listed by the driver, while the others are.",
            summary="GPU {hw.name} of {instance} is gone",
            description="{hw.name} ({hw.model}, {hw.id}) was in {instance} and the driver does not list it now.",
        ),
        Alert(
            name="GpuReadingsOld",
            severity="warning",
            expr=(now() - scope.of(LAST_READ) > limits.limit(to.READING_AGE)).unless(failed, *GPU).where(reader, *NODE),
            hold="2m",
            keep="5m",
            thresholds=(to.READING_AGE,),
            meaning="One GPU is not read any more, while the reader process answers.",
            summary="GPU {hw.name} of {instance} is not read",
            description="The last reading of {hw.name} of {instance} that succeeded is {value:duration} old.",
        ),
        Alert(
            name="GpuRecoveryActionNeeded",
            severity="critical",
            expr=scope.of(RECOVERY_ACTION, {"action": Not("none")}).equals(1),
            hold="1m",
            keep="5m",
            meaning="The driver says that the GPU needs an action to recover.",
            summary="GPU {hw.name} of {instance} needs: {action}",
            description="The driver asks for `{action}` of {hw.name} ({hw.id}) of {instance} before it is used again.",
        ),
    )


def _xids(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    known = Regex("|".join(str(code) for code in sorted(code for some in CLASSES for code in some.codes)))

    def recent(codes: str) -> Expr:
        return now() - scope.of(XID_LAST_SEEN, {"xid": codes}) < limits.limit(to.XID_RECENT)

    def of_class(name: str, severity: Severity, some: XidClass, meaning: str) -> Alert:
        return Alert(
            name=name,
            severity=severity,
            expr=recent(some.pattern),
            thresholds=(to.XID_RECENT,),
            meaning=meaning,
            summary="XID {xid} on GPU {hw.name} of {instance}",
            description=f"XID {{xid}} came {{value:duration}} ago on {{hw.name}} ({{hw.id}}) of {{instance}}. "
            f"{some.brief}",
        )

    return (
        of_class("GpuXidHardware", "critical", HARDWARE, "An XID of hardware was seen of late."),
        of_class("GpuXidFabric", "critical", FABRIC, "An XID of NVLink or its switches was seen of late."),
        of_class("GpuXidWorn", "warning", WORN, "An XID of an error that was contained or repaired was seen of late."),
        of_class("GpuXidApplication", "info", APPLICATION, "An XID of an application was seen of late."),
        Alert(
            name="GpuXidRepeated",
            severity="warning",
            expr=grew(scope, XID, {"xid": APPLICATION.pattern}, "1h", limits.limit(to.XID_REPEATED)),
            keep="15m",
            thresholds=(to.XID_REPEATED,),
            meaning="The same XID of an application comes again and again on one GPU.",
            summary="XID {xid} repeats on GPU {hw.name} of {instance}",
            description="XID {xid} came {value} times within an hour on {hw.name} ({hw.id}) of {instance}. Where only "
            "this GPU has it, suspect the GPU.",
        ),
        Alert(
            name="GpuXidUnknown",
            severity="warning",
            expr=recent(NotRegex(known)),
            thresholds=(to.XID_RECENT,),
            meaning="An XID that is in no class was seen of late.",
            summary="XID {xid} on GPU {hw.name} of {instance}, which is in no class",
            description="XID {xid} came {value:duration} ago on {hw.name} ({hw.id}) of {instance}. NVIDIA's catalogue "
            "of XIDs says what it asks for.",
        ),
    )


def _memory(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    pending = (
        (scope.of(REMAP_PENDING).equals(1) | scope.of(BANK_REMAP_PENDING).equals(1))
        | scope.of(RETIRED_PENDING).equals(1)
        | scope.of(REPAIR_PENDING).equals(1)
    )
    uncorrected = {"error.type": "uncorrected", "lifetime": "volatile"}
    return (
        Alert(
            name="GpuUncorrectableEcc",
            severity="critical",
            expr=scope.increase(ECC_ERRORS, uncorrected, limits.period(to.ECC_RECENT)) > 0,
            thresholds=(to.ECC_RECENT,),
            meaning="A memory error that ECC could not correct was counted of late.",
            summary="Uncorrectable memory error on GPU {hw.name} of {instance}",
            description="{value} uncorrectable errors in {location} of {hw.name} ({hw.id}) of {instance}. What ran "
            "there was ended, or has computed with wrong data.",
        ),
        Alert(
            name="GpuSramErrorsOverThreshold",
            severity="critical",
            expr=scope.of(SRAM_THRESHOLD).equals(1),
            hold="1m",
            meaning="Uncorrected SRAM errors passed NVIDIA's threshold for replacing the board.",
            summary="GPU {hw.name} of {instance} is to be replaced",
            description="The SRAM of {hw.name} ({hw.id}) of {instance} had more uncorrectable errors than NVIDIA "
            "allows.",
        ),
        Alert(
            name="GpuMemoryRepairPending",
            severity="warning",
            expr=pending,
            hold="5m",
            meaning="A row, bank, page or channel of memory waits for a reset to be replaced by a spare one.",
            summary="GPU {hw.name} of {instance} waits for a reset to repair its memory",
            description="Memory of {hw.name} ({hw.id}) of {instance} is to be replaced by spare memory at the next "
            "reset. Until then errors may come again.",
        ),
        Alert(
            name="GpuRowRemapFailure",
            severity="critical",
            expr=scope.of(REMAP_FAILURE).equals(1),
            hold="1m",
            meaning="A row of memory could not be replaced: there are no spare ones left.",
            summary="GPU {hw.name} of {instance} has no spare memory rows left",
            description="A row of {hw.name} ({hw.id}) of {instance} could not be remapped. The board needs service.",
        ),
    )


def _throttled(scope: Scope, reason: str, window: str, share: float) -> Expr:
    """Select GPUs held down for this share of time, or of samples: older drivers do not count it."""
    where = {"reason": Regex(reason)}
    return (scope.rate(THROTTLE_DURATION, where, window) > share) | (
        scope.of(THROTTLE_ACTIVE, where).over("avg", window) > share
    )


def _held_down(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    power = {kind: scope.of(POWER_LIMIT, {"hw.limit_type": kind}) for kind in ("enforced", "default")}
    clock = scope.of(CLOCK, {"clock": "sm"}).per(scope.of(CLOCK_LIMIT, {"clock": "sm"}), *_NAMED)
    busy = scope.of(GPU_UTILIZATION, {"hw.gpu.task": "general"}) > limits.limit(to.CLOCK_UTILIZATION)
    explained = scope.of(THROTTLE_ACTIVE, {"reason": NotRegex("idle|app_clocks")}).equals(1)
    return (
        Alert(
            name="GpuThermalSlowdown",
            severity="warning",
            expr=_throttled(scope, "hw_thermal|sw_thermal", "5m", limits.limit(to.THERMAL_SHARE)),
            hold="5m",
            keep="10m",
            thresholds=(to.THERMAL_SHARE,),
            meaning="Heat holds the clocks down for a share of the time.",
            summary="GPU {hw.name} of {instance} is slowed down by heat",
            description="For {value:percent} of the time {reason} holds the clocks of {hw.name} of {instance} down.",
        ),
        Alert(
            name="GpuPowerBrake",
            severity="warning",
            expr=_throttled(scope, "power_brake", "5m", limits.limit(to.BRAKE_SHARE)),
            hold="2m",
            keep="10m",
            thresholds=(to.BRAKE_SHARE,),
            meaning="The server asks the GPU by a signal to brake: its power supply is short.",
            summary="The power brake of GPU {hw.name} of {instance} is on",
            description="For {value:percent} of the time the server brakes {hw.name} of {instance}, which takes its "
            "clocks far down.",
        ),
        Alert(
            name="GpuTemperatureMarginLow",
            severity="warning",
            expr=scope.of(TEMPERATURE_MARGIN) < limits.limit(to.MARGIN),
            hold="10m",
            keep="10m",
            thresholds=(to.MARGIN,),
            meaning="The GPU is close to the temperature that slows it down.",
            summary="GPU {hw.name} of {instance} is close to slowing down",
            description="{hw.name} of {instance} is {value} °C from the temperature that slows it down.",
        ),
        Alert(
            name="GpuPowerCapped",
            severity="info",
            expr=_throttled(scope, "power_cap", "15m", limits.limit(to.POWER_CAP_SHARE)),
            hold="30m",
            thresholds=(to.POWER_CAP_SHARE,),
            meaning="The GPU has been at its power limit nearly all the time.",
            summary="GPU {hw.name} of {instance} is at its power limit",
            description="For {value:percent} of the time the power limit holds the clocks of {hw.name} of {instance} "
            "down.",
        ),
        Alert(
            name="GpuPowerLimitLowered",
            severity="info",
            expr=power["enforced"].per(power["default"], *_NAMED) < limits.limit(to.POWER_LIMIT_SHARE),
            hold="1h",
            thresholds=(to.POWER_LIMIT_SHARE,),
            meaning="The power limit in force is below the board's default.",
            summary="GPU {hw.name} of {instance} has a lowered power limit",
            description="The power limit in force on {hw.name} of {instance} is {value:percent} of the board's "
            "default.",
        ),
        Alert(
            name="GpuClocksStuck",
            severity="warning",
            expr=(clock < limits.limit(to.CLOCK_SHARE)).where(busy, *GPU).unless(explained, *GPU),
            hold="15m",
            keep="10m",
            thresholds=(to.CLOCK_SHARE, to.CLOCK_UTILIZATION),
            meaning="A busy GPU runs far below its highest clock, and the driver gives no reason.",
            summary="The clocks of GPU {hw.name} of {instance} stay low",
            description="{hw.name} of {instance} is busy with its SM clock at {value:percent} of the highest, and "
            "nothing is said to hold it down.",
        ),
    )


def _use(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    busiest = scope.of(GPU_UTILIZATION, {"hw.gpu.task": "general"}).over("max", limits.period(to.IDLE_PERIOD))
    held = scope.of(MEMORY_UTILIZATION) > limits.limit(to.IDLE_MEMORY)
    return (
        Alert(
            name="GpuIdleAllocated",
            severity="info",
            expr=(busiest < limits.limit(to.IDLE_UTILIZATION)).where(held, *GPU),
            hold="15m",
            thresholds=(to.IDLE_UTILIZATION, to.IDLE_MEMORY, to.IDLE_PERIOD),
            meaning="Memory of the GPU is taken, and no kernel ran for long.",
            summary="GPU {hw.name} of {instance} is allocated and idle",
            description="Programs hold memory of {hw.name} of {instance}, and its utilization was {value:percent} at "
            "most.",
        ),
    )
