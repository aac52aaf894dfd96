# SPDX-License-Identifier: Apache-2.0
"""NVIDIA Dynamo's request traces (`DYN_REQUEST_TRACE`): a line of JSON at the end of each request of a front end.

Source: "Request Tracing" of Dynamo, schema dynamo.request.trace.v1, and recordings of Dynamo 1.6.1. Lines with prompts
and answers (`request_payload`) and of tools are not read. There is no trace id: records and spans are joined by the
request id. The workers are those of the first attempt, also of a request that moved to others; times are left to the
spans, which tell them of the whole request.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from agent.dialects.dynamo_ids import decimal
from agent.dialects.values import count, part, text
from agent.requests import Phase, Request, Role

_SCHEMA = "dynamo.request.trace.v1"
_END = "request_end"
DIALECT = "dynamo"


class Record(NamedTuple):
    """What the trace says about a request that ended; None where it says nothing."""

    request_id: str
    model: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    finish: str | None = None
    session: str | None = None
    prefill_worker: int | None = None


class _Worker(msgspec.Struct, gc=False):
    prefill_worker_id: int | str | None = None


class _Finish(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Request(msgspec.Struct, gc=False):
    request_id: str
    model: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    worker: _Worker | None = None
    finish_reason_metadata: _Finish | None = None


class _Context(msgspec.Struct, gc=False):
    session_id: str | None = None


class _Event(msgspec.Struct, gc=False):
    schema: str
    event_type: str
    request: _Request | None = None
    agent_context: _Context | None = None


class _Line(msgspec.Struct, gc=False):
    event: _Event


_DECODER = msgspec.json.Decoder(_Line)


def decode(line: bytes) -> Record | None:
    """Read a line of the trace: a request that ended, or None. Raises ValueError where it is something else."""
    try:
        event = _DECODER.decode(line).event
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError("no line of a request trace") from error
    told = event.request
    if event.schema != _SCHEMA:
        raise ValueError("another schema")
    if event.event_type != _END or told is None or not (request_id := text(told.request_id)):
        return None
    input_tokens = count(told.input_tokens)
    return Record(
        request_id,
        text(told.model),
        input_tokens,
        part(count(told.cached_tokens), input_tokens),
        count(told.output_tokens),
        text((told.finish_reason_metadata or _Finish()).finish_reason),
        text((event.agent_context or _Context()).session_id),
        decimal((told.worker or _Worker()).prefill_worker_id),
    )


def join(request: Request, record: Record) -> Request:
    """Add what a record says to its request: that of the front end, or a worker's part. Spans come first."""
    if request.dialect != DIALECT or request.request_id != record.request_id:
        return request
    told: dict[str, Any] = {"model": record.model, "session": record.session}
    if request.role is Role.SERVER:
        told.update(
            input_tokens=record.input_tokens,
            output_tokens=record.output_tokens,
            cached_tokens=record.cached_tokens,
            finish=record.finish,
        )
    elif _prefilled(request, record):
        told.update(input_tokens=record.input_tokens, cached_tokens=record.cached_tokens)
    fresh = {field: value for field, value in told.items() if value is not None and getattr(request, field) is None}
    if "cached_tokens" in fresh and fresh.get("input_tokens", request.input_tokens) != record.input_tokens:
        del fresh["cached_tokens"]
    return replace(request, **fresh) if fresh else request


def _prefilled(request: Request, record: Record) -> bool:
    """Whether it was this worker that read the prompt of which the record tells."""
    own = decimal(request.span.attributes.get("instance_id"))
    return request.phase is not Phase.DECODE and own is not None and own == record.prefill_worker
