# SPDX-License-Identifier: Apache-2.0
"""What the metrics of requests and of their energy are about: classes of requests, and engines whose work is priced."""

from typing import Annotated, NamedTuple

from agent.entity import Attr
from agent.owner_entities import NOBODY, Owner


class RequestClass(NamedTuple):
    """Requests of one engine, model and tenant."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    model: Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")] = None
    tenant: Annotated[str | None, Attr("tenant", "Who asked")] = None
    owner: Owner = NOBODY


class LedgerGap(NamedTuple):
    """Requests that are not divided."""

    reason: Annotated[
        str,
        Attr("reason", "future: it ends after now; past: before what is remembered; full: too many wait; uncovered: "
                       "part of its time is not known"),
    ]  # fmt: skip


class RequestPhase(NamedTuple):
    """A phase of the requests of one engine, model and tenant."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    model: Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")]
    tenant: Annotated[str | None, Attr("tenant", "Who asked")]
    phase: Annotated[str, Attr("phase", "prefill, decode")]
    owner: Owner = NOBODY


class RequestCause(NamedTuple):
    """Slow requests, by cause."""

    cause: Annotated[str, Attr("cause", "What made the request slow")]


class RequestTokens(NamedTuple):
    """Tokens of the requests of one engine, model and tenant, by what they are."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    model: Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")]
    tenant: Annotated[str | None, Attr("tenant", "Who asked")]
    type: Annotated[
        str,
        Attr(
            "gen_ai.token.type",
            "of requests, input: prompt tokens not known to come from the cache; cached: prompt tokens that did; "
            "output; reasoning: those of the output that are reasoning",
        ),
    ]
    owner: Owner = NOBODY


class RequestFinish(NamedTuple):
    """Finished requests of one engine, model and tenant, by why they ended."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    model: Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")]
    tenant: Annotated[str | None, Attr("tenant", "Who asked")]
    finish: Annotated[
        str | None, Attr("finish_reason", "The engine's word, stop, length, abort, …; error where it failed without")
    ] = None
    owner: Owner = NOBODY


class RequestEngine(NamedTuple):
    """Requests of one engine."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]


class RequestGap(NamedTuple):
    """Requests of an engine of which something is not known."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    reason: Annotated[str, Attr("reason", "Why it is not known")]


class RequestName(NamedTuple):
    """Requests by which of their names found no room."""

    attribute: Annotated[
        str,
        Attr(
            "attribute",
            "engine, model, tenant, finish, owner, or class: the combination of engine, model, tenant and owner",
        ),
    ]


class EngineGpu(NamedTuple):
    """A GPU or MIG instance that an engine uses."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    gpu: Annotated[str, Attr("hw.id", "NVML UUID of the GPU or MIG instance")]
    source: Annotated[str, Attr("source", "How it is known")]


class CalibratedEngine(NamedTuple):
    """An engine with its model on its GPUs, as far as it is known what its work costs."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    model: Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")]
    gpu: Annotated[str | None, Attr("hw.model", "Product name of its GPUs")]


class CalibratedWork(NamedTuple):
    """A kind of work of a calibrated engine."""

    calibrated: CalibratedEngine
    work: Annotated[str, Attr("work", "iteration, prefill_token, decode_token, kv_token: one read by attention")]


class CalibratedMethod(NamedTuple):
    """How the energy of an engine is divided now."""

    calibrated: CalibratedEngine
    method: Annotated[
        str,
        Attr("method", "time_share, or calibrated_ and where its iterations come from: spans, tokens, iterations"),
    ]
