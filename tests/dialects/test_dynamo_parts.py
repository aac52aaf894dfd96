# SPDX-License-Identifier: Apache-2.0
"""Dynamo's spans put together by hand: lost workers, lifecycle tracing, engines that speak, and nonsense."""

from collections.abc import Mapping
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from agent.dialects.dynamo import DIALECT
from agent.dialects.dynamo_parts import complete
from agent.requests import Part, Phase, Request, Role
from agent.spans import INTERNAL, Source, Span

MS = 1_000_000
T0 = 1_795_418_400_000 * MS
TRACE = b"\x07" * 16
ID = "3844a867-0dda-46e2-965b-c3687b48303b"
DEAD, ALIVE = "10647866911724719348", "356565239603167791"
ASKED = {"request_id": ID, "method": "POST", "uri": "/v1/chat/completions"}
_numbers = count(1)

Told = Mapping[str, "str | bool | int | float | AnyValue"]


def span(name: str, begin: float, end: float, told: Told, above: Span | None = None, *, failed: bool = False) -> Span:
    """Make a span that lasts from `begin` to `end`, ms after T0."""
    message = SpanMessage(
        trace_id=TRACE,
        span_id=next(_numbers).to_bytes(8, "big"),
        parent_span_id=above.span_id if above else b"",
        name=name,
        kind=INTERNAL,
        start_time_unix_nano=T0 + round(begin * MS),
        end_time_unix_nano=T0 + round(end * MS),
        attributes=[KeyValue(key=key, value=any_value(value)) for key, value in told.items()],
        status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET),
    )
    return Span(message, Source({"service.name": "dynamo-frontend"}), "dynamo-frontend")


def any_value(value: "str | bool | int | float | AnyValue") -> AnyValue:
    if isinstance(value, AnyValue):
        return value
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(double_value=value)


def front(begin: float, end: float, *, failed: bool = False, **told: str) -> Span:
    return span("http-request", begin, end, ASKED | told, failed=failed)


def answered(end: float, **told: str) -> Span:
    success = {"model": "llama", "request.outcome": "success", "input_tokens": "93", "output_tokens": "400"}
    return span("http-request", 0, end, ASKED | success | {"ttft_ms": "20.00"} | told)


def route(above: Span, begin: float, end: float, told: Told) -> Span:
    common: Told = {"request_id": ID, "phase": "Aggregated", "request.attempt": "0", "request.outcome": "success"}
    return span("kv_router.route_request", begin, end, {**common, **told}, above)


def worker(above: Span, begin: float, end: float, component: str = "backend", *, failed: bool = False) -> Span:
    told = {"request_id": ID, "component": component, "endpoint": "generate", "instance_id": ALIVE}
    return span("handle_payload", begin, end, told, above, failed=failed)


def engine(above: Span, begin: float, end: float, **told: str) -> Span:
    return span("engine.generate", begin, end, {"model": "llama"} | told, above)


def lifecycle(above: Span, told: Mapping[str, str]) -> Span:
    unnamed = {"dynamo.request.id": ID, "dynamo.session.id": ID, "dynamo.session.source": "request_id_fallback"}
    return span("request.lifecycle", 0, 100, unnamed | dict(told), above)


def requests(*spans: Span) -> list[Request]:
    readings = [DIALECT.read(one) for one in spans if DIALECT.knows(one)]
    known = [reading.span for reading in readings if reading is not None]
    return [complete(reading, known) for reading in readings if isinstance(reading, Request)]


MOVED: Told = {"request.attempt": "1", "migration.is_retry": True, "migration.tokens_completed": "175"}


def test_a_request_that_moved_has_the_prompt_that_was_asked() -> None:
    whole = answered(900, input_tokens="268")
    lost = route(whole, 1, 300, {"worker_id": DEAD, "request.outcome": "worker_disconnected"})
    moved = route(whole, 310, 899, {**MOVED, "worker_id": ALIVE, "migration.from_worker_id": DEAD})
    server, second = requests(whole, lost, moved, worker(moved, 311, 898))
    assert (server.input_tokens, server.output_tokens, server.error) == (93, 400, None)
    assert (second.input_tokens, second.output_tokens) == (268, 225), "it read what the first had written"
    assert second.first_token is None, "the request's first token was not its own"


