# SPDX-License-Identifier: Apache-2.0
"""Power of the host: CPUs, memory and superchip modules, and what part of the node's energy is measured.

A module contains its GPUs and its CPU: never add hw.power or hw.energy of hw.type module to others. Those of gpu, cpu
and memory do not overlap. Rails are parts of what is measured already, or not known, and are added to nothing.
"""

from agent.catalogue import gpu
from agent.host_entities import CpuMeter, MemoryMeter, ModuleMeter, NodePart, PowerMeterInfo, PowerRail
from agent.metric import Counter, Gauge, Info
from agent.unit import Unit

CPU_POWER = gpu.POWER.of(CpuMeter, "Power of a CPU socket, averaged by its meter or over an interval.")
CPU_ENERGY = gpu.ENERGY.of(CpuMeter, "Energy of a CPU socket since the agent started.")
MEMORY_POWER = gpu.POWER.of(MemoryMeter, "Power of the memory of a socket.")
MEMORY_ENERGY = gpu.ENERGY.of(MemoryMeter, "Energy of the memory of a socket, likewise.")
MODULE_POWER = gpu.POWER.of(ModuleMeter, "Power of a superchip module with its GPUs and CPU.")
MODULE_ENERGY = gpu.ENERGY.of(ModuleMeter, "Energy of a superchip module, likewise.")
RAIL_POWER = Gauge(
    "joulespan.rail.power", Unit.WATTS, PowerRail, "Power of a part of a CPU or module, or of an unknown meter."
)
RAIL_ENERGY = Counter("joulespan.rail.energy", Unit.JOULES, PowerRail, "Energy of a rail since the agent started.")
METER_INFO = Info("joulespan.power.meter.info", PowerMeterInfo, "Power and energy meters of the host that are read.")
NODE_ENERGY = Counter(
    "joulespan.node.energy",
    Unit.JOULES,
    NodePart,
    "Energy of the node since the agent started, by parts that do not overlap: their sum is what is measured of it.",
)
NODE_MEASURED = Gauge(
    "joulespan.node.energy.measured",
    Unit.NONE,
    NodePart,
    "1 when this part of the node's energy is measured, 0 when not. Fans, network adapters, disks and what power "
    "supplies lose never are.",
)
