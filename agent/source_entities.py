# SPDX-License-Identifier: Apache-2.0
"""What the metrics from trace files, of AWS Neuron devices and of Groq's API are about."""

from typing import Annotated, NamedTuple, TypeAlias

from agent.entity import Attr

EngineName: TypeAlias = Annotated[str, Attr("engine", "Name of the engine on this node")]
WorkerId: TypeAlias = Annotated[str | None, Attr("worker", "Id of a worker of the engine, decimal")]
Rank: TypeAlias = Annotated[str | None, Attr("engine.rank", "Data-parallel rank, where the engine has several")]
RuntimeTag: TypeAlias = Annotated[str, Attr("neuron.runtime", "NEURON_PROCESS_TAG of the application, else its pid")]
Model: TypeAlias = Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")]
Project: TypeAlias = Annotated[str | None, Attr("groq.project", "Id of the project at Groq")]


class EngineWorker(NamedTuple):
    """A worker of an engine, or one of its data-parallel ranks."""

    engine: EngineName
    worker: WorkerId = None
    rank: Rank = None


class WorkerPhase(NamedTuple):
    """What a worker does in one phase."""

    worker: EngineWorker
    phase: Annotated[str, Attr("phase", "prefill, decode")]


class WorkerRequests(NamedTuple):
    """Requests of a worker in one phase."""

    worker: EngineWorker
    phase: Annotated[str, Attr("phase", "prefill, decode")]
    state: Annotated[str, Attr("state", "scheduled: in the pass; queued: waiting while it ran")]


class WorkerRecords(NamedTuple):
    """Lines of a worker's forward-pass trace, by what was made of them."""

    worker: EngineWorker
    outcome: Annotated[
        str,
        Attr(
            "outcome", "counted; idle: a heartbeat; sampled; repeated; late: not in the timeline, counted all the same"
        ),
    ]


class TraceFiles(NamedTuple):
    """Files that one collector follows."""

    collector: Annotated[str, Attr("collector", "Name of its module")]


class TraceFileState(NamedTuple):
    """Files that one collector was told of, by whether they are followed."""

    collector: Annotated[str, Attr("collector", "Name of its module")]
    state: Annotated[str, Attr("state", "followed; unreadable; left_out: there are too many")]


class TraceFileLoss(NamedTuple):
    """What a collector did not read of files, by why."""

    collector: Annotated[str, Attr("collector", "Name of its module")]
    reason: Annotated[
        str,
        Attr("reason", "oversized, unreadable, cut: lines; truncated: files; behind, damaged: bytes"),
    ]


class RequestRecord(NamedTuple):
    """Records of requests from a trace file, by what became of them."""

    outcome: Annotated[
        str,
        Attr("outcome", "joined; unmatched: no span came; dropped: no room"),
    ]


class NeuronDevice(NamedTuple):
    """A Neuron device: an Inferentia or Trainium chip."""

    id: Annotated[str, Attr("hw.id", "neuron and the index of the device on this node")]


class NeuronDevicePower(NamedTuple):
    """Power of a Neuron device, over the last minute that the driver has told."""

    id: Annotated[str, Attr("hw.id", "neuron and the index of the device on this node")]
    statistic: Annotated[str, Attr("statistic", "min, max, avg")]


class NeuronEcc(NamedTuple):
    """Memory errors of a Neuron device."""

    id: Annotated[str, Attr("hw.id", "neuron and the index of the device on this node")]
    type: Annotated[str, Attr("error.type", "corrected, uncorrected")]
    location: Annotated[str, Attr("location", "dram, sram")]


class NeuronCore(NamedTuple):
    """A NeuronCore, as an application uses it."""

    core: Annotated[int, Attr("neuron.core", "Index of the NeuronCore on this node")]
    runtime: RuntimeTag


class NeuronCoreMemory(NamedTuple):
    """Device memory that an application holds for a NeuronCore."""

    core: NeuronCore
    kind: Annotated[
        str, Attr("kind", "constants (weights), model_code, model_shared_scratchpad, runtime_memory, tensors")
    ]


class NeuronRuntime(NamedTuple):
    """An application that uses NeuronCores."""

    runtime: RuntimeTag


class NeuronHostMemory(NamedTuple):
    """Host memory that an application holds."""

    runtime: RuntimeTag
    kind: Annotated[str, Attr("kind", "application_memory, constants, dma_buffers, tensors")]


class NeuronCpu(NamedTuple):
    """CPU time of an application."""

    runtime: RuntimeTag
    mode: Annotated[str, Attr("cpu.mode", "user, system")]


class NeuronLatency(NamedTuple):
    """How long executions of an application took."""

    runtime: RuntimeTag
    where: Annotated[str, Attr("where", "total: as the application sees it; device: on the device alone")]
    quantile: Annotated[str, Attr("quantile", "0, 0.01, 0.25, 0.5, 0.75, 0.99, 1")]


class NeuronExecutions(NamedTuple):
    """Executions of an application."""

    runtime: RuntimeTag
    outcome: Annotated[str, Attr("outcome", "completed, completed_with_err, timed_out, …")]


class NeuronError(NamedTuple):
    """Errors of an application's executions."""

    runtime: RuntimeTag
    type: Annotated[str, Attr("error.type", "generic, numerical, transient, model, runtime, hardware")]


class NeuronInfo(NamedTuple):
    """What the Neuron devices of this node are."""

    kind: Annotated[str | None, Attr("hw.model", "inferentia2, trainium2, …")] = None
    cores: Annotated[str | None, Attr("neuron.core.version", "Version of the NeuronCores")] = None
    instance: Annotated[str | None, Attr("host.type", "Instance type")] = None


class NeuronReports(NamedTuple):
    """Reports of neuron-monitor, by what was made of them."""

    outcome: Annotated[
        str, Attr("outcome", "read; unreadable; group_failed: of one group of metrics, as it says itself")
    ]


class GroqModel(NamedTuple):
    """A model that a project has asked for at Groq."""

    project: Project
    model: Model


class GroqRequests(NamedTuple):
    """Requests of a project to a model at Groq, by how they ended."""

    model: GroqModel
    status: Annotated[str | None, Attr("http.response.status_code", "HTTP status")]


class GroqTokens(NamedTuple):
    """Tokens of a project's requests to a model at Groq."""

    model: GroqModel
    type: Annotated[str, Attr("gen_ai.token.type", "input: all of the prompt; output")]


class GroqCache(NamedTuple):
    """Prompts of a project's requests to a model at Groq, by whether its cache had them."""

    model: GroqModel
    outcome: Annotated[str, Attr("outcome", "hit, miss")]


class GroqLatency(NamedTuple):
    """Latencies of a project's requests to a model at Groq."""

    model: GroqModel
    stage: Annotated[str, Attr("stage", "queue; first_token; total")]
    quantile: Annotated[str, Attr("quantile", "0.5, 0.99")]
