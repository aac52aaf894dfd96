# SPDX-License-Identifier: Apache-2.0
"""TensorRT-LLM: one span `llm_request` per request, sent by the process that answers. Read in its source, not run.

The name is vLLM's too: scope and attributes tell them apart. Unknown latencies are -1. How prefill and decode divide
is not told, so prefill stays unknown and decode is what lies between the first token and the end. The start is
computed at the end from a monotonic clock, so a clock that was set in between shifts it. No process, GPU or model is
named; the request id is the executor's number, not that of the API.

With prefill and decode on separate servers each sends a span for its part, in traces of their own, because the front
end does not pass the context on. The one whose reason of finish is `not_finished` is the context server's, a WORKER;
the generation server's has all tokens and counts as the request (`DECODE`, told by the transfer of the KV cache), with
times that begin after prefill. Where one token was asked for, both finish by `length` and both count. The front end's
`disaggregated_request` has neither tokens nor model, and ends before a stream does: it is no request.
"""

from agent.dialects import Dialect
from agent.dialects.generic import details
from agent.dialects.values import NS, count, moment, reason, seconds, text
from agent.dialects.vllm import SCOPE as VLLM
from agent.dialects.vllm import SPAN
from agent.requests import Phase, Request, Role
from agent.spans import Span

_NAME, _SCOPE = "tensorrt_llm", "trt.llm"
_TRANSFER, _WHOLE = "gen_ai.latency.kv_cache_transfer_time", "gen_ai.latency.e2e"
_HANDED_ON = "not_finished"


def _knows(span: Span) -> bool:
    if span.name != SPAN or span.scope.startswith(VLLM):
        return False
    return span.scope == _SCOPE or _TRANSFER in span.attributes or _WHOLE in span.attributes


def _read(span: Span) -> Request:
    told = span.attributes
    arrival = span.start
    last = max(arrival, span.end)
    end = moment(arrival, seconds(told.get(_WHOLE)), last) or last
    wait = seconds(told.get("gen_ai.latency.time_to_first_token"))
    first_token = moment(arrival, wait, end)
    finish = reason(told.get("gen_ai.response.finish_reasons"))
    phase = _phase(finish, seconds(told.get(_TRANSFER)))
    input_tokens = count(told.get("gen_ai.usage.prompt_tokens"))
    output_tokens = count(told.get("gen_ai.usage.completion_tokens"))
    return Request(
        span=span,
        dialect=_NAME,
        role=Role.WORKER if phase is Phase.PREFILL else Role.SERVER,
        phase=phase,
        request_id=text(told.get("gen_ai.request.id")),
        model=text(told.get("gen_ai.response.model") or told.get("gen_ai.request.model")),
        arrival=arrival,
        first_token=first_token,
        end=end,
        queue=seconds(told.get("gen_ai.latency.time_in_queue"), (end - arrival) / NS),
        decode=None if first_token is None else (end - first_token) / NS,
        time_to_first_token=None if first_token is None else wait,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        finish=None if phase is Phase.PREFILL else finish,
        **details(told, input_tokens, output_tokens),
    )


def _phase(finish: str | None, transfer: float | None) -> Phase:
    if finish == _HANDED_ON:
        return Phase.PREFILL
    return Phase.DECODE if transfer else Phase.WHOLE


DIALECT = Dialect(_NAME, _knows, _read)
