# SPDX-License-Identifier: Apache-2.0
"""What the metrics of serving engines are about, beside those entities that requests and engines share.

Fields that an engine's page may not tell are None. The order of the fields is that of the attributes.
"""

from typing import Annotated, NamedTuple, TypeAlias

from agent.entity import Attr

Name: TypeAlias = Annotated[str, Attr("engine", "Name of the engine on this node")]
Model: TypeAlias = Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")]
Rank: TypeAlias = Annotated[str | None, Attr("engine.rank", "Data-parallel rank, where the engine has several")]
Reason: TypeAlias = Annotated[str, Attr("reason", "Why, or where, in the engine's word")]
Deployment: TypeAlias = Annotated[str | None, Attr("deployment", "Name of the deployment, Dynamo's namespace")]
Worker: TypeAlias = Annotated[
    str | None, Attr("worker", "Id of a worker of the deployment, decimal, as spans and request traces have it")
]
Role: TypeAlias = Annotated[str | None, Attr("role", "What the worker does: unified, aggregated, prefill, decode")]


class EngineReason(NamedTuple):
    """Requests or events of an engine, by a reason of the engine's."""

    engine: Name
    reason: Reason
    model: Model = None
    rank: Rank = None


class EngineFinish(NamedTuple):
    """Finished requests of an engine, by why they ended."""

    engine: Name
    finish: Annotated[str | None, Attr("finish_reason", "The engine's word: stop, length, abort, error, …")] = None
    model: Model = None
    rank: Rank = None


class EngineTier(NamedTuple):
    """A tier of an engine's caches."""

    engine: Name
    tier: Annotated[str, Attr("tier", "Where: local or external; device, host, disk, storage, p2p")]
    model: Model = None
    rank: Rank = None


class EngineTierIo(NamedTuple):
    """What an engine moves between the device and a tier of its cache, in one direction."""

    engine: Name
    tier: Annotated[str, Attr("tier", "Where: local or external; device, host, disk, storage, p2p")]
    direction: Annotated[str, Attr("direction", "store: from the device; load: to it")]
    model: Model = None
    rank: Rank = None


class EngineState(NamedTuple):
    """A state that an engine or its adapters can be in."""

    engine: Name
    state: Annotated[str, Attr("state", "awake, weights_offloaded, discard_all; of adapters: running, waiting, loaded")]
    model: Model = None
    rank: Rank = None


class EngineAccess(NamedTuple):
    """Memory traffic of an engine in one direction."""

    engine: Name
    access: Annotated[str, Attr("direction", "read, write")]
    model: Model = None
    rank: Rank = None


class EngineMemory(NamedTuple):
    """Memory of an engine, by what it is for or where it is."""

    engine: Name
    memory: Annotated[str, Attr("memory", "weights, kv_cache, graphs; gpu, cpu, pinned")]
    model: Model = None
    rank: Rank = None


class EngineStage(NamedTuple):
    """A stage of an engine's work."""

    engine: Name
    stage: Annotated[str, Attr("stage", "Stage of the work, in the engine's word")]
    model: Model = None
    rank: Rank = None


class EnginePosition(NamedTuple):
    """A position in the drafts of speculative decoding."""

    engine: Name
    position: Annotated[str, Attr("position", "Position in the draft, from 0")]
    model: Model = None
    rank: Rank = None


class EngineTransfer(NamedTuple):
    """Transfers of KV cache between engines."""

    engine: Name
    transport: Annotated[str | None, Attr("transport", "nixl, mooncake; absent where the engine does not say")] = None
    model: Model = None
    rank: Rank = None


class EngineTransferStep(NamedTuple):
    """Steps, operations or failures of transfers of KV cache."""

    engine: Name
    step: Annotated[str, Attr("step", "Step, operation or kind of failure of a transfer, in the engine's word")]
    transport: Annotated[str | None, Attr("transport", "nixl, mooncake; absent where the engine does not say")] = None
    model: Model = None
    rank: Rank = None


