# SPDX-License-Identifier: Apache-2.0
"""What would take much memory is told before it is decoded, and what is merely large is not."""

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agent.otlp import bounds
from agent.otlp.protobuf import Malformed, field


def check(data: bytes, shape: bounds.Shape, most: int = 40_000) -> None:
    bounds.check(data, shape, most)


def test_the_shapes_lead_to_every_message_and_list() -> None:
    span = bounds.TRACES[1][2][2]  # type: ignore[index] # each of them is a message
    assert span is not None
    assert {9, 11, 13, 15} <= span.keys()
    assert 1 not in span
    point = bounds.METRICS[1][2][2][10][1]  # type: ignore[index] # as above
    assert point is not None
    assert point[8] == {2: None}, "the buckets of an exponential histogram take eight bytes for one"
    entity = bounds.LOGS[1][1][3]  # type: ignore[index] # as above
    assert entity is not None
    assert entity.keys() == {3, 4}


@pytest.mark.parametrize(
    "part",
    [
        b"\x4a\0",
        b"\x6a\0",
        b"\x5a\0",
        field(9, field(2, field(5, b"\x0a\0" * 100))),
        field(9, field(2, field(6, b"\x0a\0" * 100))),
        field(11, b"\x1a\0" * 100),
        b"\x30\x01",
        b"\xa0\x06\x01",
    ],
)
def test_too_many_parts_of_any_kind_are_malformed(part: bytes) -> None:
    with pytest.raises(Malformed, match="more than 10000 attributes"):
        check(part * (200_000 // len(part)), bounds.SPAN)


def test_ten_thousand_attributes_are_counted_exactly() -> None:
    # Five for each: an object, and its key.
    attribute = field(9, field(1, b"a"))
    check(attribute * 8000, bounds.SPAN)
    with pytest.raises(Malformed):
        check(attribute * 8001, bounds.SPAN)


def test_a_long_text_is_one_part() -> None:
    check(Span(name="n" * 10_000_000).SerializeToString(), bounds.SPAN)


def test_depth_is_bounded() -> None:
    inner = b""
    for _ in range(40):
        inner = field(5, field(1, inner))
    with pytest.raises(Malformed, match="deep"):
        check(field(9, field(2, inner)) + field(5, b"n" * 100_000), bounds.SPAN)


def test_what_is_small_is_not_looked_at() -> None:
    check(b"\xff" * 20_000, bounds.SPAN)
    with pytest.raises(Malformed):
        check(b"\xff" * 20_001, bounds.SPAN)


def test_a_large_batch_of_every_kind_of_metric_is_no_harm() -> None:
    told = [KeyValue(key=f"key.{number}", value=AnyValue(string_value="value")) for number in range(8)]
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    numbers = [NumberDataPoint(attributes=told, as_double=1.0) for _ in range(2000)]
    histograms = [
        HistogramDataPoint(attributes=told, explicit_bounds=[0.1] * 14, bucket_counts=[300] * 15) for _ in range(2000)
    ]
    exponential = [ExponentialHistogramDataPoint(attributes=told) for _ in range(2000)]
    for point in exponential:
        point.positive.bucket_counts.extend([300] * 160)
        point.negative.bucket_counts.extend([1])
    quantile = SummaryDataPoint.ValueAtQuantile(quantile=0.5, value=1.0)
    summaries = [SummaryDataPoint(attributes=told, quantile_values=[quantile] * 4) for _ in range(2000)]
    metrics.add(name="gauge").gauge.data_points.extend(numbers)
    metrics.add(name="histogram").histogram.data_points.extend(histograms)
    metrics.add(name="exponential").exponential_histogram.data_points.extend(exponential)
    metrics.append(Metric(name="summary"))
    metrics[-1].summary.data_points.extend(summaries)
    body = request.SerializeToString()
    assert len(body) > 2_000_000
    bounds.check(body, bounds.METRICS, bounds.MOST_IN_REQUEST)


def test_a_large_batch_of_a_collector_is_no_harm() -> None:
    told = [KeyValue(key=f"gen_ai.key.{number}", value=AnyValue(string_value="value")) for number in range(40)]
    span = Span(trace_id=bytes(16), span_id=bytes(8), name="chat", kind=Span.SPAN_KIND_SERVER, attributes=told)
    span.start_time_unix_nano = span.end_time_unix_nano = 1 << 60
    raw = field(2, span.SerializeToString())
    bounds.check(field(1, field(2, raw * 8192)), bounds.TRACES, bounds.MOST_IN_REQUEST)