def test_an_attempt_that_was_given_up_has_the_tokens_it_delivered() -> None:
    whole = answered(900, input_tokens="268")
    lost = route(whole, 1, 300, {"request.outcome": "worker_disconnected", "error.type": "Disconnected"})
    moved = route(whole, 310, 899, MOVED)
    _, first, second = requests(whole, worker(lost, 2, 299), worker(moved, 311, 898), lost, moved)
    assert (first.input_tokens, first.output_tokens, first.error) == (93, 175, "Disconnected")
    assert first.first_token == T0 + 20 * MS
    assert (second.output_tokens, second.error) == (225, None)


def test_a_request_that_moved_twice_counts_delivered_tokens_from_its_beginning() -> None:
    whole = answered(900, input_tokens="293")
    first = route(whole, 1, 100, {"request.outcome": "worker_disconnected"})
    second = route(whole, 110, 200, {**MOVED, "request.outcome": "worker_disconnected"})
    third = route(whole, 210, 899, {**MOVED, "request.attempt": "2", "migration.tokens_completed": "200"})
    server, *workers = requests(whole, first, second, third, worker(second, 111, 199), worker(third, 211, 898))
    assert server.input_tokens == 93
    assert [(one.input_tokens, one.output_tokens) for one in workers] == [(268, 25), (293, 200)]


def test_of_two_pieces_of_work_of_one_attempt_none_gets_the_tokens_of_both() -> None:
    whole = answered(900)
    routes = [route(whole, 1, 899, {}), route(whole, 2, 899, {})]
    _, *workers = requests(whole, *routes, *(worker(one, 3, 898) for one in routes))
    assert [(one.input_tokens, one.output_tokens) for one in workers] == [(None, None), (None, None)]


def test_lifecycle_tracing_makes_a_success_look_failed_and_it_is_none() -> None:
    whole = front(0, 100, failed=True, input_tokens="10", output_tokens="5")
    told = lifecycle(whole, {"dynamo.request.terminal.outcome": "success"})
    [server] = requests(whole, told)
    assert (server.error, server.finish, server.input_tokens) == (None, None, 10)
    assert requests(whole, route(whole, 1, 99, {}))[0].error is None, "the router knows that it went well"


@pytest.mark.parametrize(
    ("outcome", "finish", "error"),
    [
        ("cancelled", "cancelled", None),
        ("failed", None, "failed"),
        ("rejected", None, "rejected"),
        ("unknown", None, None),
    ],
)
def test_lifecycle_tracing_tells_the_outcome_where_the_front_end_does_not(
    outcome: str, finish: str | None, error: str | None
) -> None:
    whole = front(0, 100, failed=True)
    [server] = requests(whole, lifecycle(whole, {"dynamo.request.terminal.outcome": outcome}))
    assert (server.finish, server.error) == (finish, error)


def test_a_status_that_nothing_contradicts_is_believed_once_the_trace_is_there() -> None:
    whole = front(0, 100, failed=True)
    assert requests(whole)[0].error == "error"
    reading = DIALECT.read(whole)
    assert isinstance(reading, Request)
    assert reading.error is None


def test_a_session_is_what_the_client_named_and_not_the_request_id_in_its_place() -> None:
    whole = answered(100)
    attempt = route(whole, 1, 99, {})
    work = worker(attempt, 2, 98)
    named = lifecycle(whole, {"dynamo.session.id": "run-42", "dynamo.session.source": "agent_context"})
    assert [one.session for one in requests(whole, attempt, work, named)] == ["run-42", "run-42"]
    assert [one.session for one in requests(whole, attempt, work, lifecycle(whole, {}))] == [None, None]


def test_an_engine_that_speaks_gives_its_worker_tokens_first_token_and_finish() -> None:
    whole = answered(100)
    attempt = route(whole, 1, 99, {})
    work = worker(attempt, 2, 98)
    inner = engine(work, 3, 97, input_tokens="90", output_tokens="8", ttft_ms="11.00", finish_reason="stop")
    server, told = requests(whole, attempt, work, inner)
    assert (told.input_tokens, told.output_tokens, told.finish) == (90, 8, "stop")
    assert told.first_token == T0 + 14 * MS
    assert (server.input_tokens, server.output_tokens, server.finish) == (93, 400, "stop")


