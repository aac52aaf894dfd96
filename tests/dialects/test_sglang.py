# SPDX-License-Identifier: Apache-2.0
"""SGLang's trees of spans, put together as its source does."""

from collections.abc import Sequence

import pytest

from agent.dialects.sglang import DIALECT, complete
from agent.requests import Part, Phase, Request, Role
from agent.spans import Span
from tests.dialects.made import MS, T0, Told
from tests.dialects.made import span as made

SCOPE = "sglang server"
ROOT: Told = {
    "rid": "1b2c3d4e5f",
    "module": "sglang::request",
    "gen_ai.request.id": "1b2c3d4e5f",
    "gen_ai.usage.prompt_tokens": 512,
    "gen_ai.usage.completion_tokens": 41,
    "gen_ai.usage.cached_tokens": 128,
    "gen_ai.response.model": "llama-3",
    "gen_ai.response.finish_reasons": '["stop"]',
    "gen_ai.latency.time_to_first_token": 0.25,
    "gen_ai.latency.e2e": 1.0,
    "gen_ai.latency.time_in_model_prefill": 0.24,
    "gen_ai.latency.time_in_model_decode": 0.75,
    "gen_ai.latency.time_in_model_inference": 0.99,
}


def span(name: str, told: Told, begin: float, end: float, above: Span | None = None, *, failed: bool = False) -> Span:
    return made(name, told, begin, end, scope=SCOPE, above=above, failed=failed)


def root(name: str = " Req 1b2c3d4e", told: Told = ROOT) -> Span:
    return span(name, told, 0, 1000)


def scheduler(above: Span, rank: int, pid: int, *, failed: bool = False) -> Span:
    told: Told = {"host_id": "a1b2", "pid": pid, "thread_label": "Scheduler", "tp_rank": rank}
    return span(f"Scheduler [TP {rank}] (host:a1b2 | pid:{pid})", told, 10, 990, above, failed=failed)


def stages(rank: Span, shift: float = 0) -> list[Span]:
    """The stages of one rank: 50 ms in the queue, 150 ms of prefill, 10 ms until decode, 740 ms of it."""
    forward = span("decode_forward", {}, 220 + shift, 960 + shift, rank)
    return [
        span("request_process", {}, 5 + shift, 10 + shift, rank),
        span("prefill_waiting", {}, 10 + shift, 60 + shift, rank),
        span("prefill_forward", {}, 60 + shift, 210 + shift, rank),
        span("decode_waiting", {}, 210 + shift, 220 + shift, rank),
        forward,
        *(span("decode_loop", {"decode_ct": step}, 220 + step, 221 + step, forward) for step in range(40)),
    ]


def read(one: Span) -> Request:
    assert DIALECT.knows(one)
    reading = DIALECT.read(one)
    assert isinstance(reading, Request)
    return reading


def completed(whole: Span, spans: Sequence[Span]) -> Request:
    """Read a request and complete it with those of the spans that are parts or requests."""
    return complete(read(whole), [one for one in spans if DIALECT.read(one) is not None])


def test_the_root_is_the_request() -> None:
    request = read(root())
    assert (request.dialect, request.role, request.phase) == ("sglang", Role.SERVER, Phase.WHOLE)
    assert (request.request_id, request.model, request.finish) == ("1b2c3d4e5f", "llama-3", "stop")
    assert (request.input_tokens, request.cached_tokens, request.output_tokens) == (512, 128, 41)
    assert (request.arrival, request.first_token, request.end) == (T0, T0 + 250 * MS, T0 + 1000 * MS)
    assert (request.time_to_first_token, request.decode) == (0.25, 0.75)


def test_without_stages_prefill_is_unknown_because_the_roots_includes_the_queue() -> None:
    request = completed(root(), [])
    assert (request.queue, request.prefill_start, request.prefill, request.pids) == (None, None, None, ())


def test_schedulers_and_three_stages_are_parts_and_the_rest_is_neither() -> None:
    whole = root()
    rank = scheduler(whole, 0, 71)
    spans = [
        *stages(rank),
        rank,
        span("Tokenizer(host:a1b2 | pid:70)", {"pid": 70}, 0, 1000, whole),
        span("DP Controller(host:a1b2 | pid:72)", {"pid": 72}, 0, 1000, whole),
        *(span(name, {}, 0, 9, rank) for name in ("tokenize", "api_server_dispatch", "chunked_prefill", "spec_verify")),
        span("run_batch_cpu", {"pp_mb_id": 0}, 0, 9, rank),
        span("Sender Req 8", {}, 0, 9),
    ]
    parts = [reading for one in spans if (reading := DIALECT.read(one)) is not None]
    assert all(isinstance(part, Part) for part in parts)
    names = sorted(part.span.name.partition(" ")[0] for part in parts)
    assert names == ["Scheduler", "decode_forward", "prefill_forward", "prefill_waiting"]


