# SPDX-License-Identifier: Apache-2.0
"""Whose the GPUs are: pods, Slurm jobs, containers, units and users.

Who has a GPU is in joulespan.gpu.owner.info, once for each GPU or MIG instance and owner, and not on every series of
the GPU: join on `hw_id`, and on `owner` for what an owner has. Of a GPU with several owners, memory is split by process
and energy by what the ledger gave to the requests of each; what cannot be split is told under the owner `shared`.
"""

from agent.metric import Counter, Gauge, Info, UpDownCounter
from agent.owner_entities import DeviceOwner, EngineOwner, GpuOwner, OwnerGap, OwnerSource, ProcessOwner
from agent.unit import Unit

GPU_OWNER = Info("joulespan.gpu.owner.info", GpuOwner, "Who has a GPU or MIG instance, and what it runs as.")
ENGINE_OWNER = Info(
    "joulespan.engine.owner.info", EngineOwner, "Whose an engine is: joins what requests took with owners."
)
PROCESS_OWNER = Info(
    "joulespan.gpu.process.owner.info", ProcessOwner, "Whose a process is: joins what is told of processes with owners."
)
OWNER_MEMORY = UpDownCounter(
    "joulespan.owner.memory.usage",
    Unit.BYTES,
    DeviceOwner,
    "Device memory that the processes of an owner hold on a GPU or MIG instance.",
)
OWNER_PROCESSES = UpDownCounter(
    "joulespan.owner.processes",
    Unit.ITEMS,
    DeviceOwner,
    "Processes of an owner that hold memory of a GPU or MIG instance; 0 where it has the GPU and uses it not.",
)
OWNER_ENERGY = Counter(
    "joulespan.owner.energy",
    Unit.JOULES,
    DeviceOwner,
    "Energy of a GPU while it was an owner's alone, idling included; of a shared GPU, what its requests took, and "
    "under `shared` the rest. A MIG instance counts as a share of its GPU.",
)
OWNER_SOURCE_UP = Gauge(
    "joulespan.owner.source.up", Unit.NONE, OwnerSource, "1 while a source of owners answers; absent where it is not."
)
OWNER_UNRESOLVED = UpDownCounter(
    "joulespan.owner.unresolved", Unit.ITEMS, OwnerGap, "Allocations and processes whose owner or GPU is not known."
)
OWNER_DROPPED = Counter(
    "joulespan.owner.dropped", Unit.EVENTS, OwnerGap, "Owners that were left out of a reading, by why."
)
