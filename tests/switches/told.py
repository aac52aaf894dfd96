# SPDX-License-Identifier: Apache-2.0
"""What switches tell, and what is made of it."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from agent.clock import NS, FakeClock
from agent.collectors.switches import NAME, Switches
from agent.dialects.switches.fabric import IN_BYTES, IN_WORDS
from agent.dialects.switches.reading import SwitchReader
from agent.entity import attributes
from agent.exposition import Parser
from agent.metric import Distribution, Metric, Sample
from agent.otlp.json_form import to_protobuf
from agent.snapshot import Snapshots

FIXTURES = Path(__file__).parents[1] / "fixtures" / "switch"
T0 = 1_745_875_691_233_000_000
"""When the first of the fixtures was told, unix ns."""


def export(name: str) -> ExportMetricsServiceRequest:
    """An export of a fixture."""
    return _decoded((FIXTURES / name).read_bytes())


def request(*metrics: Mapping[str, Any], switch: str = "leaf-01") -> ExportMetricsServiceRequest:
    """An export of these metrics, as OTLP/JSON has them."""
    named = [{"key": "net.host.name", "value": {"stringValue": switch}}] if switch else []
    tree = {"resourceMetrics": [{"resource": {"attributes": named}, "scopeMetrics": [{"metrics": [*metrics]}]}]}
    return _decoded(json.dumps(tree).encode())


def point(value: float, seconds: float = 0, **labels: str | int) -> dict[str, Any]:
    """A point of a number, so many seconds after the first."""
    named = [
        {"key": key, "value": {"intValue": str(told)} if isinstance(told, int) else {"stringValue": told}}
        for key, told in labels.items()
    ]
    return {"attributes": named, "timeUnixNano": str(T0 + int(seconds * NS)), "asDouble": value}


def gauge(name: str, *points: Mapping[str, Any]) -> dict[str, Any]:
    """A metric of the kind that most of a switch's counters have."""
    return {"name": name, "gauge": {"dataPoints": [*points]}}


def buckets(counts: list[int], bounds: list[float], seconds: float = 0, **labels: str | int) -> dict[str, Any]:
    """A point of a histogram, as Spectrum tells it: without a sum."""
    told = {key: one for key, one in point(0, seconds, **labels).items() if key != "asDouble"}
    return {**told, "bucketCounts": [str(one) for one in counts], "explicitBounds": bounds, "count": str(sum(counts))}


class Hearing:
    """A node that hears of switches."""

    def __init__(self, most: int = 20_000) -> None:
        self.clock = FakeClock(epoch_ns=T0 - 1_000 * NS)
        self.snapshots = Snapshots()
        self.switches = Switches(self.snapshots, self.clock, threading.Lock, most)
        self.told: list[Sample] = []

    def hear(self, *requests: ExportMetricsServiceRequest) -> "Hearing":
        """Take in exports, and look."""
        for one in requests:
            self.switches.take(one)
        self.look()
        return self

    def scrape(self, fixture: str, kind: str, *, data_unit: str = "words", include: str = "") -> "Hearing":
        """Take in a page, and look."""
        table = (IN_BYTES if data_unit == "bytes" else IN_WORDS)[kind]
        page = Parser().parse((FIXTURES / fixture).read_bytes())
        self.switches.page(SwitchReader(table, source="page"), page, "page", lambda switch: include in switch)
        self.look()
        return self

    def look(self) -> None:
        """Have the snapshot brought up to date."""
        self.told = list(self.switches.read())

    def value(self, metric: Metric[Any], **labels: str) -> float | None:
        """The value of the one series of a metric that has these labels; None where there is none."""
        found = [
            one.value
            for one in (*self.snapshots.current.samples(), *self.told)
            if one.series.metric is metric and labels.items() <= _named(one).items()
        ]
        assert len(found) <= 1, found
        return found[0] if found else None

    def distribution(self, metric: Metric[Any]) -> Distribution | None:
        """The one distribution of a metric."""
        found = [one for one in self.snapshots.current.distributions() if one.series.metric is metric]
        assert len(found) <= 1, found
        return found[0] if found else None

    def text(self) -> str:
        """All that is known of switches, as a golden file has it."""
        lines = [f"{one.series.metric.name}{_labels(one)} {one.value!r}" for one in self.snapshots.current.samples()]
        lines += [
            f"{one.series.metric.name}{_labels(one)} {list(one.counts)} {list(one.buckets)} sum {one.total}"
            for one in self.snapshots.current.distributions()
        ]
        lines += [f"{one.series.metric.name}{_labels(one)} {one.value!r}" for one in self.told]
        return "".join(f"{line}\n" for line in sorted(lines))

    def sources(self) -> set[str]:
        """The switches that something is said of."""
        return {source.device for source in self.snapshots.current.batches if source.collector == NAME}


def _decoded(body: bytes) -> ExportMetricsServiceRequest:
    found = ExportMetricsServiceRequest()
    found.ParseFromString(to_protobuf(ExportMetricsServiceRequest, body))
    return found


def _named(one: Sample | Distribution) -> dict[str, str]:
    return {name.replace(".", "_"): value for name, value in attributes(one.series.entity)}


def _labels(one: Sample | Distribution) -> str:
    return "{" + ",".join(f"{name}={value}" for name, value in attributes(one.series.entity)) + "}"
