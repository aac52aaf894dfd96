# SPDX-License-Identifier: Apache-2.0
"""Requests come apart and together again with every span as it was."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from agent.otlp import envelope
from agent.otlp.envelope import Envelope, count, join, split
from agent.otlp.protobuf import Malformed, field
from agent.receivers.otlp import Signal
from tests.receivers.serving import recordings

UNKNOWN = field(99, b"of the future")
SPANS = st.lists(st.binary(max_size=60), max_size=6)
SCOPES = st.lists(st.tuples(st.text(max_size=5), SPANS), max_size=4)
RESOURCES = st.lists(
    st.tuples(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3), SCOPES), max_size=4
)


def built(resources: Any) -> bytes:
    """Encode a request: resources with their attributes, and scopes with their names and spans."""
    return b"".join(
        field(
            1,
            field(1, b"".join(field(1, field(1, k.encode()) + field(2, field(1, v.encode()))) for k, v in told.items()))
            + b"".join(
                field(2, field(1, field(1, name.encode())) + UNKNOWN + b"".join(field(2, span) for span in spans))
                for name, spans in scopes
            )
            + UNKNOWN,
        )
        for told, scopes in resources
    )


def told(whole: Envelope) -> list[tuple[dict[str, Any], str, bytes]]:
    """Give each span with what is around it."""
    return [
        (dict(resource.attributes), scope.name, span)
        for resource in whole.resources
        for scope in resource.scopes
        for span in scope.spans
    ]


@given(RESOURCES)
def test_everything_around_a_span_is_read(resources: Any) -> None:
    expected = [(dict(a), name, span) for a, scopes in resources for name, spans in scopes for span in spans]
    assert told(split(built(resources))) == expected


@given(RESOURCES, st.integers(1, 300))
def test_no_span_is_lost_changed_or_doubled_however_a_request_is_cut(resources: Any, most: int) -> None:
    whole = split(built(resources) + UNKNOWN)
    parts = list(join(whole, most))
    again = [split(body) for body, _ in parts]
    assert [span for one in again for span in told(one)] == told(whole)
    assert [count(one) for one in again] == [number for _, number in parts]
    largest = max((len(body) for body, number in parts if number > 1), default=0)
    around = len(built(resources)) - sum(len(span) for _, _, span in told(whole)) + len(UNKNOWN)
    assert largest <= most + around + 200


@given(RESOURCES)
def test_what_is_not_known_stays(resources: Any) -> None:
    body = built(resources) + UNKNOWN
    ((again, _),) = join(split(body), 1 << 20)
    assert again.count(UNKNOWN) == body.count(UNKNOWN)


def test_what_engines_sent_is_the_same_message_after_it() -> None:
    for name, body in recordings(Signal.TRACES).items():
        ((again, number),) = join(split(body), 64 << 20)
        message = ExportTraceServiceRequest.FromString(body)
        assert ExportTraceServiceRequest.FromString(again) == message, name
        assert number == sum(len(scope.spans) for one in message.resource_spans for scope in one.scope_spans)


def test_a_resource_that_comes_in_two_parts_is_their_merger() -> None:
    parts = [KeyValue(key=key, value=AnyValue(int_value=1)).SerializeToString() for key in "ab"]
    body = field(1, b"".join(field(1, field(1, part)) for part in parts))
    assert split(body).resources[0].attributes == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "body",
    [
        field(1, field(1, b"\xff")),
        field(1, field(3, b"\xff not utf-8")),
        field(1, field(2, field(1, b"\x0a\x05abc"))),
        field(1, field(2, field(3, b"\xff"))),
        field(1, field(1, field(1, field(1, b"\xff")))),
        field(1, b"\x12\x05abc"),
        b"\x0a\x05abc",
    ],
)
def test_nothing_that_would_spoil_what_it_is_sent_on_with_is_taken(body: bytes) -> None:
    with pytest.raises(Malformed):
        split(body)


@given(st.binary(max_size=60))
def test_what_is_taken_is_a_message_to_others(body: bytes) -> None:
    try:
        whole = split(body)
    except Malformed:
        return
    for resource in whole.resources:
        for scope in resource.scopes:
            scope.spans.clear()  # They are looked at one by one, later.
    for part, _ in join(whole, 1 << 20):
        ExportTraceServiceRequest.FromString(part)


@pytest.mark.parametrize(
    "many",
    [
        lambda most: field(1, field(2, b"\x12\0" * (most + 1))),
        lambda most: field(1, b"\x12\0" * (most + 1)),
        lambda most: b"\x0a\0" * (most + 1),
        lambda most: field(1, field(2, b"\x12\0" * (most // 2))) * 3,
        lambda most: field(1, field(2, b"\x20\x01" * (most + 1))),
    ],
)
def test_more_spans_than_telemetry_has_are_malformed(many: Any) -> None:
    with pytest.raises(Malformed, match="spans in one request"):
        split(many(envelope.MOST_SPANS))


def test_a_resource_of_more_than_a_mebibyte_is_malformed() -> None:
    with pytest.raises(Malformed, match="1048576 bytes"):
        split(field(1, field(1, field(1, field(1, b"k" * (1 << 20))))))
