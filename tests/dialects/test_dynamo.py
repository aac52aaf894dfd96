# SPDX-License-Identifier: Apache-2.0
"""Dynamo's spans as recorded, held against what its clients saw and what it wrote down itself."""

import json
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.dialects import Reading
from agent.dialects.dynamo import DIALECT
from agent.dialects.dynamo_parts import complete
from agent.otlp.values import attributes
from agent.requests import Part, Phase, Request, Role
from agent.spans import Source, Span

RECORDINGS = Path(__file__).parents[1] / "fixtures" / "telemetry"
MS = 1_000_000
both = pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])


class Replay(NamedTuple):
    readings: list[tuple[Span, Reading]]
    requests: list[Request]
    clients: list[dict[str, Any]]
    ends: dict[str, dict[str, Any]]

    def servers(self) -> dict[str, Request]:
        found = [request for request in self.requests if request.role is Role.SERVER]
        assert len({request.request_id for request in found}) == len(found)
        return {str(request.request_id): request for request in found}

    def workers(self, request_id: str | None) -> dict[Phase, Request]:
        found = [one for one in self.requests if one.role is Role.WORKER and one.request_id == request_id]
        assert len({request.phase for request in found}) == len(found)
        return {request.phase: request for request in found}

    def server(self, client: dict[str, Any]) -> Request:
        servers = self.servers()
        name = client["req_headers"].get("x-request-id")
        told = (client.get("resp") or {}).get("id") or ""
        if name is None:
            return servers[told.removeprefix("chatcmpl-")]
        [found] = [one for one in servers.values() if one.span.attributes.get("x_request_id") == name]
        return found


@cache
def replay(mode: str) -> Replay:
    folder = RECORDINGS / f"dynamo-{mode}"
    readings = [(span, DIALECT.read(span) if DIALECT.knows(span) else None) for span in spans(folder)]
    traces: dict[bytes, list[Request | Part]] = defaultdict(list)
    for span, reading in readings:
        if reading is not None:
            traces[span.trace_id].append(reading)
    requests = [
        complete(reading, [other.span for other in readings_of_trace])
        for readings_of_trace in traces.values()
        for reading in readings_of_trace
        if isinstance(reading, Request)
    ]
    events = [row["event"] for row in lines(folder / "request_trace.jsonl")]
    ends = {event["request"]["request_id"]: event["request"] for event in events if "request" in event}
    return Replay(readings, requests, lines(folder / "client.jsonl"), ends)


def spans(folder: Path) -> list[Span]:
    messages = [ExportTraceServiceRequest.FromString(path.read_bytes()) for path in sorted(folder.glob("spans_*.pb"))]
    return [
        Span(span, Source(attributes(resource_spans.resource.attributes)), scope_spans.scope.name)
        for message in messages
        for resource_spans in message.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def usage(client: dict[str, Any]) -> tuple[int, int] | None:
    """Tokens as the client was told: in the reply, or in the last chunk but one of a stream that was asked to."""
    told = (client.get("resp") or {}).get("usage")
    for chunk in client.get("last_chunks") or ():
        body = chunk.removeprefix("data: ")
        told = told or (None if body == "[DONE]" else json.loads(body).get("usage"))
    if not told:
        return None
    return told.get("prompt_tokens", told.get("input_tokens")), told.get("completion_tokens", told.get("output_tokens"))


def kind(reading: Reading) -> str:
    return reading.role.value if isinstance(reading, Request) else "part" if reading else "neither"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("aggregated", {"server": 49, "worker": 48, "part": 48, "neither": 250}),
        ("disaggregated", {"server": 49, "worker": 96, "part": 96, "neither": 489}),
    ],
)
def test_every_span_is_a_request_a_part_or_neither(mode: str, expected: dict[str, int]) -> None:
    assert Counter(kind(reading) for _, reading in replay(mode).readings) == expected


@both
def test_the_routers_inner_steps_and_the_workers_own_queries_are_neither(mode: str) -> None:
    neither = Counter(span.name for span, reading in replay(mode).readings if reading is None)
    selections = {"aggregated": 48, "disaggregated": 96}[mode]
    steps = ("select_worker", "compute_block_hashes", "compute_seq_hashes", "find_matches", "schedule")
    assert neither == {
        **{f"kv_router.{step}": selections for step in steps},
        "completions": 4,
        "completions_single": 4,
        "handle_payload": {"aggregated": 2, "disaggregated": 1}[mode],
    }


@both
def test_every_client_finds_its_request_at_the_time_its_own_clock_says(mode: str) -> None:
    recorded = replay(mode)
    assert len({recorded.server(client).request_id for client in recorded.clients}) == len(recorded.clients) == 49
    for client in recorded.clients:
        request = recorded.server(client)
        assert 0 <= request.arrival - client["t0_unix_ns"] < 20 * MS
        assert abs(client["t1_unix_ns"] - request.end) < 3 * MS


@both
def test_tokens_are_those_that_the_client_or_the_request_trace_says(mode: str) -> None:
    recorded = replay(mode)
    for client in recorded.clients:
        request = recorded.server(client)
        if client["status"] != 200 or client["kind"] in ("compl", "cancel"):
            continue
        end = recorded.ends[str(request.request_id)]
        told = usage(client) or (end["input_tokens"], end["output_tokens"])
        assert (request.input_tokens, request.output_tokens) == told
        assert request.model == "tiny-llama"
        assert (request.error, request.finish) == (None, None)


