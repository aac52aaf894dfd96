# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry's GenAI conventions: spans of libraries and gateways that ask models, and of servers that follow them.

A span is a request where its operation is one that a model answers. Agents, tools, workflows, retrieval and memory
are operations too, but what they ask of models has spans of its own. Before 1.27 spans had no operation; then one
that names system, model and tokens is a request. A span of kind SERVER is a server's view, all others are the
client's: INTERNAL is meant for models in the same process, and libraries use it for everything.

Cached and reasoning tokens are part of input and output. Of several reasons of finish, one per choice, the first
counts. Embeddings have input tokens only.
"""

from agent.dialects import Dialect, Reading
from agent.dialects.generic import GEN_AI, request
from agent.dialects.values import first
from agent.spans import Span

_NAME = "gen_ai"
_OPERATION = "gen_ai.operation.name"
OPERATIONS = frozenset(("chat", "text_completion", "generate_content", "embeddings"))


def _knows(span: Span) -> bool:
    told = span.attributes
    return _OPERATION in told or "gen_ai.system" in told or "gen_ai.provider.name" in told


def _read(span: Span) -> Reading:
    told = span.attributes
    operation = told.get(_OPERATION)
    asks = operation in OPERATIONS if isinstance(operation, str) else operation is None and _is_old(span)
    return request(span, _NAME, GEN_AI) if asks else None


def _is_old(span: Span) -> bool:
    told = span.attributes
    if "llm.request.type" in told or told.get("gen_ai.request.model") is None:
        return False
    return first(told, *GEN_AI.input_tokens, *GEN_AI.output_tokens) is not None


DIALECT = Dialect(_NAME, _knows, _read)
