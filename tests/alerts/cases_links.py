# SPDX-License-Identifier: Apache-2.0
"""When alerts about links fire, and when they must not."""

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
from tests.alerts.cases import Case, Input, Told, fires, of_gpu, silent

A = {"hw.id": "A"}
FIRST: Told = {"hw.id": "A", "link": 0}


def state(link: int, word: str, values: str, node: str = "n1") -> Input:
    return of_gpu(NVLINK_STATE, values, {"link": link, "state": word}, node=node)


def errors(kind: str, values: str) -> Input:
    return of_gpu(NVLINK_ERRORS, values, {"link": 0, "error.type": kind})


def busy(values: str) -> Input:
    return of_gpu(GPU_UTILIZATION, values, {"hw.gpu.task": "general"})


CASES: tuple[Case, ...] = (
    fires(
        "NvLinkDown",
        "one of two is down from the start",
        "8m",
        state(0, "inactive", "1x20"),
        state(1, "active", "1x20"),
        who=[FIRST],
    ),
    fires(
        "NvLinkDown",
        "all of one node go down and those of another stay",
        "18m",
        state(0, "active", "1x8 stale _x20"),
        state(0, "inactive", "_x9 1x20"),
        state(0, "active", "1x30", node="n2"),
        who=[{"hw.id": "A", "link": 0, "instance": "n1"}],
    ),
    fires(
        "NvLinkDown",
        "a link that flaps keeps firing",
        "12m",
        state(0, "inactive", "1 1 1 1 1 stale _ _ 1 stale _ _ _"),
        state(1, "active", "1x20"),
        who=[FIRST],
    ),
    silent("NvLinkDown", "a link sleeps", "8m", state(0, "sleep", "1x20"), state(1, "active", "1x20")),
    silent(
        "NvLinkDown",
        "a board without bridges has none up",
        "8m",
        state(0, "inactive", "1x20"),
        state(1, "inactive", "1x20"),
    ),
    fires("NvLinkErrors", "two replays a second", "45m", errors("replay", "0+120x60"), who=[FIRST]),
    silent("NvLinkErrors", "one in a minute", "45m", errors("replay", "0+1x60")),
    silent("NvLinkErrors", "a reset of the GPU sets the counter back", "45m", errors("replay", "90000x30 0x60")),
    fires("NvLinkRecovering", "five times", "30m", errors("recovery", "0x10 1 2 3 4 5x60"), who=[FIRST]),
    silent("NvLinkRecovering", "once", "30m", errors("recovery", "0x10 1x60")),
    fires("NvLinkRecoveryFailed", "the first one ever", "30m", errors("recovery_failed", "0x20 1x60"), who=[FIRST]),
    silent(
        "NvLinkRecoveryFailed", "one that is old when it is first read", "30m", errors("recovery_failed", "_x20 1x60")
    ),
    fires(
        "GpuFabricUnhealthy",
        "bandwidth is degraded",
        "10m",
        of_gpu(FABRIC_HEALTH, "1x20", {"error.type": "degraded_bandwidth"}),
        of_gpu(FABRIC_HEALTH, "0x20", {"error.type": "route_unhealthy"}),
        who=[{"hw.id": "A", "error.type": "degraded_bandwidth"}],
    ),
    silent(
        "GpuFabricUnhealthy", "it is not", "10m", of_gpu(FABRIC_HEALTH, "0x20", {"error.type": "degraded_bandwidth"})
    ),
    fires(
        "GpuFabricNotJoined",
        "it goes on for long",
        "15m",
        of_gpu(FABRIC_STATE, "1x30", {"hw.state": "in_progress"}),
        who=[A],
    ),
    fires(
        "GpuFabricNotJoined",
        "the fabric refused it",
        "15m",
        of_gpu(FABRIC_STATE, "1x30", {"hw.state": "completed"}),
        of_gpu(FABRIC_STATUS, "7x30"),
        who=[A],
    ),
    silent(
        "GpuFabricNotJoined",
        "it has joined",
        "15m",
        of_gpu(FABRIC_STATE, "1x5 stale _x30", {"hw.state": "in_progress"}),
        of_gpu(FABRIC_STATE, "_x6 1x30", {"hw.state": "completed"}),
        of_gpu(FABRIC_STATUS, "0x30"),
    ),
    silent(
        "GpuFabricNotJoined", "there is no fabric", "15m", of_gpu(FABRIC_STATE, "1x30", {"hw.state": "not_supported"})
    ),
    fires(
        "C2cDown",
        "one of two is down",
        "5m",
        of_gpu(C2C_UP, "0x9", {"link": 0}),
        of_gpu(C2C_UP, "1x9", {"link": 1}),
        who=[FIRST],
    ),
    silent("C2cDown", "all are up", "5m", of_gpu(C2C_UP, "1x9", {"link": 0})),
    fires(
        "C2cErrors", "one a second", "45m", of_gpu(C2C_ERRORS, "0+60x60", {"link": 0, "error.type": "crc"}), who=[FIRST]
    ),
    silent(
        "C2cErrors",
        "one in a quarter of an hour",
        "45m",
        of_gpu(C2C_ERRORS, "0x30 1x60", {"link": 0, "error.type": "crc"}),
    ),
    fires(
        "PcieWidthReduced",
        "half the lanes",
        "15m",
        of_gpu(PCIE_WIDTH, "8x30"),
        of_gpu(PCIE_WIDTH_LIMIT, "16x30"),
        who=[A],
    ),
    silent("PcieWidthReduced", "all lanes", "15m", of_gpu(PCIE_WIDTH, "16x30"), of_gpu(PCIE_WIDTH_LIMIT, "16x30")),
    silent("PcieWidthReduced", "how many there are is not known", "15m", of_gpu(PCIE_WIDTH, "8x30")),
    fires(
        "PcieGenerationReduced",
        "busy and never at its generation",
        "60m",
        of_gpu(PCIE_GENERATION, "3x90"),
        of_gpu(PCIE_GENERATION_LIMIT, "5x90"),
        busy("0.9x90"),
        who=[A],
    ),
    silent(
        "PcieGenerationReduced",
        "idle links are slow",
        "60m",
        of_gpu(PCIE_GENERATION, "1x90"),
        of_gpu(PCIE_GENERATION_LIMIT, "5x90"),
        busy("0x90"),
    ),
    silent(
        "PcieGenerationReduced",
        "it was there when it had work",
        "60m",
        of_gpu(PCIE_GENERATION, "1x40 5 1x90"),
        of_gpu(PCIE_GENERATION_LIMIT, "5x140"),
        busy("0x40 0.9 0x90"),
    ),
    fires(
        "PcieErrors", "the first fatal one", "30m", of_gpu(PCIE_ERRORS, "0x20 1x60", {"error.type": "fatal"}), who=[A]
    ),
    silent("PcieErrors", "corrected ones", "30m", of_gpu(PCIE_ERRORS, "0+5x60", {"error.type": "correctable"})),
    silent("PcieErrors", "an old one", "200m", of_gpu(PCIE_ERRORS, "0x20 1x300", {"error.type": "fatal"})),
    fires("PcieReplays", "one a second", "45m", of_gpu(PCIE_REPLAYS, "0+60x60"), who=[A]),
    silent("PcieReplays", "one in an hour", "45m", of_gpu(PCIE_REPLAYS, "0x20 1x60")),
)