def test_engines_of_a_prefill_and_a_decode_worker_one_after_the_other() -> None:
    whole = answered(100)
    first, second = route(whole, 1, 30, {"phase": "Prefill"}), route(whole, 31, 99, {"phase": "Decode"})
    prefill, decode = worker(first, 2, 29, "prefill"), worker(second, 32, 98)
    engines = (
        engine(prefill, 3, 28, disagg_role="prefill", input_tokens="93", output_tokens="1", ttft_ms="20.00"),
        engine(decode, 33, 97, disagg_role="decode", input_tokens="93", output_tokens="400", ttft_ms="3.00"),
    )
    _, one, two = requests(whole, first, second, prefill, decode, *engines)
    assert (one.phase, one.input_tokens, one.output_tokens) == (Phase.PREFILL, 93, 1)
    assert one.first_token == T0 + 23 * MS
    assert (two.phase, two.input_tokens, two.output_tokens) == (Phase.DECODE, None, 400)
    assert two.first_token == two.arrival


def test_an_engine_span_that_ends_before_its_first_token_is_read_by_its_attributes() -> None:
    attempt = route(answered(100), 1, 99, {})
    work = worker(attempt, 2, 98)
    [told] = requests(attempt, work, engine(work, 3, 3.4, ttft_ms="11.00", output_tokens="8"))
    assert told.first_token == T0 + 14 * MS


def test_engines_fill_in_what_a_plain_completion_does_not_tell() -> None:
    whole = front(0, 100, uri="/v1/completions")
    attempt = route(whole, 1, 99, {})
    work = worker(attempt, 2, 98)
    server, _ = requests(whole, attempt, work, engine(work, 3, 97, input_tokens="50", output_tokens="16"))
    assert (server.model, server.input_tokens, server.output_tokens) == ("llama", 50, 16)


def test_the_prefill_route_tells_when_decode_began_if_the_prefill_worker_does_not() -> None:
    whole = answered(100)
    first, second = route(whole, 1, 30, {"phase": "Prefill"}), route(whole, 2, 99, {"phase": "Decode"})
    assert requests(whole, first, second, worker(second, 3, 98))[1].first_token == T0 + 30 * MS
    assert requests(whole, second, worker(second, 3, 98))[1].first_token == T0 + 20 * MS
    assert requests(second, worker(second, 3, 98))[0].first_token is None


def test_two_requests_of_one_trace_keep_to_themselves() -> None:
    other = span("http-request", 0, 50, {"request_id": "other", "model": "qwen", "input_tokens": "7"})
    whole = answered(100)
    attempt = route(whole, 1, 99, {})
    second, server, work = requests(other, whole, attempt, worker(attempt, 2, 98))
    assert (second.model, second.input_tokens) == ("qwen", 7)
    assert (server.model, work.model, work.input_tokens) == ("llama", "llama", 93)


@pytest.mark.parametrize(
    ("method", "uri", "asks"),
    [
        ("POST", "/v1/chat/completions", True),
        ("POST", "/v1/completions/?beta=true", True),
        ("POST", "/v1/embeddings", True),
        ("POST", "/v1/messages/count_tokens", False),
        ("POST", "/clear_kv_blocks", False),
        ("GET", "/v1/chat/completions", False),
        ("GET", "/v1/models", False),
        ("GET", "/health", False),
        ("GET", "/metrics", False),
    ],
)
def test_only_asking_a_model_is_a_request(method: str, uri: str, *, asks: bool) -> None:
    assert (DIALECT.read(front(0, 1, method=method, uri=uri)) is not None) == asks


def test_a_renamed_path_is_a_request_as_its_span_names_a_model() -> None:
    assert isinstance(DIALECT.read(front(0, 1, uri="/llm/ask", model="llama")), Request)


def test_spans_of_other_programs_with_these_names_are_neither() -> None:
    for name in ("http-request", "handle_payload", "engine.generate", "request.lifecycle"):
        stranger = span(name, 0, 1, {"http.url": "https://example.com", "component": "backend"})
        assert DIALECT.knows(stranger)
        assert DIALECT.read(stranger) is None


