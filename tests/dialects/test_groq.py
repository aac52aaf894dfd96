# SPDX-License-Identifier: Apache-2.0
"""Groq's own timings, on spans of libraries that asked it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialects.reading import Reader
from agent.requests import Request, Role
from agent.spans import CLIENT
from tests.dialects.made import Told, span

READER = Reader(())
ASKED: Told = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "groq", "gen_ai.usage.input_tokens": 100,
               "gen_ai.usage.output_tokens": 50}  # fmt: skip
TIMES = {"queue_time": 0.05, "prompt_time": 0.1, "completion_time": 0.4, "total_time": 0.5}


def read(told: Told, end: float = 1000) -> Request:
    reading = READER.read(span("chat llama", told, end=end, kind=CLIENT))
    assert isinstance(reading, Request)
    return reading


def usage(prefix: str, **times: float) -> Told:
    return {**ASKED, **{prefix + name: value for name, value in times.items()}}


@pytest.mark.parametrize("prefix", ["usage.", "gen_ai.usage.", "gen_ai.usage.details.", "groq.usage.", "x_groq.usage."])
def test_the_timings_of_the_api_are_queue_prefill_and_decode(prefix: str) -> None:
    found = read(usage(prefix, **TIMES))
    assert (found.queue, found.prefill, found.decode) == (0.05, 0.1, 0.4)
    assert found.role is Role.CLIENT
    assert (found.prefill_start, found.first_token) == (None, None)


@pytest.mark.parametrize("convention", [
    {"openinference.span.kind": "LLM", "llm.provider": "groq"},
    {"gen_ai.operation.name": "chat", "gen_ai.system": "Groq", "gen_ai.is_streaming": True},
])  # fmt: skip
def test_every_convention_has_them(convention: Told) -> None:
    assert read({**convention, "usage.queue_time": 0.05}).queue == 0.05


def test_a_name_that_says_as_much_is_no_groq_of_another_provider() -> None:
    assert read({**usage("usage.", **TIMES), "gen_ai.provider.name": "openai"}).queue is None


def test_of_two_of_the_three_the_third_is_known() -> None:
    assert read(usage("usage.", total_time=0.5, prompt_time=0.125)).decode == 0.375
    assert read(usage("usage.", total_time=0.5, completion_time=0.375)).prefill == 0.125
    assert read(usage("usage.", total_time=0.5)).decode is None


def test_timings_longer_than_the_request_are_unknown() -> None:
    found = read(usage("usage.", **TIMES), end=300)
    assert (found.queue, found.prefill, found.decode) == (0.05, 0.1, None)
    found = read(usage("usage.", **TIMES), end=450)
    assert (found.queue, found.prefill, found.decode) == (None, None, None)


def test_cached_and_reasoning_tokens_are_read_where_the_convention_does_not_say_them() -> None:
    told = {
        **ASKED,
        "usage.prompt_tokens_details.cached_tokens": 64,
        "usage.completion_tokens_details.reasoning_tokens": 20,
    }
    found = read(told)
    assert (found.cached_tokens, found.reasoning_tokens) == (64, 20)
    assert read({**told, "gen_ai.usage.cache_read.input_tokens": 32}).cached_tokens == 32
    assert read({**told, "usage.prompt_tokens_details.cached_tokens": 101}).cached_tokens is None


number = st.floats() | st.integers() | st.text(max_size=5) | st.booleans()


@given(st.dictionaries(st.sampled_from(sorted(TIMES)), number), st.floats(0, 10_000))
def test_whatever_they_say_timings_fit_into_the_request(times: dict[str, float], end: float) -> None:
    found = read({**ASKED, **{f"usage.{name}": value for name, value in times.items() if _fits(value)}}, end=end)
    assert (found.queue or 0) + (found.prefill or 0) + (found.decode or 0) <= found.duration * 1.011


def _fits(value: object) -> bool:
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 63
