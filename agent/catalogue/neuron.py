# SPDX-License-Identifier: Apache-2.0
"""What AWS Neuron devices (Inferentia, Trainium) do, as `neuron-monitor` and their driver say; power is a ratio."""

from agent.entities import Agent
from agent.metric import Counter, Gauge, Info, UpDownCounter
from agent.source_entities import (
    NeuronCore,
    NeuronCoreMemory,
    NeuronCpu,
    NeuronDevicePower,
    NeuronEcc,
    NeuronError,
    NeuronExecutions,
    NeuronHostMemory,
    NeuronInfo,
    NeuronLatency,
    NeuronReports,
    NeuronRuntime,
)
from agent.unit import Unit

NEURON_INFO = Info("joulespan.neuron.info", NeuronInfo, "Kind of the node's Neuron devices.")
DEVICES = UpDownCounter("joulespan.neuron.devices", Unit.ITEMS, Agent, "Neuron devices of the node.")
MEMORY_LIMIT = UpDownCounter(
    "joulespan.neuron.memory.limit", Unit.BYTES, Agent, "Memory of all Neuron devices of the node."
)
CORE_UTILIZATION = Gauge(
    "joulespan.neuron.core.utilization",
    Unit.RATIO,
    NeuronCore,
    "Share of the last period in which the NeuronCore was busy.",
)
CORE_MEMORY = UpDownCounter(
    "joulespan.neuron.core.memory.usage", Unit.BYTES, NeuronCoreMemory, "Device memory held for a NeuronCore."
)
DEVICE_MEMORY = UpDownCounter(
    "joulespan.neuron.runtime.memory.usage", Unit.BYTES, NeuronRuntime, "Device memory that an application holds."
)
HOST_MEMORY = UpDownCounter(
    "joulespan.neuron.runtime.host_memory.usage", Unit.BYTES, NeuronHostMemory, "Host memory that an application holds."
)
CPU = Gauge(
    "joulespan.neuron.runtime.cpu.utilization",
    Unit.RATIO,
    NeuronCpu,
    "Share of the node's vCPUs that an application took.",
)
LATENCY = Gauge(
    "joulespan.neuron.execution.latency",
    Unit.SECONDS,
    NeuronLatency,
    "Time that executions of the last period took, as quantiles; absent when there were none.",
)
EXECUTIONS = Counter(
    "joulespan.neuron.executions",
    Unit.EVENTS,
    NeuronExecutions,
    "Executions since the agent started, by how they ended.",
)
EXECUTION_ERRORS = Counter(
    "joulespan.neuron.execution.errors", Unit.ERRORS, NeuronError, "Errors of executions since the agent started."
)
ECC_ERRORS = Counter(
    "joulespan.neuron.ecc.errors", Unit.ERRORS, NeuronEcc, "Memory errors of a device, as neuron-monitor counts them."
)
POWER_UTILIZATION = Gauge(
    "joulespan.neuron.power.utilization",
    Unit.RATIO,
    NeuronDevicePower,
    "Power of a device over a minute, as a share of the most it may take. How much that is, the driver does not say.",
)
REPORTS = Counter("joulespan.neuron.reports", Unit.ITEMS, NeuronReports, "Reports of neuron-monitor.")