def test_a_worker_alone_in_its_trace_is_read_by_its_component() -> None:
    [prefill] = requests(worker(answered(100), 2, 98, "prefill", failed=True))
    assert (prefill.role, prefill.phase, prefill.error) == (Role.WORKER, Phase.PREFILL, "error")
    assert prefill.first_token is prefill.input_tokens is None


def test_a_time_to_first_token_beyond_the_end_is_no_time_at_all() -> None:
    [server] = requests(answered(100, ttft_ms="100.01"))
    assert (server.first_token, server.time_to_first_token) == (None, None)


KEYS = [
    *("request_id", "phase", "component", "endpoint", "method", "uri", "model", "input_tokens", "output_tokens"),
    *("ttft_ms", "avg_itl_ms", "request.outcome", "request.attempt", "migration.tokens_completed", "error.type"),
    *("disagg_role", "finish_reason", "dynamo.request.id", "dynamo.session.id", "dynamo.session.source"),
]
TEXTS = st.sampled_from(
    [ID, "generate", "prefill", "Prefill", "Decode", "POST", "/v1/completions", "success", "cancelled", "1e308", "-1",
     "9" * 20, "nan", "inf", "1_000", "", "agent_context"]
)  # fmt: skip
SCALARS = st.one_of(
    TEXTS.map(any_value),
    st.text(max_size=8).map(any_value),
    st.booleans().map(any_value),
    st.integers(-(2**63), 2**63 - 1).map(any_value),
    st.floats().map(any_value),
    st.binary(max_size=4).map(lambda data: AnyValue(bytes_value=data)),
    st.just(AnyValue()),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=2).map(lambda values: AnyValue(array_value=ArrayValue(values=values))),
    SCALARS.map(lambda value: AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="a", value=value)]))),
)
NAMES = ("http-request", "kv_router.route_request", "handle_payload", "engine.generate", "request.lifecycle")


@st.composite
def hostile_traces(draw: st.DrawFn) -> list[Span]:
    spans: list[Span] = []
    for _ in range(draw(st.integers(1, 6))):
        told = {"request_id": any_value(ID)} | draw(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
        name = draw(st.sampled_from(NAMES))
        if name == "handle_payload":
            told.setdefault("endpoint", any_value("generate"))
        times = st.integers(-5, 60)
        above = draw(st.sampled_from([None, *spans]))
        spans.append(span(name, draw(times), draw(times), told, above, failed=draw(st.booleans())))
    return spans


@given(hostile_traces())
def test_hostile_attributes_never_raise_and_leave_times_in_order(spans: list[Span]) -> None:
    for one in spans:
        reading = DIALECT.read(one)
        assert reading is None or isinstance(reading, Request | Part)
    known = [one for one in spans if DIALECT.read(one) is not None]
    for request in requests(*spans):
        assert request.arrival <= request.end
        assert request.first_token is None or request.arrival <= request.first_token <= request.end
        assert all(tokens is None or tokens >= 0 for tokens in (request.input_tokens, request.output_tokens))
        assert request.decode is None or 0 <= request.decode <= request.duration
        assert complete(request, known) == request


def test_the_worker_of_one_prompt_of_a_list_has_the_id_of_its_route_and_no_tokens_of_the_whole() -> None:
    whole = front(0, 100, input_tokens="20", output_tokens="16")
    routes = [
        span("kv_router.route_request", 5, 90, {"request_id": f"{ID}-{n}", "phase": "Aggregated"}, whole)
        for n in (0, 1)
    ]
    workers = [
        span("handle_payload", 10, 80, {"endpoint": "generate", "component": "backend"}, route) for route in routes
    ]
    spans = [whole, *routes, *workers]
    for number, worker in enumerate(workers):
        found = DIALECT.read(worker)
        assert isinstance(found, Request)
        done = complete(found, spans)
        assert done.request_id == f"{ID}-{number}"
        assert (done.role, done.phase) == (Role.WORKER, Phase.WHOLE)
        assert (done.input_tokens, done.output_tokens) == (None, None)
