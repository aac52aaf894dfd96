# SPDX-License-Identifier: Apache-2.0
"""OpenInference: spans of its instrumentations of libraries and agent frameworks; kinds LLM and EMBEDDING.

Chains, agents, tools, retrievers and rerankers are neither requests nor parts. The client's view, as the spans are
INTERNAL. The first token is an event of the span where it is told at all, and is not read. There is no request id.
Source: https://github.com/Arize-ai/openinference, spec/semantic_conventions.md.
"""

from agent.dialects import Dialect, Reading
from agent.dialects.generic import Names, request
from agent.spans import Span

_NAME = "openinference"
_KIND = "openinference.span.kind"
_KINDS = ("LLM", "EMBEDDING")
_NAMES = Names(
    model=("llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"),
    input_tokens=("llm.token_count.prompt",),
    cached_tokens=("llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"),
    output_tokens=("llm.token_count.completion",),
    reasoning_tokens=("llm.token_count.completion_details.reasoning",),
    finish=("llm.finish_reason",),
    session=("session.id",),
    agent=("agent.name",),
    request_id=(),
    time_to_first_token=(),
)


def _knows(span: Span) -> bool:
    return _KIND in span.attributes


def _read(span: Span) -> Reading:
    return request(span, _NAME, _NAMES) if span.attributes.get(_KIND) in _KINDS else None


DIALECT = Dialect(_NAME, _knows, _read)