@both
def test_plain_completions_have_times_and_no_tokens_because_their_span_says_none(mode: str) -> None:
    recorded = replay(mode)
    requests = [recorded.server(client) for client in recorded.clients if client["kind"] == "compl"]
    assert len(requests) == 4
    for request in requests:
        assert (request.model, request.input_tokens, request.output_tokens) == (None, None, None)
        assert (request.first_token, request.error) == (None, None)
        assert request.duration == pytest.approx(
            recorded.ends[str(request.request_id)]["total_time_ms"] / 1e3, abs=3e-3
        )


@both
def test_refused_requests_are_requests_with_an_error_and_no_work(mode: str) -> None:
    recorded = replay(mode)
    refused = {c["status"]: recorded.server(c) for c in recorded.clients if c["status"] != 200}
    assert set(refused) == {404, 400}
    for request in refused.values():
        assert request.error == "error"
        assert request.input_tokens is request.output_tokens is None
        assert not recorded.workers(request.request_id)
    assert refused[404].model == "unknown_model"


@both
def test_a_client_that_hangs_up_cancels_and_is_no_error_on_any_side(mode: str) -> None:
    recorded = replay(mode)
    [client] = [one for one in recorded.clients if one.get("client_cancelled")]
    request = recorded.server(client)
    workers = recorded.workers(request.request_id)
    last = workers.get(Phase.DECODE) or workers[Phase.WHOLE]
    for told in (request, last):
        assert (told.finish, told.error, told.output_tokens) == ("cancelled", None, None)
    # Where prefill and decode share a worker, its span has the status of an error.
    assert last.span.failed == (mode == "aggregated")


@both
def test_time_to_first_token_is_the_front_ends_and_the_rest_is_decode(mode: str) -> None:
    for request in replay(mode).servers().values():
        if request.output_tokens is None:
            continue
        assert request.first_token is not None
        assert request.time_to_first_token is not None
        assert request.decode is not None
        assert request.first_token == request.arrival + round(request.time_to_first_token * 1e9)
        assert 0 < (request.end - request.first_token) / 1e9 - request.decode < 5e-3


def test_aggregated_time_to_first_token_agrees_with_the_request_trace() -> None:
    recorded = replay("aggregated")
    told = [one for one in recorded.servers().values() if one.time_to_first_token is not None]
    assert len(told) == 42
    for request in told:
        expected = recorded.ends[str(request.request_id)]["ttft_ms"] / 1e3
        assert request.time_to_first_token == pytest.approx(expected, abs=1e-3)


def test_an_aggregated_request_is_one_workers_whole_work() -> None:
    recorded = replay("aggregated")
    for request_id, request in recorded.servers().items():
        if request.error:
            continue
        assert set(recorded.workers(request_id)) == {Phase.WHOLE}
        worker = recorded.workers(request_id)[Phase.WHOLE]
        assert (worker.model, worker.first_token) == (request.model, request.first_token)
        assert (worker.input_tokens, worker.output_tokens) == (request.input_tokens, request.output_tokens)
        assert request.arrival < worker.arrival < worker.end < request.end + 1 * MS


def test_a_disaggregated_request_is_a_prefill_and_a_decode_that_begins_after_it() -> None:
    recorded = replay("disaggregated")
    served = {key: request for key, request in recorded.servers().items() if not request.error}
    assert len(served) == 47
    for request_id, request in served.items():
        workers = recorded.workers(request_id)
        assert set(workers) == {Phase.PREFILL, Phase.DECODE}
        prefill, decode = workers[Phase.PREFILL], workers[Phase.DECODE]
        assert (prefill.input_tokens, prefill.output_tokens) == (request.input_tokens, None)
        assert (decode.input_tokens, decode.output_tokens) == (None, request.output_tokens)
        assert decode.arrival < prefill.end, "its span opens while prefill runs"
        assert prefill.first_token == prefill.end == decode.first_token
        if request.first_token is not None:
            assert 0 <= request.first_token - prefill.end < 60 * MS


@both
def test_work_that_no_client_asked_for_is_the_workers_alone(mode: str) -> None:
    recorded = replay(mode)
    spare = [one for one in recorded.requests if one.role is Role.WORKER and one.request_id not in recorded.servers()]
    assert len({request.request_id for request in spare}) == 1
    phases = {"aggregated": {Phase.WHOLE}, "disaggregated": {Phase.PREFILL, Phase.DECODE}}[mode]
    assert {request.phase for request in spare} == phases
    assert all((one.input_tokens, one.output_tokens, one.model) == (None, None, None) for one in spare)


@both
def test_ids_beyond_2_to_the_53_are_read_and_join_router_and_worker(mode: str) -> None:
    for request in replay(mode).requests:
        if request.role is Role.WORKER:
            routes = [span for span, _ in replay(mode).readings if span.span_id == request.span.parent_id]
            assert routes[0].attributes["worker_id"] == request.span.attributes["instance_id"]
            assert len(str(request.span.attributes["instance_id"])) >= 18


@both
def test_the_order_in_which_spans_come_changes_nothing(mode: str) -> None:
    traces: dict[bytes, list[Span]] = defaultdict(list)
    for span, reading in replay(mode).readings:
        if reading is not None:
            traces[span.trace_id].insert(0, span)
    for request in replay(mode).requests:
        assert complete(request, traces[request.span.trace_id]) == request
