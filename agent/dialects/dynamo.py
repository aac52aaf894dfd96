# SPDX-License-Identifier: Apache-2.0
"""NVIDIA Dynamo: `http-request` of the front end, one `handle_payload` per worker. Seen on Dynamo 1.6.1.

The front end's span is the request as a whole (SERVER): tokens, time to first token and outcome, numbers as text.
That of a worker (WORKER) is opaque: id and time, waiting included; the other spans of the trace make the rest of it,
see `dynamo_parts`. Work that no client asked for, such as speculative prefill, has worker spans only, in traces of
its own. A worker that is killed never sends its span.

`request_id` is the front end's. The status of `http-request` is an error for requests that succeeded when lifecycle
tracing is on; `/v1/completions` tells neither model nor outcome, and tokens only where it streams. Overlap with the
cache is told in blocks of unknown size, as the router expected it, and so is not read. Process, GPU and tenant are in
no span.
"""

from agent.dialects import Dialect, Reading
from agent.dialects.dynamo_parts import ENGINE, FRONT, LIFECYCLE, ROUTE, WORKER, complete, verdict
from agent.dialects.generic import details
from agent.dialects.values import count, milliseconds, moment, text
from agent.requests import Part, Phase, Request, Role
from agent.spans import Span

_NAME = "dynamo"
_NAMES = frozenset((FRONT, ROUTE, WORKER, ENGINE, LIFECYCLE))
_ENDPOINTS = ("/completions", "/responses", "/messages", "/embeddings", "/generations", "/speech")
"""How the paths end on which a model is asked. Paths can be renamed: a span that names a model needs none of these."""


def _knows(span: Span) -> bool:
    # The scope is named after the service, whatever its operator called it.
    return span.name in _NAMES


def _read(span: Span) -> Reading:
    if span.name == FRONT:
        return _request(span)
    if span.name == WORKER:
        return _work(span)
    if span.name == LIFECYCLE:
        return Part(span, _NAME) if text(span.attributes.get("dynamo.request.id")) else None
    # An engine's span has a worker's above it: a root of this name is another program's.
    return Part(span, _NAME) if span.name == ROUTE or span.parent_id else None


def _request(span: Span) -> Request | None:
    told = span.attributes
    request_id = text(told.get("request_id"))
    if request_id is None or not _asks_a_model(span):
        return None
    end = max(span.start, span.end)
    wait = milliseconds(told.get("ttft_ms"))
    first_token = moment(span.start, wait, end)
    more = details(told)
    finish, error = verdict(text(told.get("request.outcome")), more.pop("error", None))
    output_tokens = count(told.get("output_tokens"))
    return Request(
        span=span,
        dialect=_NAME,
        role=Role.SERVER,
        request_id=request_id,
        model=text(told.get("model")),
        arrival=span.start,
        first_token=first_token,
        end=end,
        decode=_decode(milliseconds(told.get("avg_itl_ms")), output_tokens, (end - span.start) / 1e9),
        time_to_first_token=None if first_token is None else wait,
        input_tokens=count(told.get("input_tokens")),
        output_tokens=output_tokens,
        finish=finish,
        error=error,
        **more,
    )


def _asks_a_model(span: Span) -> bool:
    told = span.attributes
    if text(told.get("model")) or text(told.get("request.outcome")):
        return True
    path = (text(told.get("uri")) or "").partition("?")[0]
    return told.get("method") == "POST" and path.rstrip("/").endswith(_ENDPOINTS)


def _decode(between_tokens: float | None, tokens: int | None, duration: float) -> float | None:
    """Seconds from first to last token, of their mean distance; None when that is longer than the request."""
    if between_tokens is None or not tokens:
        return None
    found = between_tokens * (tokens - 1)
    return found if found <= duration else None


def _work(span: Span) -> Request | None:
    told = span.attributes
    if told.get("endpoint") != "generate":
        return None
    return Request(
        span=span,
        dialect=_NAME,
        role=Role.WORKER,
        phase=Phase.PREFILL if told.get("component") == "prefill" else Phase.WHOLE,
        # Of one prompt of a list there is none here: the route above has it, with the prompt's number after it.
        request_id=text(told.get("request_id")),
        arrival=span.start,
        end=max(span.start, span.end),
        error="error" if span.failed else None,
    )


DIALECT = Dialect(_NAME, _knows, _read, complete)