class EngineInfo(NamedTuple):
    """What an engine is."""

    engine: Name
    system: Annotated[
        str, Attr("engine.system", "vllm, sglang, tensorrt_llm, dynamo, triton, tgi, llama_cpp, lmdeploy")
    ]
    version: Annotated[str | None, Attr("engine.version", "Version of the engine")] = None
    model: Model = None
    role: Role = None
    backend: Annotated[str | None, Attr("engine.backend", "What runs the model inside it")] = None
    dtype: Annotated[str | None, Attr("dtype", "Type of the numbers that the model computes with")] = None
    quantization: Annotated[str | None, Attr("quantization", "How the weights are quantized")] = None
    tensor_parallel: Annotated[str | None, Attr("tensor_parallel", "GPUs that share each layer")] = None
    pipeline_parallel: Annotated[str | None, Attr("pipeline_parallel", "Stages that the layers are divided among")] = (
        None
    )
    expert_parallel: Annotated[str | None, Attr("expert_parallel", "GPUs that the experts are divided among")] = None
    gpus: Annotated[str | None, Attr("gpus", "How many GPUs the engine was started on")] = None
    deployment: Deployment = None
    component: Annotated[
        str | None, Attr("component", "Part of the deployment: frontend, backend, prefill, planner, …")
    ] = None
    worker: Worker = None


class EngineCacheInfo(NamedTuple):
    """How the KV cache of an engine is set up."""

    engine: Name
    rank: Rank = None
    dtype: Annotated[str | None, Attr("dtype", "Type of the numbers that the cache holds")] = None
    block_size: Annotated[str | None, Attr("block_size", "Tokens of a block")] = None
    prefix_caching: Annotated[str | None, Attr("prefix_caching", "Whether prompts are looked up: true, false")] = None
    memory: Annotated[str | None, Attr("memory_fraction", "Share of the GPU's memory that the engine may take")] = None
    offload: Annotated[str | None, Attr("offload", "What the cache is offloaded through")] = None


class Frontend(NamedTuple):
    """The front end of a deployment, by model."""

    engine: Name
    deployment: Deployment = None
    model: Model = None


class FrontendOutcome(NamedTuple):
    """Requests of a front end, by how they ended."""

    engine: Name
    outcome: Annotated[str, Attr("outcome", "success, error; or why it failed")]
    error: Annotated[str | None, Attr("error.type", "cancelled, validation, not_found, …")] = None
    deployment: Deployment = None
    model: Model = None


class FrontendStage(NamedTuple):
    """A stage that requests pass in a front end."""

    engine: Name
    stage: Annotated[str, Attr("stage", "Stage of the work, in the engine's word")]
    phase: Annotated[str | None, Attr("phase", "prefill, decode")] = None
    deployment: Deployment = None


class RouterQueue(NamedTuple):
    """The queue of a router for the workers of one role."""

    engine: Name
    role: Role = None
    reason: Annotated[str | None, Attr("reason", "Why, or where, in the engine's word")] = None
    deployment: Deployment = None
    model: Model = None


class RouterTokens(NamedTuple):
    """Prompt tokens that a router found in the caches of workers."""

    engine: Name
    found: Annotated[
        str,
        Attr("found", "best: on the worker with most of them; selected: on the one chosen; reused: by its own word"),
    ]
    phase: Annotated[str | None, Attr("phase", "prefill, decode")] = None
    deployment: Deployment = None
    model: Model = None


class DeploymentWorker(NamedTuple):
    """A worker of a deployment; its role is told by the router only, its own page says which component it is."""

    engine: Name
    worker: Worker = None
    role: Role = None
    deployment: Deployment = None
    rank: Rank = None


class WorkerError(NamedTuple):
    """Requests that a worker of a deployment could not serve."""

    engine: Name
    error: Annotated[str, Attr("error.type", "cancelled, validation, not_found, …")]
    worker: Worker = None
    deployment: Deployment = None


class WorkerIo(NamedTuple):
    """Bytes of a worker of a deployment in one direction."""

    engine: Name
    direction: Annotated[str, Attr("network.io.direction", "transmit, receive")]
    worker: Worker = None
    deployment: Deployment = None


class BlockMove(NamedTuple):
    """KV blocks that a block manager moves between tiers."""

    engine: Name
    operation: Annotated[str, Attr("operation", "offload, onboard")]
    path: Annotated[
        str, Attr("path", "device_host, host_disk, device_disk, device_object, host_device, disk_device, …")
    ]
    rank: Rank = None
