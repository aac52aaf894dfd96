# SPDX-License-Identifier: Apache-2.0
"""vLLM's spans as recorded from 0.32, held against what the clients saw, and some put together by hand."""

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.dialects import tensorrt_llm
from agent.dialects.vllm import DIALECT
from agent.requests import Phase, Request, Role
from agent.spans import SERVER, Span
from tests.dialects.made import MS, T0, Told, recorded, span

FOLDER = Path(__file__).parents[1] / "fixtures" / "telemetry" / "vllm"
SEEN: Told = {
    "gen_ai.request.id": "chatcmpl-1",
    "gen_ai.usage.prompt_tokens": 31,
    "gen_ai.usage.completion_tokens": 8,
    "gen_ai.latency.time_to_first_token": 0.25,
    "gen_ai.latency.e2e": 0.5,
    "gen_ai.latency.time_in_queue": 0.05,
    "gen_ai.latency.time_in_model_prefill": 0.125,
    "gen_ai.latency.time_in_model_decode": 0.2,
}
both = pytest.mark.parametrize("protocol", ["grpc", "http"])


class Replay(NamedTuple):
    spans: list[Span]
    requests: list[Request]
    clients: list[dict[str, Any]]

    def of(self, client: dict[str, Any]) -> list[Request]:
        """Give a client's requests. vLLM adds `-<prompt>` to ids of completions, `_0` to those of responses."""
        told = client["id"]
        ids = {told, *(f"{told}{mark}{number}" for mark in "-_" for number in range(2))} if told else set()
        return [request for request in self.requests if request.request_id in ids]


@cache
def replay(protocol: str) -> Replay:
    spans = recorded([*FOLDER.glob(f"{protocol}_*.pb")])
    readings = [DIALECT.read(one) for one in spans if DIALECT.knows(one)]
    clients = json.loads((FOLDER / f"client_{protocol}.json").read_text(encoding="utf-8"))
    return Replay(spans, [one for one in readings if isinstance(one, Request)], clients)


def read(told: Told, *, scope: str = "vllm.tracing.otel", end: float = 501) -> Request:
    one = span("llm_request", told, 0, end, scope=scope, kind=SERVER)
    assert DIALECT.knows(one)
    reading = DIALECT.read(one)
    assert isinstance(reading, Request)
    return reading


def usage(client: dict[str, Any]) -> tuple[int, int] | None:
    told = client["usage"]
    if told is None:
        return None
    return told.get("prompt_tokens", told.get("input_tokens")), told.get("completion_tokens", told.get("output_tokens"))


@both
def test_every_llm_request_is_a_request_and_what_was_told_at_start_up_is_not(protocol: str) -> None:
    spans = replay(protocol).spans
    assert len(replay(protocol).requests) == 54
    assert {one.name for one in spans if DIALECT.knows(one)} == {"llm_request"}
    start_up = Counter(one.name for one in spans if not DIALECT.knows(one))
    assert start_up["Overall Loading"] == start_up["Load model"] == 1


def test_span_ids_that_two_servers_drew_alike_belong_to_no_request() -> None:
    ids = [{one.span_id for one in replay(protocol).spans} for protocol in ("grpc", "http")]
    drawn_alike = ids[0] & ids[1]
    assert bytes.fromhex("0a5d2f346baa9455") in drawn_alike
    for protocol in ("grpc", "http"):
        assert drawn_alike.isdisjoint(request.span.span_id for request in replay(protocol).requests)


@both
def test_every_answered_client_finds_its_request_unless_it_asked_not_to_be_sampled(protocol: str) -> None:
    recording = replay(protocol)
    without = Counter(client["case"] for client in recording.clients if not recording.of(client))
    assert without == {"traceparent_unsampled": 2, "abort_stream": 1, "bad_model": 1, "too_long": 1}
    found = [id(request) for client in recording.clients for request in recording.of(client)]
    assert len(found) == len(set(found)) == 54


@both
def test_tokens_are_those_that_the_client_was_told(protocol: str) -> None:
    recording = replay(protocol)
    told = [(client, recording.of(client)) for client in recording.clients if usage(client) and recording.of(client)]
    assert len(told) > 30
    for client, requests in told:
        prompts = sum(one.input_tokens or 0 for one in requests) / (2 if client["case"] == "n2" else 1)
        assert (prompts, sum(one.output_tokens or 0 for one in requests)) == usage(client)


@both
def test_two_choices_repeat_the_prompt_and_two_prompts_divide_it(protocol: str) -> None:
    recording = replay(protocol)
    cases = {client["case"]: recording.of(client) for client in recording.clients}
    assert [one.input_tokens for one in cases["n2"]] == [34, 34]
    assert sorted(str(one.request_id) for one in cases["prompt_list2"]) == ["cmpl-plist-0", "cmpl-plist-1"]
    assert sum(one.input_tokens or 0 for one in cases["prompt_list2"]) == 6


@both
def test_times_lie_between_what_the_client_saw_before_and_after(protocol: str) -> None:
    recording = replay(protocol)
    for client in recording.clients:
        for request in recording.of(client):
            assert request.first_token is not None
            assert 0 < request.arrival - client["t_send_ns"] < 20 * MS
            assert request.end < client["t_end_ns"]
            assert request.first_token < client.get("t_first_chunk_ns", client["t_end_ns"])


