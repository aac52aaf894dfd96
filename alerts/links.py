# SPDX-License-Identifier: Apache-2.0
"""Alerts about what connects GPUs: NVLink, its fabric, C2C and PCIe.

The driver counts errors of links from its start, so that the first one is seen to grow from 0.
"""

from agent.catalogue.gpu import GPU_UTILIZATION
from agent.catalogue.health import FABRIC_HEALTH, FABRIC_STATE, FABRIC_STATUS
from agent.catalogue.links import (
    C2C_ERRORS,
    C2C_UP,
    NVLINK_ERRORS,
    NVLINK_STATE,
    PCIE_ERRORS,
    PCIE_GENERATION,
    PCIE_GENERATION_LIMIT,
    PCIE_REPLAYS,
    PCIE_WIDTH,
    PCIE_WIDTH_LIMIT,
)
from agent.promql import Regex, Scope
from alerts import thresholds as to
from alerts.alert import GPU, Alert
from alerts.thresholds import Thresholds


def links(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    """List them."""
    return (
        *_nvlink(scope, limits),
        *_fabric(scope),
        *_c2c(scope, limits),
        *_pcie(scope, limits),
    )


def _nvlink(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    down = scope.of(NVLINK_STATE, {"state": Regex("inactive|disabled")}).equals(1)
    up = scope.of(NVLINK_STATE, {"state": Regex("active|sleep")})
    was_up = up.over("last", limits.period(to.GPU_REMEMBERED))
    return (
        Alert(
            name="NvLinkDown",
            severity="critical",
            # A board without bridges has links that were never up, and no other is.
            expr=down.where(up, *GPU) | down.where(was_up, *GPU, "link"),
            hold="2m",
            keep="5m",
            thresholds=(to.GPU_REMEMBERED,),
            meaning="An NVLink is down that was up of late, or whose neighbours are up.",
            summary="NVLink {link} of GPU {hw.name} of {instance} is {state}",
            description="NVLink {link} of {hw.name} ({hw.id}) of {instance} is {state}. Collectives take other ways "
            "or fail.",
        ),
        Alert(
            name="NvLinkErrors",
            severity="warning",
            expr=scope.rate(NVLINK_ERRORS, {"error.type": Regex("replay|crc|effective")}, "15m")
            > limits.limit(to.NVLINK_ERROR_RATE),
            hold="15m",
            keep="15m",
            thresholds=(to.NVLINK_ERROR_RATE,),
            meaning="An NVLink repairs many errors.",
            summary="NVLink {link} of GPU {hw.name} of {instance} has {error.type} errors",
            description="NVLink {link} of {hw.name} of {instance} has {value} {error.type} errors a second.",
        ),
        Alert(
            name="NvLinkRecovering",
            severity="warning",
            expr=scope.increase(NVLINK_ERRORS, {"error.type": "recovery"}, "1h") > limits.limit(to.NVLINK_RECOVERIES),
            keep="15m",
            thresholds=(to.NVLINK_RECOVERIES,),
            meaning="An NVLink went down and came back several times.",
            summary="NVLink {link} of GPU {hw.name} of {instance} recovers again and again",
            description="NVLink {link} of {hw.name} of {instance} recovered {value} times within an hour. Each time "
            "all traffic over it waited.",
        ),
        Alert(
            name="NvLinkRecoveryFailed",
            severity="critical",
            expr=scope.increase(NVLINK_ERRORS, {"error.type": "recovery_failed"}, limits.period(to.LINK_RECENT)) > 0,
            thresholds=(to.LINK_RECENT,),
            meaning="An NVLink went down and did not come back by itself.",
            summary="NVLink {link} of GPU {hw.name} of {instance} did not recover",
            description="{value} recoveries of NVLink {link} of {hw.name} ({hw.id}) of {instance} failed.",
        ),
    )


def _fabric(scope: Scope) -> tuple[Alert, ...]:
    waiting = scope.of(FABRIC_STATE, {"hw.state": Regex("not_started|in_progress")}).equals(1)
    refused = scope.of(FABRIC_STATUS).differs(0).where(scope.of(FABRIC_STATE, {"hw.state": "completed"}), *GPU)
    return (
        Alert(
            name="GpuFabricUnhealthy",
            severity="critical",
            expr=scope.of(FABRIC_HEALTH).equals(1),
            hold="5m",
            keep="5m",
            meaning="The NVLink fabric reports a problem for this GPU.",
            summary="The fabric of GPU {hw.name} of {instance} has {error.type}",
            description="The NVLink fabric reports `{error.type}` for {hw.name} ({hw.id}) of {instance}.",
        ),
        Alert(
            name="GpuFabricNotJoined",
            severity="warning",
            expr=waiting | refused,
            hold="10m",
            keep="5m",
            meaning="The GPU has not joined its NVLink fabric, or was not let in.",
            summary="GPU {hw.name} of {instance} has not joined its fabric",
            description="{hw.name} ({hw.id}) of {instance} is not a member of its NVLink fabric, so that programs on "
            "several GPUs do not start.",
        ),
    )


def _c2c(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    return (
        Alert(
            name="C2cDown",
            severity="critical",
            expr=scope.of(C2C_UP).equals(0),
            hold="1m",
            keep="5m",
            meaning="A link between GPU and CPU of a superchip is down.",
            summary="C2C link {link} of GPU {hw.name} of {instance} is down",
            description="C2C link {link} between {hw.name} ({hw.id}) of {instance} and its CPU is down.",
        ),
        Alert(
            name="C2cErrors",
            severity="warning",
            expr=scope.rate(C2C_ERRORS, {"error.type": "crc"}, "15m") > limits.limit(to.C2C_ERROR_RATE),
            hold="15m",
            keep="15m",
            thresholds=(to.C2C_ERROR_RATE,),
            meaning="A C2C link repairs many errors.",
            summary="C2C link {link} of GPU {hw.name} of {instance} has CRC errors",
            description="C2C link {link} of {hw.name} of {instance} has {value} CRC errors a second.",
        ),
    )


def _pcie(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    same = (*GPU, "hw.name")
    period = limits.period(to.PCIE_PERIOD)
    reached = scope.of(PCIE_GENERATION).over("max", period)
    utilization = scope.of(GPU_UTILIZATION, {"hw.gpu.task": "general"}).over("max", period)
    busy = utilization > limits.limit(to.PCIE_UTILIZATION)
    return (
        Alert(
            name="PcieWidthReduced",
            severity="warning",
            expr=scope.of(PCIE_WIDTH).per(scope.of(PCIE_WIDTH_LIMIT), *same) < 1,
            hold="10m",
            keep="10m",
            meaning="The PCIe link of a GPU has fewer lanes than GPU and slot have.",
            summary="PCIe of GPU {hw.name} of {instance} lost lanes",
            description="The PCIe link of {hw.name} of {instance} runs with {value:percent} of its lanes.",
        ),
        Alert(
            name="PcieGenerationReduced",
            severity="warning",
            # The link falls to a slower generation when idle, which is no fault.
            expr=(reached.per(scope.of(PCIE_GENERATION_LIMIT), *same) < 1).where(busy, *GPU),
            hold="10m",
            thresholds=(to.PCIE_PERIOD, to.PCIE_UTILIZATION),
            meaning="The PCIe link of a busy GPU never reached the generation that GPU and slot have.",
            summary="PCIe of GPU {hw.name} of {instance} is slower than its slot",
            description="The PCIe link of {hw.name} of {instance} reached {value:percent} of its generation at most.",
        ),
        Alert(
            name="PcieErrors",
            severity="critical",
            expr=scope.increase(PCIE_ERRORS, {"error.type": Regex("fatal|non_fatal")}, limits.period(to.LINK_RECENT))
            > 0,
            thresholds=(to.LINK_RECENT,),
            meaning="The PCIe link of a GPU had errors that were not corrected.",
            summary="PCIe {error.type} errors on GPU {hw.name} of {instance}",
            description="{value} {error.type} errors on the PCIe link of {hw.name} ({hw.id}) of {instance}.",
        ),
        Alert(
            name="PcieReplays",
            severity="warning",
            expr=scope.rate(PCIE_REPLAYS, None, "15m") > limits.limit(to.PCIE_REPLAY_RATE),
            hold="15m",
            keep="15m",
            thresholds=(to.PCIE_REPLAY_RATE,),
            meaning="The PCIe link of a GPU sends many packets again.",
            summary="PCIe of GPU {hw.name} of {instance} sends packets again",
            description="The PCIe link of {hw.name} of {instance} sends {value} packets a second again.",
        ),
    )
