# SPDX-License-Identifier: Apache-2.0
"""vLLM: one span `llm_request` per finished sequence, sent by the API server. Seen on vLLM 0.32.

Queue, prefill and decode are of the engine's monotonic clock, first token and end of the API server's wall clock;
the span does not say how tokenization and detokenization divide what lies between. So the phases are laid out
backwards from the first token. With n > 1 each sequence has a span, and the prompt is in each. Aborted, refused and
unsampled requests have none. Cached tokens, model, tenant and reason of finish are not in the span.

Older releases send the same span from other scopes (`vllm.llm_engine`); those with the first engine (V0) name the
model, and not how long prefill and decode took. With prefill and decode on separate instances each sends a span for
its own part, and nothing in it says so: one request then counts as two, one per service.
"""

from agent.dialects import Dialect
from agent.dialects.generic import details
from agent.dialects.values import NS, count, moment, seconds, text
from agent.requests import Request
from agent.spans import Span

_NAME, SPAN, SCOPE = "vllm", "llm_request", "vllm"
_PREFILL = "gen_ai.latency.time_in_model_prefill"


def _knows(span: Span) -> bool:
    return span.name == SPAN and (span.scope.startswith(SCOPE) or _PREFILL in span.attributes)


def _read(span: Span) -> Request:
    told = span.attributes
    arrival = span.start
    # The span ends when it is made, a little after the last token; a clock that was set in between tells nothing.
    last = max(arrival, span.end)
    end = moment(arrival, seconds(told.get("gen_ai.latency.e2e")), last) or last
    whole = (end - arrival) / NS
    wait = seconds(told.get("gen_ai.latency.time_to_first_token"))
    first_token = moment(arrival, wait, end)
    prefill = seconds(told.get(_PREFILL), whole)
    input_tokens = count(told.get("gen_ai.usage.prompt_tokens"))
    output_tokens = count(told.get("gen_ai.usage.completion_tokens"))
    pid = count(span.source.attributes.get("vllm.process_id"))
    return Request(
        span=span,
        dialect=_NAME,
        request_id=text(told.get("gen_ai.request.id")),
        model=text(told.get("gen_ai.response.model") or told.get("gen_ai.request.model")),
        arrival=arrival,
        prefill_start=_began(arrival, first_token, prefill),
        first_token=first_token,
        end=end,
        queue=seconds(told.get("gen_ai.latency.time_in_queue"), whole),
        prefill=prefill,
        decode=seconds(told.get("gen_ai.latency.time_in_model_decode"), whole),
        time_to_first_token=None if first_token is None else wait,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        pids=() if pid is None else (pid,),
        **details(told, input_tokens, output_tokens),
    )


def _began(arrival: int, first_token: int | None, prefill: float | None) -> int | None:
    if first_token is None or prefill is None:
        return None
    return max(arrival, first_token - round(prefill * NS))


DIALECT = Dialect(_NAME, _knows, _read)
