# SPDX-License-Identifier: Apache-2.0
"""Attributes of OpenTelemetry's GenAI conventions that are honoured on the spans of every engine.

Source: semantic-conventions, gen-ai registry. Names that it has replaced are still read after the new ones.
"""

from collections.abc import Mapping
from typing import Any

from agent.dialects.values import count, first, text
from agent.otlp.values import Value

_CACHED = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cached_tokens")
_REASONING = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens")
_SESSION = ("gen_ai.conversation.id", "session.id")
_AGENT = ("gen_ai.agent.name", "gen_ai.agent.id")
_ERROR = "error.type"
_ALL = frozenset((*_CACHED, *_REASONING, *_SESSION, *_AGENT, _ERROR))


def details(attributes: Mapping[str, Value]) -> dict[str, Any]:
    """Give the fields of a Request that these attributes say: cached and reasoning tokens, session, agent, error."""
    found: dict[str, Any] = {}
    if _ALL.isdisjoint(attributes):
        return found
    if (cached := count(first(attributes, *_CACHED))) is not None:
        found["cached_tokens"] = cached
    if (reasoning := count(first(attributes, *_REASONING))) is not None:
        found["reasoning_tokens"] = reasoning
    if (session := text(first(attributes, *_SESSION))) is not None:
        found["session"] = session
    if (agent := text(first(attributes, *_AGENT))) is not None:
        found["agent"] = agent
    if (error := text(attributes.get(_ERROR))) is not None:
        found["error"] = error
    return found
