# SPDX-License-Identifier: Apache-2.0
"""OpenInference's spans, written by OpenTelemetry's SDK with the names of its conventions."""

import pytest
from opentelemetry.util.types import AttributeValue

from agent.dialects import Reading
from agent.dialects.openinference import DIALECT
from agent.requests import Request, Role
from tests.dialects.made import sdk

LLM: dict[str, AttributeValue] = {
    "openinference.span.kind": "LLM",
    "llm.system": "openai",
    "llm.model_name": "gpt-4-0613",
    "llm.token_count.prompt": 229,
    "llm.token_count.prompt_details.cache_read": 64,
    "llm.token_count.completion": 21,
    "llm.token_count.completion_details.reasoning": 8,
    "llm.token_count.total": 250,
    "llm.finish_reason": "stop",
    "session.id": "s-1",
    "user.id": "u-1",
    "agent.name": "researcher",
    "input.value": "{}",
}


def reading(told: dict[str, AttributeValue]) -> Reading:
    with sdk("openinference.instrumentation.openai") as (tracer, written):
        tracer.start_span("ChatCompletion", attributes=told).end()
    [span] = written
    return DIALECT.read(span) if DIALECT.knows(span) else None


def test_a_call_of_a_model_is_a_request_as_its_client_saw_it() -> None:
    request = reading(LLM)
    assert isinstance(request, Request)
    assert (request.dialect, request.role, request.model) == ("openinference", Role.CLIENT, "gpt-4-0613")
    assert (request.input_tokens, request.cached_tokens) == (229, 64)
    assert (request.output_tokens, request.reasoning_tokens) == (21, 8)
    assert (request.finish, request.session, request.agent) == ("stop", "s-1", "researcher")
    assert (request.request_id, request.first_token, request.tenant) == (None, None, None)


def test_the_model_that_answered_goes_before_the_one_that_was_asked() -> None:
    request = reading({**LLM, "llm.request.model_name": "gpt-4", "llm.response.model_name": "gpt-4-1106"})
    assert isinstance(request, Request)
    assert request.model == "gpt-4-1106"


def test_an_empty_name_of_a_model_is_passed_over() -> None:
    request = reading({**LLM, "llm.response.model_name": ""})
    assert isinstance(request, Request)
    assert request.model == "gpt-4-0613"


def test_an_embedding_is_a_request_without_output() -> None:
    told: dict[str, AttributeValue] = {
        "openinference.span.kind": "EMBEDDING",
        "embedding.model_name": "ada",
        "llm.token_count.prompt": 7,
    }
    request = reading(told)
    assert isinstance(request, Request)
    assert (request.model, request.input_tokens, request.output_tokens) == ("ada", 7, None)


@pytest.mark.parametrize(
    "kind",
    ["CHAIN", "RETRIEVER", "RERANKER", "TOOL", "AGENT", "GUARDRAIL", "EVALUATOR", "PROMPT", "DECISION", "llm", 1],
)
def test_other_kinds_are_neither_requests_nor_parts(kind: "str | int") -> None:
    assert reading({**LLM, "openinference.span.kind": kind}) is None


def test_a_span_without_a_kind_is_not_known() -> None:
    assert reading({key: value for key, value in LLM.items() if key != "openinference.span.kind"}) is None
