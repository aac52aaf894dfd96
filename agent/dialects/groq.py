# SPDX-License-Identifier: Apache-2.0
"""Groq: the timings in the `usage` of its API, on spans of whatever library asked it.

    queue_time       s that the request waited
    prompt_time      s for the prompt
    completion_time  s for the answer
    total_time       their sum without the queue

There is no convention for them. They are read where the provider is Groq, under the names that the API's own suggest:
`usage.queue_time` and the same after one of a few prefixes. The client's clock and the way to Groq are not in them,
so times of the span are left as they are.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from agent.dialects.values import count, first, part, seconds
from agent.otlp.values import Value

_PROVIDERS = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_PREFIXES = ("usage.", "gen_ai.usage.", "gen_ai.usage.details.", "groq.usage.", "x_groq.usage.", "llm.usage.")
_TIMINGS = {"queue": "queue_time", "prefill": "prompt_time", "decode": "completion_time"}
_TOTAL = "total_time"
_SLACK = 1.01


def is_groq(told: Mapping[str, Value]) -> bool:
    """Tell whether a span says that Groq was asked."""
    name = first(told, *_PROVIDERS)
    return isinstance(name, str) and name.lower() == "groq"


def usage(
    told: Mapping[str, Value], duration: float, input_tokens: int | None, output_tokens: int | None
) -> Iterator[tuple[str, Any]]:
    """Give fields of a Request that Groq's usage says: timings that fit into its duration (s), and parts of tokens."""
    found = {field: _seconds(told, name, duration) for field, name in _TIMINGS.items()}
    total = _seconds(told, _TOTAL, duration)
    prefill, decode = found["prefill"], found["decode"]
    # Of two of the three the third is known.
    if total is not None and prefill is None and decode is not None and decode <= total:
        found["prefill"] = total - decode
    if total is not None and decode is None and prefill is not None and prefill <= total:
        found["decode"] = total - prefill
    if sum(value or 0.0 for value in found.values()) <= duration * _SLACK:
        yield from found.items()
    cached = count(_told(told, "prompt_tokens_details.cached_tokens"))
    reasoning = count(_told(told, "completion_tokens_details.reasoning_tokens"))
    yield "cached_tokens", part(cached, input_tokens)
    yield "reasoning_tokens", part(reasoning, output_tokens)


def _told(told: Mapping[str, Value], name: str) -> Value:
    return first(told, *(prefix + name for prefix in _PREFIXES))


def _seconds(told: Mapping[str, Value], name: str, duration: float) -> float | None:
    return seconds(_told(told, name), duration)
