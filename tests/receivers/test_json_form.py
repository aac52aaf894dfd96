# SPDX-License-Identifier: Apache-2.0
"""OTLP over JSON means what the specification says, and what real engines sent survives it."""

import base64
import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from agent.otlp.json_form import MOST_PARTS, to_json, to_protobuf
from agent.otlp.protobuf import Malformed
from agent.receivers.otlp import Signal
from tests.receivers.serving import recordings

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
TRACE_BYTES, SPAN_BYTES = bytes.fromhex(TRACE), bytes.fromhex(SPAN)


def spans(*made: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}).encode()


def read(body: bytes) -> Any:
    """Turn trace JSON into its only span."""
    request = ExportTraceServiceRequest.FromString(to_protobuf(ExportTraceServiceRequest, body))
    return request.resource_spans[0].scope_spans[0].spans[0]


def test_a_span_as_the_specification_writes_it() -> None:
    body = f"""{{"resourceSpans": [{{
        "resource": {{"attributes": [{{"key": "service.name", "value": {{"stringValue": "my.service"}}}}]}},
        "scopeSpans": [{{
            "scope": {{"name": "my.library", "version": "1.0.0"}},
            "spans": [{{
                "traceId": "{TRACE.upper()}", "spanId": "{SPAN}", "parentSpanId": "EEE19B7EC3C1B173",
                "name": "I'm a server span", "kind": 2, "flags": 257,
                "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000,
                "attributes": [
                    {{"key": "my.span.attr", "value": {{"stringValue": "some value"}}}},
                    {{"key": "text number", "value": {{"intValue": "-9007199254740993"}}}},
                    {{"key": "number", "value": {{"intValue": 7}}}},
                    {{"key": "double", "value": {{"doubleValue": "NaN"}}}},
                    {{"key": "bytes", "value": {{"bytesValue": "AAEC"}}}},
                    {{"key": "list", "value": {{"arrayValue": {{"values": [{{"boolValue": true}}]}}}}}}
                ],
                "links": [{{"traceId": "{TRACE}", "spanId": "{SPAN}"}}],
                "status": {{"code": 2, "message": "no"}},
                "aFieldOfTheFuture": {{"traceId": "not hex"}}
            }}]
        }}]
    }}]}}""".encode()
    request = ExportTraceServiceRequest.FromString(to_protobuf(ExportTraceServiceRequest, body))
    assert request.resource_spans[0].resource.attributes[0].value.string_value == "my.service"
    assert request.resource_spans[0].scope_spans[0].scope.name == "my.library"
    span = request.resource_spans[0].scope_spans[0].spans[0]
    assert (span.trace_id, span.span_id) == (TRACE_BYTES, SPAN_BYTES)
    assert span.parent_span_id == bytes.fromhex("eee19b7ec3c1b173")
    assert (span.kind, span.flags, span.status.code) == (2, 257, 2)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1544712660000000000, 1544712661000000000)
    values = {one.key: one.value for one in span.attributes}
    assert values["text number"].int_value == -9007199254740993
    assert values["number"].int_value == 7
    assert values["double"].double_value != values["double"].double_value
    assert values["bytes"].bytes_value == b"\0\1\2"
    assert values["list"].array_value.values[0].bool_value
    assert (span.links[0].trace_id, span.links[0].span_id) == (TRACE_BYTES, SPAN_BYTES)


def test_ids_in_logs_and_exemplars_are_hex_too() -> None:
    ids = {"traceId": TRACE, "spanId": SPAN}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{**ids, "body": {"stringValue": "a line"}}]}]}]}
    record = ExportLogsServiceRequest.FromString(to_protobuf(ExportLogsServiceRequest, json.dumps(logs).encode()))
    log = record.resource_logs[0].scope_logs[0].log_records[0]
    assert (log.trace_id, log.span_id, log.body.string_value) == (TRACE_BYTES, SPAN_BYTES, "a line")
    point = {"dataPoints": [{"exemplars": [{**ids, "asInt": "3"}]}]}
    for kind in ("gauge", "sum", "histogram", "exponentialHistogram"):
        tree = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "a", kind: point}]}]}]}
        found = to_protobuf(ExportMetricsServiceRequest, json.dumps(tree).encode())
        metric = ExportMetricsServiceRequest.FromString(found).resource_metrics[0].scope_metrics[0].metrics[0]
        exemplar = getattr(metric, metric.WhichOneof("data")).data_points[0].exemplars[0]
        assert (exemplar.trace_id, exemplar.span_id, exemplar.as_int) == (TRACE_BYTES, SPAN_BYTES, 3)


