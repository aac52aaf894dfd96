# SPDX-License-Identifier: Apache-2.0
"""Metrics that came in are kept, the last word on each, within bounds and while they are true."""

import threading
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from agent.clock import NS
from agent.receivers.kept import KeptMetrics

TELEMETRY = Path(__file__).parents[1] / "fixtures/telemetry"


def request(service: str, *names: str, value: int = 1) -> ExportMetricsServiceRequest:
    found = ExportMetricsServiceRequest()
    resource = found.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    scope = resource.scope_metrics.add()
    scope.scope.name = "meter"
    for name in names:
        scope.metrics.add(name=name).gauge.data_points.add(as_int=value)
    return found


def values(kept: KeptMetrics, now: int) -> dict[tuple[object, str], int]:
    return {
        (one.resource["service.name"], one.metric.name): one.metric.gauge.data_points[0].as_int
        for one in kept.metrics(now)
    }


def test_the_last_word_on_each_metric_of_each_resource_is_kept() -> None:
    kept = KeptMetrics(threading.Lock())
    kept.put(request("a", "x", "y"), 0)
    kept.put(request("b", "x", value=2), 1)
    kept.put(request("a", "x", value=3), 2)
    assert values(kept, 3) == {("a", "x"): 3, ("a", "y"): 1, ("b", "x"): 2}


def test_what_is_not_said_again_is_forgotten() -> None:
    kept = KeptMetrics(threading.Lock())
    kept.put(request("a", "x"), 0)
    kept.put(request("a", "y"), 200 * NS)
    assert values(kept, 301 * NS) == {("a", "y"): 1}
    assert kept.dropped == 0


def test_the_oldest_go_when_there_is_no_room_and_are_counted() -> None:
    kept = KeptMetrics(threading.Lock(), most=2)
    kept.put(request("a", "x", "y", "z"), 0)
    assert values(kept, 1) == {("a", "y"): 1, ("a", "z"): 1}
    small = KeptMetrics(threading.Lock(), most_bytes=40)
    for number in range(10):
        small.put(request("a", f"name-{number}"), number)
    assert 0 < len(values(small, 10)) < 4
    assert kept.dropped == 1
    assert small.dropped == 10 - len(values(small, 10))
    assert small.fill <= 1


@pytest.mark.parametrize("path", sorted(TELEMETRY.glob("dynamo-*/otlpmetrics_*.pb")), ids=lambda path: path.name)
def test_what_dynamo_workers_push_is_kept_whole(path: Path) -> None:
    sent = ExportMetricsServiceRequest.FromString(path.read_bytes())
    kept = KeptMetrics(threading.Lock())
    kept.put(sent, 0)
    expected = [metric for one in sent.resource_metrics for scope in one.scope_metrics for metric in scope.metrics]
    found = [one.metric for one in kept.metrics(1)]
    assert sorted(one.SerializeToString() for one in found) == sorted(one.SerializeToString() for one in expected)
