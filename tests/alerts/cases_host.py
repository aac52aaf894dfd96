# SPDX-License-Identifier: Apache-2.0
"""When alerts about the host fire, and when they must not."""

from agent.catalogue.host import FILESYSTEM_LIMIT, FILESYSTEM_USAGE, OOM_KILLS, PRESSURE
from agent.catalogue.tcp import LISTEN_OVERFLOWS, RETRANSMITS, SEGMENTS
from tests.alerts.cases import Case, Input, fires, silent, stored

FIRST = {"instance": "n1"}
ROOT = {"system.device": "sda1", "system.filesystem.mountpoint": "/", "system.filesystem.mode": "rw"}
FREE = {"system.filesystem.state": "free"}


def stalls(resource: str, stall: str, values: str) -> Input:
    return stored(PRESSURE, values, {"resource": resource, "stall_type": stall})


def sent(values: str) -> Input:
    return stored(SEGMENTS, values, {"network.io.direction": "transmit"})


CASES: tuple[Case, ...] = (
    fires(
        "HostOutOfMemory",
        "the first one, on one node of two",
        "12m",
        stored(OOM_KILLS, "0x9 1x30"),
        stored(OOM_KILLS, "0x40", node="n2"),
        who=[FIRST],
    ),
    silent("HostOutOfMemory", "one before the agent came", "12m", stored(OOM_KILLS, "_x9 3x30")),
    fires("HostMemoryPressure", "a third of the time", "30m", stalls("memory", "full", "0+20x60"), who=[FIRST]),
    silent("HostMemoryPressure", "some wait", "30m", stalls("memory", "some", "0+20x60")),
    silent("HostMemoryPressure", "a minute of it", "30m", stalls("memory", "full", "0x20 50x60")),
    fires("HostCpuPressure", "nearly always", "90m", stalls("cpu", "some", "0+58x120"), who=[FIRST]),
    silent("HostCpuPressure", "half of the time", "90m", stalls("cpu", "some", "0+30x120")),
    fires(
        "HostFilesystemFull",
        "a hundredth is free",
        "30m",
        stored(FILESYSTEM_USAGE, "1e9x60", {**ROOT, **FREE}),
        stored(FILESYSTEM_LIMIT, "1e11x60", ROOT),
        who=[{"system.filesystem.mountpoint": "/"}],
    ),
    silent(
        "HostFilesystemFull",
        "half is free",
        "30m",
        stored(FILESYSTEM_USAGE, "5e10x60", {**ROOT, **FREE}),
        stored(FILESYSTEM_LIMIT, "1e11x60", ROOT),
    ),
    silent(
        "HostFilesystemFull",
        "an image is always full",
        "30m",
        stored(FILESYSTEM_USAGE, "0x60", {**ROOT, **FREE, "system.filesystem.mode": "ro"}),
        stored(FILESYSTEM_LIMIT, "1e11x60", {**ROOT, "system.filesystem.mode": "ro"}),
    ),
    fires("HostTcpRetransmits", "a tenth", "45m", stored(RETRANSMITS, "0+100x60"), sent("0+1000x60"), who=[FIRST]),
    silent("HostTcpRetransmits", "one in a thousand", "45m", stored(RETRANSMITS, "0+1x60"), sent("0+1000x60")),
    silent("HostTcpRetransmits", "nothing is sent", "45m", stored(RETRANSMITS, "9x60"), sent("9x60")),
    fires("HostListenOverflows", "five a minute", "30m", stored(LISTEN_OVERFLOWS, "0+5x60"), who=[FIRST]),
    silent("HostListenOverflows", "one", "30m", stored(LISTEN_OVERFLOWS, "0x20 1x60")),
)
