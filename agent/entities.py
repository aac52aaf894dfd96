# SPDX-License-Identifier: Apache-2.0
"""What metrics are about: named tuples whose fields are the attributes of their series; see agent.entity."""

from typing import Annotated, NamedTuple

from agent.entity import Attr, hardware


class Agent(NamedTuple):
    """This agent."""


class BuildInfo(NamedTuple):
    """The program that runs."""

    version: Annotated[str, Attr("version", "Version of joulespan")]
    mode: Annotated[str, Attr("mode", "run: the node's GPUs; demo: simulated ones")]


@hardware("gpu")
class Gpu(NamedTuple):
    """A GPU."""

    id: Annotated[str, Attr("hw.id", "NVML UUID")]
    name: Annotated[str, Attr("hw.name", "`gpu` and the NVML index")]


@hardware("gpu")
class MigInstance(NamedTuple):
    """A MIG instance: a slice of a GPU with memory and compute of its own."""

    id: Annotated[str, Attr("hw.id", "NVML UUID of the instance, MIG-…")]
    name: Annotated[str, Attr("hw.name", "Name of the GPU, a slash, and the profile and place of the instance")]
    parent: Annotated[str, Attr("hw.parent", "NVML UUID of the GPU it is part of")]


class GpuInfo(NamedTuple):
    """What a GPU is; changes only with a driver or firmware update."""

    gpu: Gpu
    model: Annotated[str | None, Attr("hw.model", "Product name")] = None
    serial: Annotated[str | None, Attr("hw.serial_number", "Board serial number")] = None
    driver: Annotated[str | None, Attr("hw.driver_version", "Driver version")] = None
    vbios: Annotated[str | None, Attr("hw.firmware_version", "VBIOS version")] = None
    cuda: Annotated[str | None, Attr("cuda.version", "Newest CUDA version the driver serves")] = None
    architecture: Annotated[str | None, Attr("gpu.architecture", "hopper, blackwell, …")] = None
    capability: Annotated[str | None, Attr("cuda.compute_capability", "CUDA compute capability")] = None
    pci: Annotated[str | None, Attr("pci.bus_id", "domain:bus:device.function")] = None
    nvml_index: Annotated[int | None, Attr("gpu.index", "NVML index on this boot")] = None
    minor: Annotated[int | None, Attr("gpu.minor", "N of /dev/nvidiaN")] = None
    gsp: Annotated[str | None, Attr("gpu.gsp_firmware", "GSP firmware version")] = None
    part_number: Annotated[str | None, Attr("gpu.board_part_number", "Board part number")] = None


class GpuMode(NamedTuple):
    """How a GPU is set up; changes when an administrator changes it."""

    gpu: Gpu
    persistence: Annotated[str | None, Attr("persistence", "Persistence mode: enabled, disabled")] = None
    compute: Annotated[str | None, Attr("compute_mode", "default, exclusive_process, prohibited")] = None
    mig: Annotated[str | None, Attr("mig", "MIG mode: enabled, disabled")] = None
    ecc: Annotated[str | None, Attr("ecc", "ECC mode: enabled, disabled")] = None
    addressing: Annotated[str | None, Attr("addressing", "System memory addressing: none, hmm, ats")] = None
    confidential: Annotated[str | None, Attr("confidential_compute", "Confidential computing: on, off")] = None
    profiles: Annotated[str | None, Attr("power_profiles", "Workload power profiles in force, joined by commas")] = None


class Fabric(NamedTuple):
    """The NVLink fabric a GPU belongs to: one clique of an NVL72-class domain, or a set of NVSwitches."""

    gpu: Gpu
    cluster: Annotated[str, Attr("fabric.cluster_uuid", "UUID of the fabric")]
    clique: Annotated[int, Attr("fabric.clique", "Clique id; unique only together with the cluster")]


class Platform(NamedTuple):
    """Where a GPU sits in its rack."""

    gpu: Gpu
    chassis: Annotated[str, Attr("platform.chassis", "Chassis serial number")]
    slot: Annotated[int, Attr("platform.slot", "Slot in the rack, switch trays counted")]
    tray: Annotated[int, Attr("platform.tray", "Compute tray in the rack, switch trays not counted")]
    host: Annotated[int, Attr("platform.host", "Host in the tray")]
    module: Annotated[int, Attr("platform.module", "Module in the host")]
    peer: Annotated[str, Attr("platform.peer", "How peers are reached: direct, switch")]