def as_otlp_json(message: Message) -> bytes:
    """Write OTLP/JSON by another way: protobuf's JSON, its ids turned from base64 into hex by their names."""

    def fix(node: Any) -> Any:
        if isinstance(node, list):
            return [fix(one) for one in node]
        if isinstance(node, dict):
            return {
                key: base64.b64decode(value).hex() if key in ("traceId", "spanId", "parentSpanId") else fix(value)
                for key, value in node.items()
            }
        return node

    return json.dumps(fix(json_format.MessageToDict(message, use_integers_for_enums=True))).encode()


@pytest.mark.parametrize("signal", [Signal.TRACES, Signal.METRICS])
def test_what_engines_sent_is_the_same_after_json(signal: Signal) -> None:
    kind = ExportMetricsServiceRequest if signal is Signal.METRICS else ExportTraceServiceRequest
    for name, body in recordings(signal).items():
        message = kind.FromString(body)
        assert kind.FromString(to_protobuf(kind, as_otlp_json(message))) == message, name


@pytest.mark.parametrize(
    ("span", "place"),
    [
        ({"traceId": "xyz"}, r"resourceSpans\[0\].scopeSpans\[0\].spans\[0\].traceId is no hex"),
        ({"spanId": "abc"}, "spanId is no hex"),
        ({"spanId": "ab cd"}, "spanId is no hex"),
        ({"parentSpanId": 12}, "parentSpanId is no hex"),
        ({"links": [{}, {"traceId": ["ab"]}]}, r"links\[1\].traceId is no hex"),
        ({"startTimeUnixNano": "tomorrow"}, "startTimeUnixNano"),
        ({"attributes": {"a": 1}}, "attributes"),
        ({"name": 7}, "name"),
        ({"name": "\ud800"}, "surrogate"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(span: dict[str, Any], place: str) -> None:
    with pytest.raises(Malformed, match=place):
        to_protobuf(ExportTraceServiceRequest, spans(span))


def test_an_id_that_is_null_is_not_set_and_of_two_equal_keys_the_last_counts() -> None:
    assert read(spans({"traceId": None, "name": "a"})).trace_id == b""
    assert read(b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a","name":"b"}]}]}]}').name == "b"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"3",
        b"{",
        b'{"resourceSpans": 3}',
        b'{"resourceSpans": [3]}',
        b"\xff{}",
        b'{"a":"\xff"}',
        b'{"resourceSpans":' * 2000,
        b'{"resourceSpans":' + b"[" * 900 + b"]" * 900 + b"}",
        b"[" + b"," * MOST_PARTS,
    ],
    ids=range(11),
)
def test_what_is_no_request_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        to_protobuf(ExportTraceServiceRequest, body)


KEYS = st.sampled_from(["resourceSpans", "scopeSpans", "spans", "traceId", "attributes", "value", "kind", "name", "x"])
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(TREES)
def test_no_tree_raises_anything_else(tree: Any) -> None:
    for body in (tree, {"resourceSpans": tree}, {"resourceSpans": [{"scopeSpans": [{"spans": [tree]}]}]}):
        try:
            found = to_protobuf(ExportTraceServiceRequest, json.dumps(body).encode())
        except Malformed:
            continue
        ExportTraceServiceRequest.FromString(found)


def test_answers_are_written_as_json() -> None:
    assert to_json(ExportTraceServiceResponse()) == b"{}"
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    answer.partial_success.error_message = "no"
    assert json.loads(to_json(answer)) == {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "no"}}
