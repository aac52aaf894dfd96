# SPDX-License-Identifier: Apache-2.0
"""OpenLLMetry (Traceloop): the GenAI conventions with names of its own, which were there before.

A span is a request where `llm.request.type` is chat, completion or embedding; since 0.5 of its conventions, where the
operation is one of GenAI's. Workflows, tasks, agents and tools have `traceloop.span.kind` and are none. Sessions are
what applications put into `traceloop.association.properties`, under whatever name: the usual ones are read.
Source: https://github.com/traceloop/openllmetry, packages/opentelemetry-semantic-conventions-ai.
"""

from agent.dialects import Dialect, Reading
from agent.dialects.gen_ai import OPERATIONS
from agent.dialects.generic import GEN_AI, request
from agent.spans import Span

_NAME = "openllmetry"
_TYPE = "llm.request.type"
_TYPES = ("chat", "completion", "embedding", "embeddings")
_MARKS = frozenset(
    (_TYPE, "gen_ai.is_streaming", "llm.is_streaming", "traceloop.workflow.name", "traceloop.entity.path")
)
_GIVEN = "traceloop.association.properties."
_NAMES = GEN_AI._replace(
    model=(*GEN_AI.model, "llm.response.model", "llm.request.model"),
    input_tokens=(*GEN_AI.input_tokens, "llm.usage.prompt_tokens"),
    output_tokens=(*GEN_AI.output_tokens, "llm.usage.completion_tokens"),
    reasoning_tokens=(*GEN_AI.reasoning_tokens, "llm.usage.reasoning_tokens"),
    finish=(
        *GEN_AI.finish,
        "gen_ai.response.finish_reason",
        "gen_ai.response.stop_reason",
        "llm.response.finish_reason",
        "llm.response.stop_reason",
        "gen_ai.completion.0.finish_reason",
    ),
    session=(
        *(_GIVEN + key for key in ("session_id", "session.id", "conversation_id", "chat_id", "thread_id")),
        *GEN_AI.session,
    ),
)


def _knows(span: Span) -> bool:
    return not _MARKS.isdisjoint(span.attributes)


def _read(span: Span) -> Reading:
    told = span.attributes
    kind = told.get(_TYPE)
    operation = told.get("gen_ai.operation.name")
    asks = kind in _TYPES if isinstance(kind, str) else isinstance(operation, str) and operation in OPERATIONS
    return request(span, _NAME, _NAMES) if asks else None


DIALECT = Dialect(_NAME, _knows, _read)