class GpuState(NamedTuple):
    """A GPU in a state."""

    gpu: Gpu
    state: Annotated[str, Attr("hw.state", "ok, degraded, failed")]


class GpuTask(NamedTuple):
    """One of a GPU's engines."""

    gpu: Gpu
    task: Annotated[str, Attr("hw.gpu.task", "general, encoder, decoder, jpeg, ofa")]


class GpuSensor(NamedTuple):
    """A temperature sensor of a GPU."""

    gpu: Gpu
    location: Annotated[str, Attr("hw.sensor_location", "gpu, hotspot, memory")]


class GpuLimit(NamedTuple):
    """One of the limits of a quantity of a GPU."""

    gpu: Gpu
    limit: Annotated[str, Attr("hw.limit_type", "Which limit")]


class GpuClock(NamedTuple):
    """A clock domain of a GPU."""

    gpu: Gpu
    clock: Annotated[str, Attr("clock", "graphics, sm, memory, video")]


class GpuReason(NamedTuple):
    """A reason for which a GPU lowers its clocks."""

    gpu: Gpu
    reason: Annotated[str, Attr("reason", "NVML's clocks event reason")]


class GpuScope(NamedTuple):
    """A part of a GPU's board whose power is read apart."""

    gpu: Gpu
    scope: Annotated[str, Attr("scope", "gpu, module (CPU and GPU of a superchip), memory")]


class GpuFan(NamedTuple):
    """A fan of a GPU."""

    gpu: Gpu
    fan: Annotated[int, Attr("fan", "NVML fan index")]


class GpuError(NamedTuple):
    """A kind of error of a GPU."""

    gpu: Gpu
    type: Annotated[str, Attr("error.type", "Kind of error")]


class GpuEcc(NamedTuple):
    """The memory errors of a GPU, by severity, place and the lifetime of their counter."""

    gpu: Gpu
    type: Annotated[str, Attr("error.type", "corrected, uncorrected")]
    location: Annotated[str, Attr("location", "dram, sram, or another memory of the GPU")]
    lifetime: Annotated[str, Attr("lifetime", "volatile: since driver load; aggregate: since manufacture")]


class GpuCause(NamedTuple):
    """Repaired memory of a GPU, by the cause of the repair."""

    gpu: Gpu
    cause: Annotated[str, Attr("cause", "corrected, uncorrected, or how many spares are left")]


class GpuXid(NamedTuple):
    """An XID of a GPU."""

    gpu: Gpu
    xid: Annotated[int, Attr("xid", "The driver's XID code")]


class GpuAction(NamedTuple):
    """What a GPU needs to recover."""

    gpu: Gpu
    action: Annotated[str, Attr("action", "none, reset, reboot, drain_p2p, …")]


class GpuIo(NamedTuple):
    """Bytes of a GPU in one direction."""

    gpu: Gpu
    direction: Annotated[str, Attr("network.io.direction", "transmit, receive")]


class GpuPipe(NamedTuple):
    """An execution pipe of a GPU's multiprocessors."""

    gpu: Gpu
    pipe: Annotated[str, Attr("pipe", "any_tensor, hmma, imma, dmma, fp64, fp32, fp16, int")]


class MigPipe(NamedTuple):
    """An execution pipe of a MIG instance."""

    mig: MigInstance
    pipe: Annotated[str, Attr("pipe", "any_tensor, hmma, imma, dmma, fp64, fp32, fp16, int")]


class GpuProcess(NamedTuple):
    """A process that holds memory of a GPU."""

    gpu: Gpu
    pid: Annotated[int, Attr("process.pid", "Process id in the host's namespace")]
    executable: Annotated[str | None, Attr("process.executable.name", "Name of the program, never its arguments")] = (
        None
    )


class MigProcess(NamedTuple):
    """A process that holds memory of a MIG instance."""

    mig: MigInstance
    pid: Annotated[int, Attr("process.pid", "Process id in the host's namespace")]
    executable: Annotated[str | None, Attr("process.executable.name", "Name of the program, never its arguments")] = (
        None
    )


class GpuProcessTask(NamedTuple):
    """What a process does on one of a GPU's engines."""

    process: GpuProcess
    task: Annotated[str, Attr("hw.gpu.task", "general, encoder, decoder, jpeg, ofa")]


class NvLink(NamedTuple):
    """An NVLink of a GPU."""

    gpu: Gpu
    link: Annotated[int, Attr("link", "NVLink number")]


