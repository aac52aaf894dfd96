# SPDX-License-Identifier: Apache-2.0
"""Processes of engines: what their CPUs, memory and control groups say.

An engine's processes are those that hold its GPUs and their family: scheduler, tokenizer, front end. Counters go on
when one of them ends.
"""

from agent.host_entities import (
    EngineCpuMode,
    EngineFault,
    EngineIo,
    EnginePressure,
    EngineProcesses,
    EngineSwitch,
    Host,
)
from agent.metric import Counter, UpDownCounter
from agent.unit import Unit

PROCESSES = UpDownCounter("joulespan.engine.processes", Unit.PROCESSES, EngineProcesses, "Processes of an engine.")
THREADS = UpDownCounter(
    "joulespan.engine.process.threads", Unit.THREADS, EngineProcesses, "Threads of an engine's processes."
)
LEFT_OUT = UpDownCounter(
    "joulespan.engine.process.left_out",
    Unit.PROCESSES,
    Host,
    "Processes on GPUs that are of several engines and cannot be told apart, or of one that has too many.",
)
CPU_TIME = Counter(
    "joulespan.engine.process.cpu.time", Unit.SECONDS, EngineCpuMode, "CPU time of an engine's processes."
)
MEMORY = UpDownCounter(
    "joulespan.engine.process.memory.usage",
    Unit.BYTES,
    EngineProcesses,
    "Resident memory of an engine's processes. Memory that they share counts for each of them.",
)
FAULTS = Counter(
    "joulespan.engine.process.paging.faults", Unit.FAULTS, EngineFault, "Page faults of an engine's processes."
)
SWITCHES = Counter(
    "joulespan.engine.process.context_switches",
    Unit.EVENTS,
    EngineSwitch,
    "Context switches of the main threads of an engine's processes.",
)
DISK_IO = Counter(
    "joulespan.engine.process.disk.io",
    Unit.BYTES,
    EngineIo,
    "Bytes that an engine's processes read from disks or wrote. Of another user's processes only root may know.",
)
CGROUP_PERIODS = Counter(
    "joulespan.engine.cgroup.cpu.periods",
    Unit.EVENTS,
    EngineProcesses,
    "Periods in which the CPU limit of an engine's control groups was in force.",
)
CGROUP_THROTTLED_PERIODS = Counter(
    "joulespan.engine.cgroup.cpu.throttled_periods",
    Unit.EVENTS,
    EngineProcesses,
    "Periods in which an engine's control groups were stopped by their CPU limit.",
)
CGROUP_THROTTLED_TIME = Counter(
    "joulespan.engine.cgroup.cpu.throttled",
    Unit.SECONDS,
    EngineProcesses,
    "Time for which an engine's control groups were stopped by their CPU limit.",
)
CGROUP_MEMORY = UpDownCounter(
    "joulespan.engine.cgroup.memory.usage", Unit.BYTES, EngineProcesses, "Memory of an engine's control groups."
)
CGROUP_MEMORY_LIMIT = UpDownCounter(
    "joulespan.engine.cgroup.memory.limit",
    Unit.BYTES,
    EngineProcesses,
    "Memory limit of an engine's control groups. Absent without a limit.",
)
CGROUP_OOM_KILLS = Counter(
    "joulespan.engine.cgroup.oom_kills", Unit.EVENTS, EngineProcesses, "Processes of its control groups killed by it."
)
CGROUP_PRESSURE = Counter(
    "joulespan.engine.cgroup.pressure.stall.duration",
    Unit.SECONDS,
    EnginePressure,
    "Time in which tasks of an engine's control groups waited for a resource (PSI of cgroup v2).",
)
