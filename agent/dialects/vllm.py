# SPDX-License-Identifier: Apache-2.0
"""vLLM: one span `llm_request` per finished sequence, sent by the API server. Seen on vLLM 0.32.

Queue, prefill and decode are of the engine's monotonic clock, first token and end of the API server's wall clock;
the span does not say how tokenization and detokenization divide what lies between. So the phases are laid out
backwards from the first token. With n > 1 each sequence has a span, and the prompt is in each. Aborted, refused and
unsampled requests have none. Cached tokens, model, tenant and reason of finish are not in the span.
"""

from agent.dialects import Dialect
from agent.dialects.generic import details
from agent.dialects.values import after, count, seconds, text
from agent.requests import Request
from agent.spans import Span

_SCOPE = "vllm"


def _knows(span: Span) -> bool:
    return span.name == "llm_request" and span.scope.startswith(_SCOPE)


def _read(span: Span) -> Request:
    told = span.attributes
    first_token = seconds(told.get("gen_ai.latency.time_to_first_token"))
    prefill = seconds(told.get("gen_ai.latency.time_in_model_prefill"))
    arrival = span.start
    at_first = after(arrival, first_token)
    began = None if at_first is None or prefill is None else max(arrival, at_first - int(prefill * 1e9))
    whole = seconds(told.get("gen_ai.latency.e2e"))
    pid = count(span.source.attributes.get("vllm.process_id"))
    return Request(
        span=span,
        dialect="vllm",
        request_id=text(told.get("gen_ai.request.id")),
        model=text(told.get("gen_ai.response.model")) or text(told.get("gen_ai.request.model")),
        arrival=arrival,
        prefill_start=began,
        first_token=at_first,
        end=max(span.end, arrival) if whole is None else arrival + int(whole * 1e9),
        queue=seconds(told.get("gen_ai.latency.time_in_queue")),
        prefill=prefill,
        decode=seconds(told.get("gen_ai.latency.time_in_model_decode")),
        time_to_first_token=first_token,
        input_tokens=count(told.get("gen_ai.usage.prompt_tokens")),
        output_tokens=count(told.get("gen_ai.usage.completion_tokens")),
        pids=() if pid is None else (pid,),
        **details(told),
    )


DIALECT = Dialect("vllm", _knows, _read)
