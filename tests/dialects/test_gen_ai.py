# SPDX-License-Identifier: Apache-2.0
"""Spans after OpenTelemetry's GenAI conventions, written by its SDK."""

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from agent.dialects import Reading
from agent.dialects.gen_ai import DIALECT
from agent.requests import Phase, Request, Role
from tests.dialects.made import MS, T0, sdk

CHAT: dict[str, AttributeValue] = {
    names.GEN_AI_OPERATION_NAME: "chat",
    names.GEN_AI_PROVIDER_NAME: "openai",
    names.GEN_AI_REQUEST_MODEL: "gpt-4",
    names.GEN_AI_RESPONSE_MODEL: "gpt-4-0613",
    names.GEN_AI_RESPONSE_ID: "chatcmpl-123",
    names.GEN_AI_RESPONSE_FINISH_REASONS: ["stop", "length"],
    names.GEN_AI_USAGE_INPUT_TOKENS: 100,
    names.GEN_AI_USAGE_OUTPUT_TOKENS: 180,
}
OLD: dict[str, AttributeValue] = {
    names.GEN_AI_SYSTEM: "openai",
    names.GEN_AI_REQUEST_MODEL: "gpt-4",
    names.GEN_AI_USAGE_PROMPT_TOKENS: 100,
    names.GEN_AI_USAGE_COMPLETION_TOKENS: 180,
}


def reading(told: dict[str, AttributeValue], kind: SpanKind = SpanKind.CLIENT) -> Reading:
    with sdk("opentelemetry.instrumentation.openai_v2") as (tracer, written):
        tracer.start_span("chat gpt-4", kind=kind, attributes=told, start_time=T0).end(T0 + 1000 * MS)
    [span] = written
    return DIALECT.read(span) if DIALECT.knows(span) else None


def read(told: dict[str, AttributeValue], kind: SpanKind = SpanKind.CLIENT) -> Request:
    found = reading(told, kind)
    assert isinstance(found, Request)
    return found


def test_a_chat_is_a_request_as_its_client_saw_it() -> None:
    request = read(CHAT)
    assert (request.dialect, request.role, request.phase) == ("gen_ai", Role.CLIENT, Phase.WHOLE)
    assert (request.model, request.request_id, request.finish) == ("gpt-4-0613", "chatcmpl-123", "stop")
    assert (request.input_tokens, request.output_tokens) == (100, 180)
    assert (request.arrival, request.end, request.duration) == (T0, T0 + 1000 * MS, 1.0)


def test_what_is_not_told_stays_unknown() -> None:
    request = read({names.GEN_AI_OPERATION_NAME: "chat"})
    assert (request.model, request.request_id, request.input_tokens, request.output_tokens) == (None,) * 4
    assert (request.first_token, request.prefill, request.queue, request.decode, request.finish) == (None,) * 5


@pytest.mark.parametrize(
    ("kind", "role"),
    [(SpanKind.CLIENT, Role.CLIENT), (SpanKind.INTERNAL, Role.CLIENT), (SpanKind.SERVER, Role.SERVER)],
)
def test_only_a_server_span_is_the_servers_view(kind: SpanKind, role: Role) -> None:
    assert read(CHAT, kind).role is role


@pytest.mark.parametrize("operation", [one.value for one in names.GenAiOperationNameValues])
def test_operations_that_a_model_answers_are_requests_and_the_others_are_not(operation: str) -> None:
    asks = operation in {"chat", "text_completion", "generate_content", "embeddings"}
    assert isinstance(reading({**CHAT, names.GEN_AI_OPERATION_NAME: operation}), Request) is asks


def test_embeddings_have_input_tokens_and_no_decode() -> None:
    request = read({names.GEN_AI_OPERATION_NAME: "embeddings", names.GEN_AI_USAGE_INPUT_TOKENS: 12})
    assert (request.input_tokens, request.output_tokens, request.decode) == (12, None, None)
    assert request.time_per_output_token is None


@pytest.mark.parametrize(
    "told",
    [
        {names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 40, names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: 60},
        {"gen_ai.usage.cache_read_input_tokens": 40, "gen_ai.usage.reasoning_tokens": 60},
        {"gen_ai.usage.cached_tokens": 40, "gen_ai.usage.reasoning_tokens": 60},
    ],
)
def test_cached_and_reasoning_tokens_are_parts_by_their_new_and_old_names(told: dict[str, AttributeValue]) -> None:
    request = read({**CHAT, **told})
    assert (request.input_tokens, request.cached_tokens) == (100, 40)
    assert (request.output_tokens, request.reasoning_tokens) == (180, 60)


def test_no_cached_tokens_are_zero_and_not_unknown() -> None:
    assert read({**CHAT, names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 0}).cached_tokens == 0


def test_parts_larger_than_their_whole_are_not_told() -> None:
    parts = {names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 101, names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: 181}
    request = read({**CHAT, **parts})
    assert (request.cached_tokens, request.reasoning_tokens, request.input_tokens) == (None, None, 100)


def test_the_first_chunk_is_the_first_token() -> None:
    request = read({**CHAT, names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: 0.5})
    assert (request.first_token, request.time_to_first_token) == (T0 + 500 * MS, 0.5)
    late = read({**CHAT, names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: 1.5})
    assert (late.first_token, late.time_to_first_token) == (None, None)


def test_session_agent_and_error_are_read() -> None:
    told: dict[str, AttributeValue] = {
        names.GEN_AI_CONVERSATION_ID: "conv_1",
        names.GEN_AI_AGENT_NAME: "Math Tutor",
        names.GEN_AI_AGENT_ID: "asst_1",
        "error.type": "timeout",
    }
    request = read({**CHAT, **told})
    assert (request.session, request.agent, request.error) == ("conv_1", "Math Tutor", "timeout")
    assert read({**CHAT, names.GEN_AI_AGENT_ID: "asst_1"}).agent == "asst_1"


def test_before_there_were_operations_system_model_and_tokens_made_a_request() -> None:
    request = read(OLD)
    assert (request.model, request.input_tokens, request.output_tokens) == ("gpt-4", 100, 180)


@pytest.mark.parametrize("missing", [names.GEN_AI_SYSTEM, names.GEN_AI_REQUEST_MODEL])
def test_an_old_span_without_system_or_model_is_none(missing: str) -> None:
    assert reading({key: value for key, value in OLD.items() if key != missing}) is None


def test_an_old_span_without_tokens_or_of_a_reranker_is_none() -> None:
    assert reading({names.GEN_AI_SYSTEM: "openai", names.GEN_AI_REQUEST_MODEL: "gpt-4"}) is None
    assert reading({**OLD, "llm.request.type": "rerank"}) is None


def test_an_operation_that_is_no_word_is_none() -> None:
    assert reading({**OLD, names.GEN_AI_OPERATION_NAME: 7}) is None
    assert reading({**OLD, names.GEN_AI_OPERATION_NAME: ["chat"]}) is None


def test_a_web_servers_span_is_not_known() -> None:
    assert reading({"http.request.method": "POST", "url.path": "/v1/chat/completions"}) is None