class NvLinkIo(NamedTuple):
    """Bytes of an NVLink in one direction."""

    gpu: Gpu
    link: Annotated[int, Attr("link", "NVLink number")]
    direction: Annotated[str, Attr("network.io.direction", "transmit, receive")]


class NvLinkState(NamedTuple):
    """An NVLink in a state."""

    gpu: Gpu
    link: Annotated[int, Attr("link", "NVLink number")]
    state: Annotated[str, Attr("state", "inactive, active, sleep, disabled")]


class NvLinkError(NamedTuple):
    """A kind of error of an NVLink."""

    gpu: Gpu
    link: Annotated[int, Attr("link", "NVLink number")]
    type: Annotated[str, Attr("error.type", "Kind of error")]


class NvLinkInfo(NamedTuple):
    """What the NVLinks of a GPU are."""

    gpu: Gpu
    version: Annotated[str, Attr("nvlink.version", "NVLink generation")]


class NodeGpus(NamedTuple):
    """The GPUs of this node in a state."""

    state: Annotated[str, Attr("state", "reachable; lost: off the bus; hung: a driver call on it does not return")]


class Collector(NamedTuple):
    """A collector of this agent."""

    collector: Annotated[str, Attr("collector", "Name of its module")]


class CollectorFailure(NamedTuple):
    """Readings of a collector that failed, by kind."""

    collector: Annotated[str, Attr("collector", "Name of its module; pipeline: what joins spans with GPUs")]
    type: Annotated[str, Attr("error.type", "Unavailable, NoPermission, DeviceLost, …")]


class Receiver(NamedTuple):
    """What became of what a receiver took in."""

    receiver: Annotated[str, Attr("receiver", "otlp_grpc, otlp_http")]
    outcome: Annotated[
        str,
        Attr("outcome", "accepted, refused; of what was accepted: forwarded, dropped, not_forwarded (nowhere to go)"),
    ]
    reason: Annotated[str | None, Attr("reason", "Why: malformed; full, refused, stopped")] = None


class ReceiverRefusal(NamedTuple):
    """Whole requests that a receiver refused."""

    receiver: Annotated[str, Attr("receiver", "otlp_grpc, otlp_http")]
    signal: Annotated[str, Attr("signal", "traces, metrics, logs")]
    reason: Annotated[
        str,
        Attr("reason", "malformed, too_large, busy, incomplete, unsupported, unauthenticated, cross_site, internal"),
    ]


class ExporterOutcome(NamedTuple):
    """What became of what an exporter was given."""

    exporter: Annotated[str, Attr("exporter", "prometheus, otlp")]
    outcome: Annotated[str, Attr("outcome", "exported, dropped")]


class Reload(NamedTuple):
    """Reloads of the configuration by how they ended."""

    outcome: Annotated[str, Attr("outcome", "applied, refused")]


class StateWrite(NamedTuple):
    """Writes of the state file by how they ended."""

    outcome: Annotated[str, Attr("outcome", "written, failed")]


class Exporter(NamedTuple):
    """An exporter of this agent."""

    exporter: Annotated[str, Attr("exporter", "prometheus, otlp")]


class Queue(NamedTuple):
    """A bounded queue of this agent."""

    queue: Annotated[str, Attr("queue", "Which queue")]


class QueueFailure(NamedTuple):
    """What went wrong with what a queue of this agent keeps on disk."""

    queue: Annotated[str, Attr("queue", "Which queue")]
    type: Annotated[
        str,
        Attr(
            "error.type",
            "write: a file could not be written or taken over; corrupt: one is damaged, and lost",
        ),
    ]


class Process(NamedTuple):
    """A process of this agent."""

    process: Annotated[str, Attr("process", "agent: the event loop; reader: holds the driver")]


class Engine(NamedTuple):
    """A serving engine."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    rank: Annotated[str | None, Attr("engine.rank", "Data-parallel rank, where the engine has several")] = None


class EngineModel(NamedTuple):
    """A model that an engine serves."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    model: Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")] = None
    rank: Annotated[str | None, Attr("engine.rank", "Data-parallel rank, where the engine has several")] = None


class EngineTokens(NamedTuple):
    """Tokens of an engine, by what was done for them."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    model: Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")]
    type: Annotated[
        str,
        Attr("gen_ai.token.type", "input: computed by prefill; cached: prompt tokens not computed; output"),
    ]
    rank: Annotated[str | None, Attr("engine.rank", "Data-parallel rank, where the engine has several")] = None
