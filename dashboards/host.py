# SPDX-License-Identifier: Apache-2.0
"""The host below the GPUs of a node, as rows of its dashboard: CPUs, memory, pressure, disks, and the node's energy."""

from agent.catalogue import cpu_power, engine_processes, gpu, host
from agent.promql import Not, Scope
from dashboards.grafana import Draw, Look, Query, rising
from dashboards.measures import SHARE
from dashboards.page import Line, Row, line
from dashboards.panels import graph
from dashboards.tables import Column, Key, table

_NO_METER = "this host has no power meter that may be read."


def rows(scope: Scope) -> tuple[Row, ...]:
    """Make the rows."""
    return (
        Row("Host", (_work(scope), _storage(scope)), closed=True),
        Row("Energy of the node", (_energy(scope),), closed=True),
    )


def _work(scope: Scope) -> Line:
    cpus = scope.of(host.CPU_LOGICAL_COUNT).sum()
    busy = scope.rate(host.CPU_TIME, {"cpu.mode": Not("idle")}).sum("cpu.mode")
    return line(
        8,
        graph(
            "CPUs by what they do",
            (host.CPU_TIME, host.CPU_LOGICAL_COUNT),
            Query(busy, "{cpu.mode}"),
            Query(cpus, "CPUs", dashed=True),
            look=Look(unit="short", low=0),
            draw=Draw(stack=True),
            note="In CPUs that are busy; idle time is left out.",
        ),
        graph(
            "Memory",
            (host.MEMORY_USAGE, host.MEMORY_LIMIT),
            Query(
                scope.of(host.MEMORY_USAGE, {"system.memory.state": Not("free")}).sum("system.memory.state"),
                "{system.memory.state}",
            ),
            Query(scope.of(host.MEMORY_LIMIT).sum(), "memory", dashed=True),
            look=Look(low=0),
            draw=Draw(stack=True),
        ),
        graph(
            "Time in which tasks waited",
            host.PRESSURE,
            Query(scope.rate(host.PRESSURE, {"stall_type": "some"}).max("resource"), "{resource}"),
            look=Look(low=0),
            note="Share of time in which at least one task waited.",
            empty="this kernel has no pressure stall information.",
            rate=True,
        ),
    )


def _storage(scope: Scope) -> Line:
    keys = ("system.device", "system.filesystem.mountpoint")
    used = scope.of(host.FILESYSTEM_USAGE, {"system.filesystem.state": "used"}).max(*keys)
    size = scope.of(host.FILESYSTEM_LIMIT).max(*keys)
    disks = scope.rate(host.DISK_IO).sum("system.device", "disk.io.direction")
    cores = scope.rate(engine_processes.CPU_TIME).sum("engine")
    return line(
        8,
        graph(
            "Disks",
            host.DISK_IO,
            Query(disks, "{system.device} {disk.io.direction}"),
            look=Look(low=0),
            empty="this host has no disks that are told.",
            rate=True,
        ),
        table(
            "File systems",
            (host.FILESYSTEM_USAGE, host.FILESYSTEM_LIMIT),
            {"system.filesystem.mountpoint": Key("Mounted at"), "system.device": Key("Device")},
            Column("Used", used / size, Look(unit="percentunit", steps=rising(0.85, 0.95), low=0, high=1), "gauge"),
            Column("Size", size, Look(unit="bytes")),
            sort="Used",
            empty="no file system of a disk is seen from here.",
        ),
        graph(
            "CPU of engines",
            engine_processes.CPU_TIME,
            Query(cores, "{engine}"),
            look=Look(low=0),
            note="1 is one CPU. An engine whose scheduler is at 1 makes its GPUs wait.",
            empty="no engine's processes are known on this node.",
            rate=True,
        ),
        graph(
            "Engines stopped by their CPU limit",
            engine_processes.CGROUP_THROTTLED_TIME,
            Query(scope.rate(engine_processes.CGROUP_THROTTLED_TIME).sum("engine"), "{engine}"),
            look=SHARE._replace(high=None),
            empty="no engine runs under a CPU limit.",
            rate=True,
        ),
    )


def _energy(scope: Scope) -> Line:
    return line(
        8,
        graph(
            "Power of the node, by part",
            (cpu_power.NODE_ENERGY, cpu_power.NODE_MEASURED),
            Query(scope.rate(cpu_power.NODE_ENERGY).sum("part"), "{part}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            note="The parts do not overlap.",
            empty=_NO_METER,
            rate=True,
        ),
        graph(
            "CPUs and their memory",
            (cpu_power.CPU_POWER, cpu_power.MEMORY_POWER),
            Query(scope.of(cpu_power.CPU_POWER), "{hw.id} {scope}"),
            Query(scope.of(cpu_power.MEMORY_POWER), "{hw.id} {scope}"),
            look=Look(low=0),
            empty=_NO_METER,
        ),
        graph(
            "Superchip modules",
            (cpu_power.MODULE_POWER, gpu.POWER_MODULE),
            Query(scope.of(cpu_power.MODULE_POWER), "{hw.id}"),
            Query(scope.of(gpu.POWER_MODULE), "{hw.name} by NVML"),
            look=Look(low=0),
            note="CPU, memory and GPUs together: never add it to the others.",
            empty="this node has no superchips.",
        ),
    )