def test_stages_divide_queue_prefill_and_decode() -> None:
    whole = root()
    rank = scheduler(whole, 0, 71)
    request = completed(whole, [rank, *stages(rank)])
    assert (request.queue, request.prefill, request.decode) == (0.05, 0.15, 0.75)
    assert request.prefill_start == T0 + 60 * MS
    assert request.first_token == T0 + 250 * MS, "the tokenizer's word, which the client's wait is made of"


def test_processes_of_all_ranks_are_known_once_each() -> None:
    whole = root()
    ranks = [scheduler(whole, rank, pid) for rank, pid in enumerate((77, 71, 74, 71))]
    assert completed(whole, ranks).pids == (71, 74, 77)


def test_ranks_of_a_pipeline_work_from_the_first_ones_start_to_the_last_ones_end() -> None:
    whole = root()
    ranks = [scheduler(whole, rank, 70 + rank) for rank in range(2)]
    request = completed(whole, [*ranks, *stages(ranks[1], 20), *stages(ranks[0])])
    assert (request.prefill_start, request.queue) == (T0 + 60 * MS, 0.05)
    assert (request.prefill, request.decode) == (0.17, 0.75)


def test_a_prefill_that_was_retracted_and_repeated_counts_once() -> None:
    whole = root()
    rank = scheduler(whole, 0, 71)
    repeated = [span("prefill_waiting", {}, 500, 600, rank), span("prefill_forward", {}, 600, 700, rank)]
    request = completed(whole, [rank, *repeated, *stages(rank)])
    assert (request.queue, request.prefill, request.decode) == (0.05, 0.15, 0.75)


def test_requests_of_one_trace_are_told_apart_by_their_parents() -> None:
    first, second = root(), span(" Req 99999999", {**ROOT, "gen_ai.request.id": "999"}, 2000, 3000)
    one, two = scheduler(first, 0, 71), scheduler(second, 0, 88)
    later = [span("prefill_waiting", {}, 2010, 2020, two), span("prefill_forward", {}, 2020, 2120, two)]
    everything = [first, second, one, two, *stages(one), *later]
    assert (completed(first, everything).pids, completed(first, everything).queue) == ((71,), 0.05)
    request = completed(second, everything)
    assert (request.pids, request.queue, request.prefill) == ((88,), 0.01, 0.1)
    assert (request.prefill_start, request.decode) == (T0 + 2020 * MS, 0.75)


def test_asked_again_with_more_spans_it_says_the_same_in_any_order() -> None:
    whole = root()
    rank = scheduler(whole, 0, 71)
    spans = [rank, *stages(rank)]
    assert completed(whole, spans[::-1]) == completed(whole, [*spans, whole])
    early = completed(whole, spans[:2])
    assert (early.pids, early.queue) == ((71,), None)


def test_a_stage_whose_clock_is_off_stays_within_the_request() -> None:
    whole = root()
    rank = scheduler(whole, 0, 71)
    request = completed(whole, [rank, span("prefill_forward", {}, -30, 120, rank)])
    assert (request.prefill_start, request.prefill) == (T0, 0.15)
    late = completed(whole, [rank, span("prefill_forward", {}, 300, 5000, rank)])
    assert (late.prefill_start, late.prefill) == (late.first_token, None)


@pytest.mark.parametrize(
    ("name", "role", "phase"),
    [
        (" Req 1b2c3d4e", Role.SERVER, Phase.WHOLE),
        ("prefill Req 1b2c3d4e", Role.WORKER, Phase.PREFILL),
        ("decode Req 1b2c3d4e", Role.SERVER, Phase.DECODE),
    ],
)
def test_of_a_divided_deployment_the_decode_servers_root_counts(name: str, role: Role, phase: Phase) -> None:
    request = read(root(name))
    assert (request.role, request.phase, request.output_tokens) == (role, phase, 41)


def test_an_aborted_request_is_told_by_its_scheduler() -> None:
    whole = root(told={"rid": "1b2c3d4e5f"})
    request = completed(whole, [scheduler(whole, 0, 71, failed=True)])
    assert (request.request_id, request.finish, request.first_token) == ("1b2c3d4e5f", "abort", None)


def test_spans_of_other_scopes_are_not_known() -> None:
    assert not DIALECT.knows(made(" Req 1b2c3d4e", ROOT, scope="other"))


def test_hostile_threads_and_stages_say_nothing() -> None:
    whole = root()
    rank = span("Scheduler (host:x | pid:y)", {"pid": "many"}, 10, 990, whole)
    other = span("Scheduler (host:x | pid:-1)", {"pid": -1}, 10, 990, whole)
    request = completed(whole, [rank, other, span("prefill_forward", {}, 300, 100, rank)])
    assert (request.pids, request.prefill) == ((), None)