@both
def test_phases_follow_each_other_within_the_request(protocol: str) -> None:
    for request in replay(protocol).requests:
        assert request.queue is not None
        assert request.prefill is not None
        assert request.decode is not None
        assert request.prefill_start is not None
        assert request.first_token is not None
        assert request.arrival < request.prefill_start < request.first_token <= request.end <= request.span.end
        assert request.queue + request.prefill + request.decode < request.duration
        assert request.first_token - request.prefill_start == pytest.approx(request.prefill * 1e9, abs=1)


@both
def test_the_api_servers_process_is_known_and_what_the_span_does_not_say_is_not(protocol: str) -> None:
    for request in replay(protocol).requests:
        assert request.pids == (int(str(request.span.source.attributes["vllm.process_id"])),)
        assert (request.role, request.phase) == (Role.SERVER, Phase.WHOLE)
        assert (request.model, request.finish, request.error, request.cached_tokens) == (None, None, None, None)


def test_one_token_is_the_first_and_the_last() -> None:
    cases = {client["case"]: replay("grpc").of(client) for client in replay("grpc").clients}
    [request] = cases["max_tokens_1"]
    assert (request.output_tokens, request.decode, request.first_token) == (1, 0.0, request.end)
    assert request.time_per_output_token is None


def test_a_parent_sent_by_the_client_is_kept() -> None:
    parents = {
        client["req_headers"]["traceparent"].split("-")[2]: replay("http").of(client)
        for client in replay("http").clients
        if client["case"] == "traceparent_sampled"
    }
    assert len(parents) == 4
    for parent, [request] in parents.items():
        assert request.span.parent_id.hex() == parent


def test_phases_are_laid_out_backwards_from_the_first_token() -> None:
    request = read(SEEN)
    assert (request.prefill_start, request.first_token, request.end) == (T0 + 125 * MS, T0 + 250 * MS, T0 + 500 * MS)
    assert (request.queue, request.prefill, request.decode) == (0.05, 0.125, 0.2)


def test_a_prefill_longer_than_the_wait_for_the_first_token_begins_at_arrival() -> None:
    assert read({**SEEN, "gen_ai.latency.time_in_model_prefill": 0.375}).prefill_start == T0


def test_what_later_releases_may_tell_is_read() -> None:
    more: Told = {"gen_ai.response.model": "llama", "gen_ai.usage.cache_read.input_tokens": 16, "session.id": "s"}
    request = read({**SEEN, **more})
    assert (request.model, request.cached_tokens, request.session) == ("llama", 16, "s")


def test_more_cached_tokens_than_prompt_are_none() -> None:
    assert read({**SEEN, "gen_ai.usage.cache_read.input_tokens": 32}).cached_tokens is None


@pytest.mark.parametrize("scope", ["vllm.tracing.otel", "vllm.llm_engine", "vllm.v1.engine.output_processor"])
def test_all_scopes_that_begin_with_vllm_are_its_own_and_not_tensorrt_llms(scope: str) -> None:
    one = span("llm_request", {"gen_ai.latency.e2e": 0.5}, scope=scope)
    assert DIALECT.knows(one)
    assert not tensorrt_llm.DIALECT.knows(one)


def test_an_unknown_scope_is_vllms_where_prefill_is_told() -> None:
    assert read(SEEN, scope="").dialect == "vllm"
    assert not DIALECT.knows(span("llm_request", {"gen_ai.latency.e2e": 0.5}, scope="trt.llm"))


def test_the_first_engine_told_the_model_and_no_phases() -> None:
    told = {key: value for key, value in SEEN.items() if "time_in_model" not in key}
    request = read({**told, "gen_ai.response.model": "opt-125m"}, scope="vllm.llm_engine")
    assert (request.model, request.prefill, request.prefill_start, request.decode) == ("opt-125m", None, None, None)
    assert request.first_token == T0 + 250 * MS


def test_a_clock_that_was_set_leaves_the_span_to_say_when_it_ended() -> None:
    request = read({**SEEN, "gen_ai.latency.e2e": 3600.0, "gen_ai.latency.time_to_first_token": 3599.0})
    assert (request.end, request.first_token, request.time_to_first_token) == (T0 + 501 * MS, None, None)
    assert request.prefill_start is None


def test_a_span_that_ends_before_it_begins_has_no_length_and_no_phases() -> None:
    request = read(SEEN, end=-1000)
    assert (request.arrival, request.end, request.first_token) == (T0, T0, None)
    assert (request.queue, request.prefill, request.decode) == (None, None, None)
    assert (request.input_tokens, request.output_tokens) == (31, 8)


@pytest.mark.parametrize("nonsense", ["", "many", -1, float("nan"), float("inf"), 1e300, True, ["1"]])
def test_nonsense_is_absent(nonsense: "str | float | bool | list[str]") -> None:
    request = read({**dict.fromkeys(SEEN, nonsense), "gen_ai.request.id": "r"})
    assert (request.input_tokens, request.output_tokens, request.queue, request.decode) == (None, None, None, None)
    assert (request.first_token, request.end) == (None, T0 + 501 * MS)
