# SPDX-License-Identifier: Apache-2.0
"""SGLang: a tree of spans per request, from every process it passes. Read in the source of SGLang 0.5.23, not run.

    " Req 1b2c3d4e"                             the request, told by the tokenizer's process
      "Scheduler [TP 0](host:… | pid:…)"        one per rank that traces it: names the process on the GPU
        prefill_waiting, prefill_forward, …     the stages, of which these three are read: the rest, such as
        decode_forward                          decode_loop, one per token, is neither request nor part

The root alone has the times of the tokenizer's process: its prefill begins when the request was sent to the scheduler,
and so includes the queue. Queue, start of prefill and prefill are therefore told only where the stages are there (all
at SGLANG_TRACE_LEVEL 1). Where prefill was retracted and repeated, the first one counts, and the rest is decode.

With prefill and decode on separate servers each has a root of its own, "prefill Req …" and "decode Req …". Decode's
has the whole prompt, all output and a first token that was waited for from the start: it counts as the request, in
phase DECODE. That of prefill is a WORKER.

`pid` is a thread's id, and a scheduler's main thread has that of its process. Ranks on other nodes are among the ids.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from agent.dialects import Dialect, Reading
from agent.dialects.generic import details
from agent.dialects.values import NS, count, first, moment, reason, seconds, text
from agent.requests import Part, Phase, Request, Role
from agent.spans import Span

_NAME, _SCOPE = "sglang", "sglang server"
_QUEUE, _PREFILL, _DECODE = "prefill_waiting", "prefill_forward", "decode_forward"
_STAGES = frozenset((_QUEUE, _PREFILL, _DECODE))
_ROOT, _SCHEDULER = "Req ", "Scheduler"
_SERVERS = {
    "": (Role.SERVER, Phase.WHOLE),
    "prefill": (Role.WORKER, Phase.PREFILL),
    "decode": (Role.SERVER, Phase.DECODE),
}
_MOST_RANKS = 1024


def _knows(span: Span) -> bool:
    return span.scope == _SCOPE


def _read(span: Span) -> Reading:
    name = span.name
    if name in _STAGES or (_SCHEDULER in name and "(host:" in name):
        return Part(span, _NAME)
    server, root, _ = name.partition(_ROOT)
    known = _SERVERS.get(server.strip().lower())
    return _request(span, *known) if root and known else None


def _request(span: Span, role: Role, phase: Phase) -> Request:
    told = span.attributes
    end = max(span.start, span.end)
    wait = seconds(told.get("gen_ai.latency.time_to_first_token"))
    first_token = moment(span.start, wait, end)
    input_tokens = count(told.get("gen_ai.usage.prompt_tokens"))
    output_tokens = count(told.get("gen_ai.usage.completion_tokens"))
    return Request(
        span=span,
        dialect=_NAME,
        role=role,
        phase=phase,
        request_id=text(first(told, "gen_ai.request.id", "rid")),
        model=text(told.get("gen_ai.response.model")),
        arrival=span.start,
        first_token=first_token,
        end=end,
        decode=seconds(told.get("gen_ai.latency.time_in_model_decode"), (end - span.start) / NS),
        time_to_first_token=None if first_token is None else wait,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        finish=reason(told.get("gen_ai.response.finish_reasons")),
        **details(told, input_tokens, output_tokens),
    )


def complete(request: Request, spans: Sequence[Span]) -> Request:
    """Add what the stages below a root say. The trace may hold other requests, whose spans have other parents."""
    root = request.span.span_id
    ranks = {span.span_id: span for span in spans if span.parent_id == root and _SCHEDULER in span.name}
    if not ranks:
        return request
    stages = [span for span in spans if span.parent_id in ranks and span.name in _STAGES]
    aborted = any(rank.failed for rank in ranks.values())
    return replace(
        _timed(request, stages),
        finish=request.finish or ("abort" if aborted else None),
        pids=_pids(ranks.values()),
    )


def _timed(request: Request, stages: Sequence[Span]) -> Request:
    prefills = _firsts(stages, _PREFILL)
    if not prefills:
        return request
    # The ranks of a pipeline work one after the other.
    lead = min(prefills, key=lambda span: (span.start, span.span_id))
    done = max(span.end for span in prefills)
    decoded = max((span.end for span in stages if span.name == _DECODE), default=None)
    last = request.end if request.first_token is None else request.first_token
    return replace(
        request,
        prefill_start=min(max(request.arrival, lead.start), last),
        queue=_waited(request, [span for span in stages if span.parent_id == lead.parent_id]),
        prefill=_length(request, lead.start, done),
        decode=request.decode if decoded is None else _length(request, done, decoded),
    )


def _waited(request: Request, stages: Iterable[Span]) -> float | None:
    """Seconds of the first wait among the stages of one rank."""
    waits = _firsts(stages, _QUEUE)
    return _length(request, waits[0].start, waits[0].end) if waits else None


def _firsts(stages: Iterable[Span], name: str) -> list[Span]:
    """Give each rank's first stage of a name."""
    found: dict[bytes, Span] = {}
    for span in stages:
        if span.name == name:
            before = found.get(span.parent_id, span)
            found[span.parent_id] = min(before, span, key=lambda one: (one.start, one.span_id))
    return list(found.values())


def _length(request: Request, since: int, until: int) -> float | None:
    return seconds((until - since) / NS, request.duration)


def _pids(ranks: Iterable[Span]) -> tuple[int, ...]:
    told = {count(span.attributes.get("pid")) for span in ranks}
    return tuple(sorted(pid for pid in told if pid))[:_MOST_RANKS]


DIALECT = Dialect(_NAME, _knows, _read, complete)
