# SPDX-License-Identifier: Apache-2.0
"""What the metrics of the host are about: its CPUs, memory, disks, network stack, sensors and engines' processes."""

from typing import Annotated, NamedTuple

from agent.entity import Attr, hardware

_DEVICE = Attr("system.device", "Name of the device, without /dev/")
_NODE = Attr("numa.node", "Number of the NUMA node")
_ENGINE = Attr("engine", "Name of the engine on this node")
_RESOURCE = Attr("resource", "What was waited for: cpu, memory, io, irq")
_STALL = Attr("stall_type", "some: at least one task waited; full: all that had work to do waited")
_ID = Attr("hw.id", "cpu, memory or module with the number of its socket, or the name of its chip")
_METER = Attr("hw.name", "What its meter or sensor calls itself")


class Host(NamedTuple):
    """This host."""


class CpuMode(NamedTuple):
    """What the CPUs of the host were doing."""

    mode: Annotated[str, Attr("cpu.mode", "user, nice, system, idle, iowait, interrupt, steal")]
    cpu: Annotated[int | None, Attr("cpu.logical_number", "Number of the CPU, in detail")] = None


class LoadWindow(NamedTuple):
    """A time over which load is averaged."""

    window: Annotated[str, Attr("window", "1m, 5m, 15m")]


class ProcessState(NamedTuple):
    """Threads of the host in a state."""

    state: Annotated[str, Attr("process.state", "running: on a CPU or waiting for one; blocked: waiting for a disk")]


class MemoryState(NamedTuple):
    """Memory of the host in a state."""

    state: Annotated[str, Attr("system.memory.state", "used: what is not available to programs; free, buffers, cached")]


class SlabState(NamedTuple):
    """Memory that the kernel keeps for its own objects."""

    state: Annotated[str, Attr("system.memory.linux.slab.state", "reclaimable, unreclaimable")]


class HugepageState(NamedTuple):
    """Huge pages in a state."""

    state: Annotated[str, Attr("system.memory.linux.hugepages.state", "used, free")]


class PagingState(NamedTuple):
    """Swap space in a state."""

    state: Annotated[str, Attr("system.paging.state", "used, free")]


class PagingFault(NamedTuple):
    """Page faults by whether a disk was needed."""

    type: Annotated[str, Attr("system.paging.fault.type", "major: read from a disk; minor")]


class PagingDirection(NamedTuple):
    """Pages that went to swap space or came from it."""

    direction: Annotated[str, Attr("system.paging.direction", "in, out")]


class Pressure(NamedTuple):
    """Time in which tasks waited for something (pressure stall information)."""

    resource: Annotated[str, _RESOURCE]
    stall: Annotated[str, _STALL]


class Disk(NamedTuple):
    """A disk, without its partitions."""

    device: Annotated[str, _DEVICE]


class DiskDirection(NamedTuple):
    """A direction of a disk's traffic."""

    device: Annotated[str, _DEVICE]
    direction: Annotated[str, Attr("disk.io.direction", "read, write")]


class Filesystem(NamedTuple):
    """A mounted file system."""

    device: Annotated[str, _DEVICE]
    mountpoint: Annotated[str, Attr("system.filesystem.mountpoint", "Where it is mounted, in the agent's view")]
    type: Annotated[str, Attr("system.filesystem.type", "ext4, xfs, tmpfs, …")]
    mode: Annotated[str, Attr("system.filesystem.mode", "rw, ro")]


class FilesystemState(NamedTuple):
    """Space of a file system in a state."""

    filesystem: Filesystem
    state: Annotated[str, Attr("system.filesystem.state", "used; free: for everybody; reserved: free for root")]


class NumaNode(NamedTuple):
    """A NUMA node that has memory."""

    node: Annotated[int, _NODE]


class NumaState(NamedTuple):
    """Memory of a NUMA node in a state."""

    node: Annotated[int, _NODE]
    state: Annotated[str, Attr("system.memory.state", "used: what is not free, caches included; free")]


class NumaAllocation(NamedTuple):
    """Pages taken from a NUMA node."""

    node: Annotated[int, _NODE]
    kind: Annotated[
        str,
        Attr("numa.allocation", "local: for a task that ran on the node; other: for one elsewhere; miss: another node "
                                "was wanted, and full"),
    ]  # fmt: skip


@hardware("temperature")
class HostSensor(NamedTuple):
    """A temperature sensor of the host that is of no GPU and no network adapter."""

    id: Annotated[str, Attr("hw.id", "Device and number of the sensor")]
    chip: Annotated[str, Attr("hw.name", "Name of the chip: coretemp, k10temp, nvme, acpitz, …")]
    location: Annotated[str | None, Attr("hw.sensor_location", "What the chip calls the sensor")] = None


