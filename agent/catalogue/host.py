# SPDX-License-Identifier: Apache-2.0
"""What the host does: CPUs, memory, disks, file systems, pressure, temperatures. Of disks only the 16 busiest."""

from agent.catalogue import gpu
from agent.host_entities import (
    CpuMode,
    Disk,
    DiskDirection,
    Filesystem,
    FilesystemState,
    Host,
    HostSensor,
    HostSensorLimit,
    HugepageState,
    LoadWindow,
    MemoryState,
    NumaAllocation,
    NumaNode,
    NumaState,
    PagingDirection,
    PagingFault,
    PagingState,
    Pressure,
    ProcessState,
    SlabState,
)
from agent.metric import Counter, Gauge, UpDownCounter
from agent.unit import Unit

UPTIME = Gauge("system.uptime", Unit.SECONDS, Host, "Time since the host was started.")
CPU_LOGICAL_COUNT = UpDownCounter("system.cpu.logical.count", Unit.CPUS, Host, "CPUs that the kernel schedules on.")
CPU_PHYSICAL_COUNT = UpDownCounter("system.cpu.physical.count", Unit.CPUS, Host, "Cores; threads of a core count once.")
CPU_TIME = Counter(
    "system.cpu.time",
    Unit.SECONDS,
    CpuMode,
    "Time that the CPUs spent in each mode, over all CPUs, or of each in detail.",
)
LOAD = Gauge(
    "joulespan.host.load",
    Unit.NONE,
    LoadWindow,
    "Threads that run, wait for a CPU, or wait for a disk, averaged: the load average.",
)
THREADS = UpDownCounter("joulespan.host.threads", Unit.THREADS, ProcessState, "Threads of the host that have work now.")
PROCESSES_CREATED = Counter(
    "system.process.created", Unit.PROCESSES, Host, "Processes and threads made since the host was started."
)
CONTEXT_SWITCHES = Counter(
    "joulespan.host.context_switches", Unit.EVENTS, Host, "Context switches since the host was started, over all CPUs."
)
INTERRUPTS = Counter(
    "joulespan.host.interrupts", Unit.EVENTS, Host, "Interrupts served since the host was started, over all CPUs."
)
PRESSURE = Counter(
    "joulespan.host.pressure.stall.duration",
    Unit.SECONDS,
    Pressure,
    "Time in which tasks of the host waited for a resource (PSI). Its rate is the share of time.",
)

MEMORY_USAGE = UpDownCounter("system.memory.usage", Unit.BYTES, MemoryState, "Memory of the host by state.")
MEMORY_LIMIT = UpDownCounter("system.memory.limit", Unit.BYTES, Host, "Memory of the host.")
MEMORY_AVAILABLE = UpDownCounter(
    "system.memory.linux.available", Unit.BYTES, Host, "Memory that programs can get without swapping (MemAvailable)."
)
MEMORY_SHARED = UpDownCounter(
    "system.memory.linux.shared", Unit.BYTES, Host, "Shared memory and tmpfs, /dev/shm for one (Shmem)."
)
SLAB_USAGE = UpDownCounter(
    "system.memory.linux.slab.usage", Unit.BYTES, SlabState, "Memory that the kernel keeps for its own objects."
)
HUGEPAGES_LIMIT = UpDownCounter(
    "system.memory.linux.hugepages.limit", Unit.PAGES, Host, "Huge pages of the default size."
)
HUGEPAGES_USAGE = UpDownCounter(
    "system.memory.linux.hugepages.usage", Unit.PAGES, HugepageState, "Huge pages of the default size, by state."
)
HUGEPAGES_SIZE = UpDownCounter(
    "system.memory.linux.hugepages.page_size", Unit.BYTES, Host, "Default size of a huge page."
)
OOM_KILLS = Counter(
    "joulespan.host.oom_kills", Unit.EVENTS, Host, "Processes killed for want of memory since the host was started."
)
PAGING_USAGE = UpDownCounter("system.paging.usage", Unit.BYTES, PagingState, "Swap space by state.")
PAGING_FAULTS = Counter("system.paging.faults", Unit.FAULTS, PagingFault, "Page faults.")
PAGING_OPERATIONS = Counter("system.paging.operations", Unit.OPERATIONS, PagingDirection, "Pages swapped in and out.")

NUMA_USAGE = UpDownCounter("joulespan.numa.memory.usage", Unit.BYTES, NumaState, "Memory of a NUMA node by state.")
NUMA_LIMIT = UpDownCounter("joulespan.numa.memory.limit", Unit.BYTES, NumaNode, "Memory of a NUMA node.")
NUMA_ALLOCATIONS = Counter(
    "joulespan.numa.allocations", Unit.PAGES, NumaAllocation, "Pages taken from a NUMA node, by whom for."
)

DISK_IO = Counter("system.disk.io", Unit.BYTES, DiskDirection, "Bytes read from a disk and written to it.")
DISK_OPERATIONS = Counter("system.disk.operations", Unit.OPERATIONS, DiskDirection, "Reads and writes of a disk.")
DISK_IO_TIME = Counter("system.disk.io_time", Unit.SECONDS, Disk, "Time in which a disk had something to do.")
DISK_OPERATION_TIME = Counter(
    "system.disk.operation_time",
    Unit.SECONDS,
    DiskDirection,
    "Time that reads and writes took, added up: of several at a time each counts.",
)
FILESYSTEM_USAGE = UpDownCounter(
    "system.filesystem.usage", Unit.BYTES, FilesystemState, "Space of a file system by state; adds up to its limit."
)
FILESYSTEM_LIMIT = UpDownCounter("system.filesystem.limit", Unit.BYTES, Filesystem, "Size of a file system.")

HOST_TEMPERATURE = gpu.TEMPERATURE.of(HostSensor, "Temperature of a sensor of the host.")
HOST_TEMPERATURE_LIMIT = gpu.TEMPERATURE_LIMIT.of(
    HostSensorLimit, "Temperature that is critical to what the sensor is on."
)
