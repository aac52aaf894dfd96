# SPDX-License-Identifier: Apache-2.0
"""NVIDIA Dynamo: what the spans of a trace say together about a request, and about each worker's part of it.

    http-request                    the front end's, with the tokens and times of the whole
      request.lifecycle             only with lifecycle tracing: session, outcome
      kv_router.route_request       one per attempt and phase: which part of the work, and how it went
        handle_payload              the worker's
          engine.generate           only of workers that are built on Dynamo's backend classes

A request that loses its worker moves to another one as attempt 1, 2, …, which reads the prompt and all tokens that
were delivered before (`migration.tokens_completed`, counted from the beginning) as its prompt. The front end then
tells that longer prompt as the request's.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from agent.dialects.values import count, milliseconds, moment, text
from agent.requests import Phase, Request, Role
from agent.spans import Span

_T = TypeVar("_T")
FRONT, LIFECYCLE, ROUTE = "http-request", "request.lifecycle", "kv_router.route_request"
WORKER, ENGINE = "handle_payload", "engine.generate"
_PHASES = {"Aggregated": Phase.WHOLE, "Prefill": Phase.PREFILL, "Decode": Phase.DECODE}
_ROLES = {"prefill": Phase.PREFILL, "decode": Phase.DECODE}
_CANCELLED = "cancelled"
_FINE = (None, "success", "unknown")


class _Trace(NamedTuple):
    """The spans of a trace that belong to one request id."""

    fronts: list[Span]
    lifecycles: list[Span]
    routes: list[Span]
    workers: list[Span]
    engines: list[Span]


class _Around(NamedTuple):
    """The spans around a worker's: its front end's, the route above it, its engine's below it."""

    front: Span | None
    route: Span | None
    engine: Span | None


class _Tokens(NamedTuple):
    input: int | None = None
    output: int | None = None


def complete(request: Request, spans: Sequence[Span]) -> Request:
    """Add what the other spans of its trace say about a request. Asked again with more spans, it starts anew."""
    if request.request_id is None:
        routes = (span for span in spans if span.name == ROUTE and span.span_id == request.span.parent_id)
        request = replace(request, request_id=_word(next(routes, None), "request_id"))
    trace = _of(request, spans)
    return _whole(request, trace) if request.role is Role.SERVER else _work(request, trace)


def verdict(outcome: str | None, error: str | None) -> tuple[str | None, str | None]:
    """Tell finish and error from Dynamo's word for how it went and, where it failed, what `error.type` says."""
    if outcome == _CANCELLED:
        return _CANCELLED, None
    return None, None if outcome in _FINE else error or outcome


def _of(request: Request, spans: Sequence[Span]) -> _Trace:
    named: dict[str, list[Span]] = {FRONT: [], ROUTE: [], WORKER: []}
    for span in spans if request.request_id else ():
        if span.name in named and text(span.attributes.get("request_id")) == request.request_id:
            named[span.name].append(span)
    fronts = {request.span.span_id, *(span.span_id for span in named[FRONT])}
    workers = {request.span.span_id, *(span.span_id for span in named[WORKER])}
    return _Trace(
        fronts=named[FRONT],
        lifecycles=[span for span in spans if span.name == LIFECYCLE and span.parent_id in fronts],
        routes=named[ROUTE],
        workers=named[WORKER],
        engines=[span for span in spans if span.name == ENGINE and span.parent_id in workers],
    )


def _whole(request: Request, trace: _Trace) -> Request:
    front = request.span
    route = _last(span for span in trace.routes if _phase(span) is not Phase.PREFILL) or _last(trace.routes)
    engine = _last(span for span in trace.engines if _word(span, "disagg_role") != "prefill")
    counted = None if _delivered(trace.routes) else engine
    finish, error = verdict(_outcome(front, trace, route), _word(front, "error.type") or _word(route, "error.type"))
    return replace(
        request,
        model=_word(front, "model") or _word(engine, "model"),
        input_tokens=_known(_prompt(front, trace.routes), _number(counted, "input_tokens")),
        output_tokens=_known(_number(front, "output_tokens"), _number(counted, "output_tokens")),
        finish=finish or _word(engine, "finish_reason"),
        error=error,
        session=_session(trace) or request.session,
    )


def _outcome(front: Span, trace: _Trace, route: Span | None) -> str | None:
    """How the request went. The front end's status counts only where nothing else tells: it may be wrong."""
    for word in (
        _word(front, "request.outcome"),
        *(_word(span, "dynamo.request.terminal.outcome") for span in trace.lifecycles),
        _word(route, "request.outcome"),
    ):
        if word is not None and word != "unknown":
            return word
    return "error" if front.failed and not trace.lifecycles and not trace.routes else None