@hardware("temperature")
class HostSensorLimit(NamedTuple):
    """A limit of a temperature sensor of the host."""

    id: Annotated[str, Attr("hw.id", "Device and number of the sensor")]
    chip: Annotated[str, Attr("hw.name", "Name of the chip: coretemp, k10temp, nvme, acpitz, …")]
    location: Annotated[str | None, Attr("hw.sensor_location", "What the chip calls the sensor")]
    limit: Annotated[str, Attr("hw.limit_type", "high.critical")]


@hardware("cpu")
class CpuMeter(NamedTuple):
    """The power of a CPU socket, as the outermost meter around the CPU alone says."""

    id: Annotated[str, _ID]
    meter: Annotated[str, _METER]
    scope: Annotated[str, Attr("scope", "grace: all of the CPU side of a superchip; package: a socket; cpu: its cores")]
    parent: Annotated[str | None, Attr("hw.parent", "The module that it is part of")] = None


@hardware("memory")
class MemoryMeter(NamedTuple):
    """The power of the memory of a socket."""

    id: Annotated[str, _ID]
    meter: Annotated[str, _METER]
    scope: Annotated[str, Attr("scope", "dram")]
    parent: Annotated[str | None, Attr("hw.parent", "The module that it is part of")] = None


@hardware("module")
class ModuleMeter(NamedTuple):
    """The power of a superchip module: its GPUs with their memory, the CPU and its memory."""

    id: Annotated[str, _ID]
    meter: Annotated[str, _METER]
    scope: Annotated[str, Attr("scope", "module")]


class PowerRail(NamedTuple):
    """A part of what another meter measures, or a meter that is not known: never to be added to anything."""

    id: Annotated[str, _ID]
    meter: Annotated[str, _METER]
    scope: Annotated[str, Attr("scope", "cpu, sysio, soc, core, uncore, total, platform, …; unknown")]
    parent: Annotated[str | None, Attr("hw.parent", "What it is part of, where that is known")] = None


class PowerMeterInfo(NamedTuple):
    """A power or energy meter of the host: where it is read, and where its joules come from."""

    id: Annotated[str, _ID]
    meter: Annotated[str, _METER]
    scope: Annotated[str, Attr("scope", "What it measures")]
    source: Annotated[str, Attr("source", "hwmon: an ACPI power meter; rapl: Intel's and AMD's energy counters; "
                                          "simulated")]  # fmt: skip
    energy: Annotated[
        str, Attr("energy", "counter: the meter counts joules; integrated: the agent adds up power over time")
    ]


class NodePart(NamedTuple):
    """A part of the node's energy."""

    part: Annotated[str, Attr("part", "gpu, cpu, memory; module: all three of a superchip and what is between them")]


class ConnectionState(NamedTuple):
    """TCP connections in a state."""

    state: Annotated[str, Attr("network.connection.state", "established, time_wait")]
    transport: Annotated[str, Attr("network.transport", "tcp")]


class TcpDirection(NamedTuple):
    """TCP segments in a direction."""

    direction: Annotated[str, Attr("network.io.direction", "transmit, receive")]


class TcpEvent(NamedTuple):
    """What happened to TCP connections."""

    event: Annotated[
        str,
        Attr("event", "active_open, passive_open; attempt_failed: before it was established; reset: established ones"),
    ]


class TcpRetransmit(NamedTuple):
    """Retransmitted segments by what made TCP send them again."""

    kind: Annotated[
        str, Attr("tcp.retransmit", "fast: acknowledgements told; slow_start: after a time-out; syn; lost: once more")
    ]


class TcpReason(NamedTuple):
    """TCP events by their reason."""

    reason: Annotated[str, Attr("reason", "What the kernel's counter of it is called for")]


class EcnMark(NamedTuple):
    """IP packets that came in, by their ECN field."""

    mark: Annotated[
        str, Attr("ecn", "ce: a switch marked congestion; ect0, ect1: none did; not_ect: the sender takes no part")
    ]


class EngineProcesses(NamedTuple):
    """The processes of an engine."""

    engine: Annotated[str, _ENGINE]


class EngineCpuMode(NamedTuple):
    """CPU time of an engine's processes."""

    engine: Annotated[str, _ENGINE]
    mode: Annotated[str, Attr("cpu.mode", "user, system")]


class EngineFault(NamedTuple):
    """Page faults of an engine's processes."""

    engine: Annotated[str, _ENGINE]
    type: Annotated[str, Attr("system.paging.fault.type", "major: read from a disk; minor")]


class EngineSwitch(NamedTuple):
    """Context switches of an engine's processes."""

    engine: Annotated[str, _ENGINE]
    type: Annotated[
        str, Attr("process.context_switch.type", "voluntary: it waited; involuntary: another one was to run")
    ]


class EngineIo(NamedTuple):
    """Bytes that an engine's processes read from disks or wrote to them."""

    engine: Annotated[str, _ENGINE]
    direction: Annotated[str, Attr("disk.io.direction", "read, write")]


class EnginePressure(NamedTuple):
    """Time in which tasks of an engine's control group waited for something."""

    engine: Annotated[str, _ENGINE]
    resource: Annotated[str, _RESOURCE]
    stall: Annotated[str, _STALL]
