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
