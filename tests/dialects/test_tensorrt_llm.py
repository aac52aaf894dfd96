# SPDX-License-Identifier: Apache-2.0
"""TensorRT-LLM's spans, put together as its source does."""

import pytest

from agent.dialects import vllm
from agent.dialects.tensorrt_llm import DIALECT
from agent.requests import Phase, Request, Role
from agent.spans import SERVER
from tests.dialects.made import MS, T0, Told, span

SEEN: Told = {
    "gen_ai.request.id": 2049,
    "gen_ai.usage.prompt_tokens": 100,
    "gen_ai.usage.completion_tokens": 21,
    "gen_ai.request.temperature": 0.0,
    "gen_ai.request.n": 1,
    "gen_ai.response.finish_reasons": '["length"]',
    "gen_ai.latency.time_to_first_token": 0.25,
    "gen_ai.latency.e2e": 0.75,
    "gen_ai.latency.time_in_queue": 0.0625,
    "gen_ai.latency.kv_cache_transfer_time": 0.0,
}


def read(told: Told, scope: str = "trt.llm") -> Request:
    one = span("llm_request", told, 0, 751, scope=scope, kind=SERVER)
    assert DIALECT.knows(one)
    reading = DIALECT.read(one)
    assert isinstance(reading, Request)
    return reading


def test_a_request_has_times_tokens_and_a_reason_of_finish() -> None:
    request = read(SEEN)
    assert (request.dialect, request.role, request.phase) == ("tensorrt_llm", Role.SERVER, Phase.WHOLE)
    assert (request.arrival, request.first_token, request.end) == (T0, T0 + 250 * MS, T0 + 750 * MS)
    assert (request.queue, request.time_to_first_token, request.decode) == (0.0625, 0.25, 0.5)
    assert (request.input_tokens, request.output_tokens, request.finish) == (100, 21, "length")
    assert request.time_per_output_token == 0.025


def test_the_executors_number_is_the_id() -> None:
    assert read(SEEN).request_id == "2049"


def test_what_the_span_does_not_say_stays_unknown() -> None:
    request = read(SEEN)
    assert (request.prefill_start, request.prefill, request.model, request.pids) == (None, None, None, ())


def test_minus_one_is_unknown() -> None:
    latencies = dict.fromkeys((key for key in SEEN if "latency" in key), -1.0)
    request = read({**SEEN, **latencies})
    assert (request.queue, request.first_token, request.time_to_first_token, request.decode) == (None,) * 4
    assert (request.end, request.phase) == (T0 + 751 * MS, Phase.WHOLE)


def test_a_first_token_after_the_end_is_unknown() -> None:
    request = read({**SEEN, "gen_ai.latency.time_to_first_token": 0.8})
    assert (request.first_token, request.time_to_first_token, request.decode) == (None, None, None)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ('["stop"]', "stop"),
        ('["stop","length"]', "stop"),
        ('[null,"length"]', "length"),
        ('["stop"', None),
        ("[" * 5000, None),
        ('[{"type": "stop"}]', None),
        ("[]", None),
        ("cancelled", "cancelled"),
        (["stop", "length"], "stop"),
        ("", None),
        (1.5, None),
    ],
)
def test_reasons_of_finish_are_json_and_the_first_counts(told: "str | float | list[str]", expected: str | None) -> None:
    assert read({**SEEN, "gen_ai.response.finish_reasons": told}).finish == expected


def test_of_a_divided_deployment_the_generation_servers_span_alone_counts() -> None:
    context = read({**SEEN, "gen_ai.usage.completion_tokens": 1, "gen_ai.response.finish_reasons": '["not_finished"]'})
    generation = read({**SEEN, "gen_ai.latency.kv_cache_transfer_time": 0.01})
    front = span("disaggregated_request", {}, scope="trt.llm", kind=SERVER)
    assert (context.role, context.phase, context.finish) == (Role.WORKER, Phase.PREFILL, None)
    assert (generation.role, generation.phase, generation.finish) == (Role.SERVER, Phase.DECODE, "length")
    assert not DIALECT.knows(front)


@pytest.mark.parametrize("scope", ["trt.llm", "tensorrt_llm", ""])
def test_its_spans_are_not_vllms_in_any_scope(scope: str) -> None:
    assert read(SEEN, scope).dialect == "tensorrt_llm"
    assert not vllm.DIALECT.knows(span("llm_request", SEEN, scope=scope))


def test_another_programs_span_of_the_name_is_left_alone() -> None:
    assert not DIALECT.knows(span("llm_request", {"http.method": "POST"}, scope="my.app"))
    assert not DIALECT.knows(span("llm_request", SEEN, scope="vllm.tracing.otel"))
    assert not DIALECT.knows(span("request", SEEN, scope="trt.llm"))
