# SPDX-License-Identifier: Apache-2.0
"""Spans read in whatever dialect they are: the order in which dialects are asked, tenants, and nonsense."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent import dialects
from agent.dialects.reading import DIALECTS, Reader
from agent.dialects.values import count, moment, part, reason, seconds, text
from agent.otlp.values import attributes
from agent.requests import Part, Phase, Request, Role
from agent.spans import CLIENT, SERVER, Source, Span
from tests.dialects.made import T0, TRACE, Told, any_value, pairs, span

READER = Reader(("tenant.id", "user.id"))
CHAT: Told = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in Path(str(dialects.__file__)).parent.glob("*.py"))
KEYS = sorted(set(re.findall(r'"([a-z_0-9]+(?:\.[a-z_0-9]+)+)"', SOURCES)) | {"rid", "pid", "request_id", "ttft_ms"})
NAMES = [
    "llm_request", "disaggregated_request", " Req 1", "prefill Req 1", "decode Req 1", "Scheduler (host:a | pid:1)",
    "prefill_waiting", "prefill_forward", "decode_forward", "decode_loop", "http-request", "handle_payload",
    "kv_router.route_request", "engine.generate", "chat gpt-4",
]  # fmt: skip
SCOPES = ["vllm.tracing.otel", "sglang server", "trt.llm", "dynamo-frontend", ""]
WORDS = ["stop", '["stop"]', "chat", "LLM", "completion", "-1", "1e3", "NaN", "99999999999999999999", "generate", ""]


def read(one: Span) -> Request:
    reading = READER.read(one)
    assert isinstance(reading, Request)
    return reading


@pytest.mark.parametrize(
    ("one", "dialect"),
    [
        (span("llm_request", {}, scope="vllm.tracing.otel"), "vllm"),
        (span("llm_request", {"gen_ai.latency.e2e": 1.0}, scope="trt.llm"), "tensorrt_llm"),
        (span(" Req 1", {}, scope="sglang server"), "sglang"),
        (span("http-request", {"request_id": "r", "model": "m"}), "dynamo"),
        (span("ChatCompletion", {"openinference.span.kind": "LLM", **CHAT}), "openinference"),
        (span("openai.chat", {"gen_ai.is_streaming": True, **CHAT}, kind=CLIENT), "openllmetry"),
        (span("chat gpt-4", CHAT, kind=CLIENT), "gen_ai"),
    ],
)
def test_engines_are_asked_before_conventions_and_narrow_conventions_before_wide_ones(one: Span, dialect: str) -> None:
    assert read(one).dialect == dialect


def test_a_span_that_a_dialect_knows_and_does_not_read_is_offered_to_the_next() -> None:
    assert read(span("http-request", {"request_id": "r", **CHAT}, kind=SERVER)).dialect == "gen_ai"


@pytest.mark.parametrize(
    "one",
    [
        span("GET /", {"http.request.method": "GET"}, kind=SERVER),
        span("llm_request", {}, scope="my.app"),
        span("decode_loop", {"decode_ct": 1}, scope="sglang server"),
        span("disaggregated_request", {}, scope="trt.llm", kind=SERVER),
        span("Load model", {"code.function": "load"}, scope="vllm.worker"),
    ],
)
def test_spans_that_no_dialect_reads_are_nothing(one: Span) -> None:
    assert READER.read(one) is None


def test_names_of_dialects_are_their_own() -> None:
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS) == 7


@pytest.mark.parametrize(
    ("told", "resource", "tenant"),
    [
        ({"tenant.id": "acme", "user.id": "u"}, {"tenant.id": "platform"}, "acme"),
        ({"user.id": "u"}, {"tenant.id": "platform"}, "u"),
        ({}, {"user.id": "r", "tenant.id": "platform"}, "platform"),
        ({"tenant.id": ""}, {"tenant.id": "platform"}, "platform"),
        ({"tenant.id": 7}, {}, "7"),
        ({"tenant.id": 1.5}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_tenant_is_the_first_attribute_on_the_span_and_then_on_its_resource(
    told: Told, resource: Told, tenant: str | None
) -> None:
    one = span("chat gpt-4", {**CHAT, **told})
    one.source = Source(attributes(pairs(resource)))
    assert read(one).tenant == tenant


def test_a_reader_that_looks_for_no_tenant_finds_none() -> None:
    reading = Reader(()).read(span("chat gpt-4", {**CHAT, "tenant.id": "acme"}))
    assert isinstance(reading, Request)
    assert reading.tenant is None


def test_only_requests_that_several_spans_tell_wait_for_them() -> None:
    assert not READER.joins(read(span("llm_request", {}, scope="vllm.tracing.otel")))
    assert not READER.joins(read(span("chat gpt-4", CHAT)))
    assert READER.joins(read(span(" Req 1", {}, scope="sglang server")))


def test_completing_keeps_the_tenant() -> None:
    root = span(" Req 1", {"tenant.id": "acme"}, scope="sglang server")
    rank = span("Scheduler (host:a | pid:7)", {"pid": 7}, scope="sglang server", above=root)
    request = READER.complete(read(root), [root, rank])
    assert (request.tenant, request.pids) == ("acme", (7,))


def test_a_request_told_by_one_span_is_complete_as_it_is() -> None:
    request = read(span("chat gpt-4", CHAT))
    assert READER.complete(request, [request.span]) is request


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), ("3", 3), (3.0, 3), (0, 0), (-1, None), (3.5, None), (True, None), (1 << 54, None), ("x" * 30, None)],
)
def test_counts_are_whole_numbers_that_a_double_holds(value: "str | float | bool", expected: int | None) -> None:
    assert count(value) == expected
    assert not isinstance(count(value), bool)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, 0.5), (2, 2.0), ("0.5", 0.5), (0.0, 0.0), (-1.0, None), (float("nan"), None), ("inf", None), (False, None)],
)
def test_seconds_are_numbers_from_zero_on(value: "str | float | bool", expected: float | None) -> None:
    assert seconds(value) == expected


def test_a_duration_longer_than_the_most_that_is_believed_is_unknown() -> None:
    assert (seconds(2.0, 2.0), seconds(2.1, 2.0), seconds(3, 2.0), seconds("3", 2.0)) == (2.0, None, None, None)


def test_the_smaller_helpers_know_what_they_do_not_know() -> None:
    assert (part(3, 3), part(4, 3), part(4, None), part(None, 3)) == (3, None, 4, None)
    assert (moment(10, 1e-9, 11), moment(10, 2e-9, 11), moment(10, None, 11)) == (11, None, None)
    assert (text("a" * 300), text(5), text(value=True), text(b"x")) == ("a" * 256, "5", None, None)
    assert (reason(["length"]), reason([]), reason([["x"]]), reason(None)) == ("length", None, None, None)


def test_values_of_every_kind_are_read_as_they_were_sent() -> None:
    told: Told = {
        "zero": 0, "none": 0.0, "empty": "", "no": False, "yes": True, "int": -5, "float": 2.5, "text": "é",
        "bytes": AnyValue(bytes_value=b"\x00"), "list": ["a", "b"], "unset": AnyValue(),
        "map": AnyValue(kvlist_value=KeyValueList(values=pairs({"in": 1}))),
    }  # fmt: skip
    found = attributes([*pairs(told), *pairs({"int": 6})])
    assert found == {
        "zero": 0, "none": 0.0, "empty": "", "no": False, "yes": True, "int": -5, "float": 2.5, "text": "é",
        "bytes": b"\x00", "list": ["a", "b"], "unset": None, "map": {"in": 1},
    }  # fmt: skip
    assert [type(found[key]) for key in ("zero", "none", "no", "yes")] == [int, float, bool, bool]


def any_values() -> st.SearchStrategy[AnyValue]:
    plain = st.one_of(
        st.sampled_from(WORDS), st.text(max_size=8), st.booleans(), st.floats(),
        st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-1, 3), st.floats(-1, 3),
    )  # fmt: skip
    others = st.one_of(
        st.binary(max_size=4).map(lambda told: AnyValue(bytes_value=told)),
        st.lists(plain, max_size=3).map(
            lambda told: AnyValue(array_value=ArrayValue(values=[any_value(one) for one in told]))
        ),
        st.just(AnyValue()),
    )
    return st.one_of(plain.map(any_value), others)


TIMES = st.one_of(st.integers(T0, T0 + 3_000_000_000), st.sampled_from([0, 1, (1 << 64) - 1]))
IDS = st.sampled_from([bytes([number]) * 8 for number in range(4)])


@st.composite
def hostile_spans(draw: st.DrawFn) -> Span:
    told = draw(st.dictionaries(st.sampled_from(KEYS), any_values(), max_size=12))
    message = SpanMessage(
        trace_id=TRACE,
        span_id=draw(IDS),
        parent_span_id=draw(st.one_of(st.just(b""), IDS)),
        name=draw(st.sampled_from(NAMES)),
        kind=draw(st.sampled_from([SERVER, CLIENT])),
        start_time_unix_nano=draw(TIMES),
        end_time_unix_nano=draw(TIMES),
        attributes=pairs(told),
    )
    resource = draw(st.dictionaries(st.sampled_from(["vllm.process_id", "tenant.id"]), any_values()))
    return Span(message, Source(attributes(pairs(resource))), draw(st.sampled_from(SCOPES)))


def check(request: Request) -> None:
    times = [request.arrival, request.prefill_start, request.first_token, request.end]
    known = [time for time in times if time is not None]
    assert known == sorted(known)
    assert all(type(time) is int for time in known)
    for duration in (request.queue, request.prefill, request.decode, request.time_to_first_token):
        assert duration is None or (type(duration) is float and 0 <= duration <= request.duration + 1e-9)
    numbers = (request.input_tokens, request.cached_tokens, request.output_tokens, request.reasoning_tokens)
    assert all(number is None or (type(number) is int and number >= 0) for number in (*numbers, *request.pids))
    if request.dialect != "dynamo":
        assert part(request.cached_tokens, request.input_tokens) == request.cached_tokens
        assert part(request.reasoning_tokens, request.output_tokens) == request.reasoning_tokens
    words = (request.request_id, request.model, request.finish, request.error, request.session, request.agent)
    assert all(word is None or (type(word) is str and 0 < len(word) <= 256) for word in (*words, request.tenant))
    assert request.role in Role
    assert request.phase in Phase


@given(st.lists(hostile_spans(), max_size=6))
def test_whatever_attributes_say_nothing_raises_and_all_values_keep_the_types_rules(spans: list[Span]) -> None:
    readings = [READER.read(one) for one in spans]
    known = [one for one, reading in zip(spans, readings, strict=True) if reading is not None]
    for reading in readings:
        if isinstance(reading, Request):
            check(reading)
            check(READER.complete(reading, known))
        else:
            assert reading is None or isinstance(reading, Part)


def test_the_keys_that_are_tried_are_those_that_dialects_read() -> None:
    assert {"gen_ai.latency.time_in_model_prefill", "llm.token_count.prompt", "gen_ai.operation.name"} <= set(KEYS)
    assert len(KEYS) > 60
