# SPDX-License-Identifier: Apache-2.0
"""Attributes of OpenTelemetry's GenAI conventions, on the spans of engines and of whoever asks them.

Source: https://github.com/open-telemetry/semantic-conventions-genai, registry, and semantic-conventions up to 1.41.
Names that were replaced are read after the new ones, and so are those that libraries wrote before there were any.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from agent.dialects import groq
from agent.dialects.values import count, first, moment, part, reason, seconds, text
from agent.otlp.values import Value
from agent.requests import Request, Role
from agent.spans import SERVER, Span


class Names(NamedTuple):
    """Which attributes say what about a request. Of several, the first that is there counts."""

    model: tuple[str, ...]
    input_tokens: tuple[str, ...]
    cached_tokens: tuple[str, ...]
    output_tokens: tuple[str, ...]
    reasoning_tokens: tuple[str, ...]
    finish: tuple[str, ...]
    session: tuple[str, ...] = ("gen_ai.conversation.id", "session.id")
    agent: tuple[str, ...] = ("gen_ai.agent.name", "gen_ai.agent.id")
    request_id: tuple[str, ...] = ("gen_ai.response.id",)
    time_to_first_token: tuple[str, ...] = ("gen_ai.response.time_to_first_chunk",)


GEN_AI = Names(
    model=("gen_ai.response.model", "gen_ai.request.model"),
    input_tokens=("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    cached_tokens=(
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cached_tokens",
    ),
    output_tokens=("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    reasoning_tokens=("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
    finish=("gen_ai.response.finish_reasons",),
)
_DETAILS = frozenset(
    (*GEN_AI.cached_tokens, *GEN_AI.reasoning_tokens, *GEN_AI.session, *GEN_AI.agent, "error.type")
)  # fmt: skip


def details(
    attributes: Mapping[str, Value], input_tokens: int | None = None, output_tokens: int | None = None
) -> dict[str, Any]:
    """Give the fields of a Request that an engine's span may have beside its own: those that the attributes say.

    They are cached and reasoning tokens (parts of the numbers given, where these are known), session, agent, error.
    """
    if _DETAILS.isdisjoint(attributes):
        return {}
    found = {
        "cached_tokens": part(count(first(attributes, *GEN_AI.cached_tokens)), input_tokens),
        "reasoning_tokens": part(count(first(attributes, *GEN_AI.reasoning_tokens)), output_tokens),
        "session": text(first(attributes, *GEN_AI.session)),
        "agent": text(first(attributes, *GEN_AI.agent)),
        "error": text(attributes.get("error.type")),
    }
    return {field: value for field, value in found.items() if value is not None}


def request(span: Span, dialect: str, names: Names) -> Request:
    """Read a span that tells all of a request itself, as libraries that ask models do.

    The view is the server's only where the span's kind says so. What a library calls input may leave out what came
    from a cache: then there can be more cached tokens than input, and they are not told.
    """
    told = span.attributes
    end = max(span.start, span.end)
    wait = seconds(first(told, *names.time_to_first_token))
    first_token = moment(span.start, wait, end)
    input_tokens = count(first(told, *names.input_tokens))
    output_tokens = count(first(told, *names.output_tokens))
    found = Request(
        span=span,
        dialect=dialect,
        role=Role.SERVER if span.kind == SERVER else Role.CLIENT,
        request_id=text(first(told, *names.request_id)),
        model=text(first(told, *names.model)),
        arrival=span.start,
        first_token=first_token,
        end=end,
        time_to_first_token=None if first_token is None else wait,
        input_tokens=input_tokens,
        cached_tokens=part(count(first(told, *names.cached_tokens)), input_tokens),
        output_tokens=output_tokens,
        reasoning_tokens=part(count(first(told, *names.reasoning_tokens)), output_tokens),
        finish=reason(first(told, *names.finish)),
        error=text(told.get("error.type")),
        session=text(first(told, *names.session)),
        agent=text(first(told, *names.agent)),
    )
    return _with_usage(found) if groq.is_groq(told) else found


def _with_usage(request: Request) -> Request:
    """Add what Groq alone tells; what the span says in the words of its convention stays."""
    told = groq.usage(request.span.attributes, request.duration, request.input_tokens, request.output_tokens)
    return replace(request, **{field: value for field, value in told if getattr(request, field) is None})