def _work(request: Request, trace: _Trace) -> Request:
    around = _around(request, trace)
    front, route, engine = around
    phase = _phase(request.span, route, engine)
    outcome = _word(route, "request.outcome") or ("error" if request.span.failed else None)
    finish, error = verdict(outcome, _word(route, "error.type"))
    done = request.end if phase is Phase.PREFILL and not finish and not error else None
    tokens = _tokens(phase, around, trace.routes)
    return replace(
        request,
        phase=phase,
        model=_known(_word(engine, "model"), _word(front, "model")),
        first_token=_first(request, phase, around, trace) or done,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        finish=finish or _word(engine, "finish_reason"),
        error=error,
        session=_session(trace),
    )


def _around(request: Request, trace: _Trace) -> _Around:
    own = request.span
    return _Around(
        # Clients may choose ids, and so use one twice in a trace: then the last that began before the worker did.
        max(trace.fronts, key=lambda span: (span.start <= own.start, span.start), default=None),
        next((span for span in trace.routes if span.span_id == own.parent_id), None),
        _last(span for span in trace.engines if span.parent_id == own.span_id),
    )


def _phase(span: Span, route: Span | None = None, engine: Span | None = None) -> Phase:
    """The phase that a route, or a worker with the route above and the engine below it, is about."""
    routed = _PHASES.get(_word(route or span, "phase") or "")
    role = _ROLES.get(_word(engine, "disagg_role") or "")
    return routed or role or (Phase.PREFILL if span.attributes.get("component") == "prefill" else Phase.WHOLE)


def _first(request: Request, phase: Phase, around: _Around, trace: _Trace) -> int | None:
    """When a worker's tokens began. A decode worker's span opens while prefill runs: not before that has ended."""
    candidates: list[int | None] = []
    if phase is Phase.DECODE and (handed := _prefilled(request, trace)) is not None:
        candidates.append(max(request.arrival, handed))
    if around.engine is not None:
        candidates.append(_told(around.engine, request.end))
    if around.front is not None and phase is not Phase.PREFILL:
        candidates.append(_told(around.front, request.end))
    return next((time for time in candidates if time is not None and request.arrival <= time <= request.end), None)


def _told(span: Span, end: int) -> int | None:
    return moment(span.start, milliseconds(span.attributes.get("ttft_ms")), end)


def _prefilled(request: Request, trace: _Trace) -> int | None:
    """When the prefill that a decode worker continues was done, as its worker says, or else as its route does."""
    for spans in (trace.workers, trace.routes):
        ends = [span.end for span in spans if _phase(span) is Phase.PREFILL and span.start < request.end]
        if ends:
            return max(ends)
    return None


def _tokens(phase: Phase, around: _Around, routes: list[Span]) -> _Tokens:
    """A worker's own tokens: as its engine says, else its share of the request's. Decode workers compute no prompt."""
    share = _share(phase, around, routes)
    computed = _known(_number(around.engine, "input_tokens"), share.input)
    made = _known(_number(around.engine, "output_tokens"), None if phase is Phase.PREFILL else share.output)
    return _Tokens(None if phase is Phase.DECODE else computed, made)


def _share(phase: Phase, around: _Around, routes: list[Span]) -> _Tokens:
    attempt = _attempt(around.route)
    rivals = {span.span_id for span in routes if _phase(span) is phase and _attempt(span) == attempt}
    if around.front is None or len(rivals) > 1:
        return _Tokens()
    delivered = _delivered(routes)
    before = delivered.get(attempt, 0)
    later = [tokens for number, tokens in delivered.items() if number > attempt]
    until = min(later) if later else _number(around.front, "output_tokens")
    prompt = _prompt(around.front, routes)
    return _Tokens(
        None if prompt is None else prompt + before,
        None if until is None or until < before else until - before,
    )


def _prompt(front: Span, routes: list[Span]) -> int | None:
    """Tokens of the prompt as it was asked: without those that were delivered before it moved to another worker."""
    told = _number(front, "input_tokens")
    repeated = max(_delivered(routes).values(), default=0)
    return told - repeated if told is not None and told >= repeated else told


def _delivered(routes: list[Span]) -> dict[int, int]:
    """How many tokens were delivered before each attempt that is not the first."""
    done: dict[int, int] = {}
    for route in routes:
        attempt, tokens = _attempt(route), _number(route, "migration.tokens_completed")
        if attempt and tokens is not None:
            done[attempt] = max(tokens, done.get(attempt, 0))
    return done


def _attempt(route: Span | None) -> int:
    return _number(route, "request.attempt") or 0


def _session(trace: _Trace) -> str | None:
    """The session that the client named: without one, Dynamo fills in the id of the request."""
    named = (span for span in trace.lifecycles if span.attributes.get("dynamo.session.source") == "agent_context")
    return next((found for span in named if (found := _word(span, "dynamo.session.id"))), None)


def _known(*values: _T | None) -> _T | None:
    return next((value for value in values if value is not None), None)


def _last(spans: Iterable[Span]) -> Span | None:
    return max(spans, key=lambda span: (_attempt(span), span.end), default=None)


def _word(span: Span | None, key: str) -> str | None:
    return None if span is None else text(span.attributes.get(key))


def _number(span: Span | None, key: str) -> int | None:
    return None if span is None else count(span.attributes.get(key))
