# SPDX-License-Identifier: Apache-2.0
"""OpenLLMetry's spans, written by OpenTelemetry's SDK with the names of its conventions, before and since 0.5."""

import pytest
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from agent.dialects import Reading
from agent.dialects.openllmetry import DIALECT
from agent.requests import Request, Role
from tests.dialects.made import sdk

OLD: dict[str, AttributeValue] = {
    "llm.request.type": "chat",
    "gen_ai.system": "OpenAI",
    "gen_ai.request.model": "gpt-4",
    "gen_ai.response.model": "gpt-4-0613",
    "gen_ai.usage.prompt_tokens": 100,
    "gen_ai.usage.completion_tokens": 20,
    "llm.usage.total_tokens": 120,
    "gen_ai.usage.cache_read_input_tokens": 64,
    "llm.usage.reasoning_tokens": 5,
    "gen_ai.completion.0.finish_reason": "stop",
    "llm.is_streaming": False,
}
NEW: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.total_tokens": 120,
    "gen_ai.usage.cache_read.input_tokens": 64,
    "gen_ai.usage.reasoning_tokens": 5,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.is_streaming": False,
}


def reading(told: dict[str, AttributeValue]) -> Reading:
    with sdk("opentelemetry.instrumentation.openai.v1") as (tracer, written):
        tracer.start_span("openai.chat", kind=SpanKind.CLIENT, attributes=told).end()
    [span] = written
    return DIALECT.read(span) if DIALECT.knows(span) else None


def read(told: dict[str, AttributeValue]) -> Request:
    found = reading(told)
    assert isinstance(found, Request)
    return found


@pytest.mark.parametrize("told", [OLD, NEW])
def test_a_chat_is_a_request_before_and_since_names_changed(told: dict[str, AttributeValue]) -> None:
    request = read(told)
    assert (request.dialect, request.role, request.finish) == ("openllmetry", Role.CLIENT, "stop")
    assert (request.input_tokens, request.cached_tokens) == (100, 64)
    assert (request.output_tokens, request.reasoning_tokens) == (20, 5)


def test_the_oldest_names_are_read() -> None:
    told: dict[str, AttributeValue] = {
        "llm.request.type": "completion",
        "llm.request.model": "davinci",
        "llm.usage.prompt_tokens": 9,
        "llm.usage.completion_tokens": 4,
        "llm.response.finish_reason": "length",
    }
    request = read(told)
    assert (request.model, request.input_tokens, request.output_tokens, request.finish) == ("davinci", 9, 4, "length")


@pytest.mark.parametrize(
    ("kind", "asks"),
    [("chat", True), ("completion", True), ("embedding", True), ("rerank", False), ("unknown", False), ("", False)],
)
def test_the_type_of_request_says_whether_a_model_was_asked(kind: str, asks: bool) -> None:
    assert isinstance(reading({**OLD, "llm.request.type": kind}), Request) is asks


@pytest.mark.parametrize("kind", ["workflow", "task", "agent", "tool"])
def test_workflows_tasks_agents_and_tools_are_none(kind: str) -> None:
    assert (
        reading({"traceloop.span.kind": kind, "traceloop.entity.path": "joke", "traceloop.workflow.name": "w"}) is None
    )


def test_a_tools_operation_is_none() -> None:
    assert reading({**NEW, "gen_ai.operation.name": "execute_tool"}) is None


@pytest.mark.parametrize("key", ["session_id", "chat_id", "thread_id"])
def test_sessions_are_what_applications_associate(key: str) -> None:
    given: dict[str, AttributeValue] = {f"traceloop.association.properties.{key}": "s-1", "gen_ai.conversation.id": "c"}
    assert read({**NEW, **given}).session == "s-1"
    assert read({**NEW, "gen_ai.conversation.id": "c"}).session == "c"


def test_plain_genai_spans_are_left_to_their_own_dialect() -> None:
    assert reading({key: value for key, value in NEW.items() if key != "gen_ai.is_streaming"}) is None
