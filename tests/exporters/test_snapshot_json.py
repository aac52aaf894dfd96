# SPDX-License-Identifier: Apache-2.0
"""The snapshot as JSON: everything that is in the snapshot, under the names of the catalogue."""

import json
from typing import Any

from agent.catalogue.engine import REQUEST_DURATION as ENGINE_DURATION
from agent.catalogue.gpu import POWER
from agent.catalogue.requests import REQUEST_DURATION, TIME_TO_FIRST_TOKEN
from agent.clock import NS, FakeClock
from agent.entities import EngineModel, Gpu
from agent.request_entities import RequestClass
from agent.snapshot import Snapshots, Source
from exporters.snapshot_json import snapshot_json

GPU = Gpu("GPU-1", "gpu0")


def shown(snapshots: Snapshots, clock: FakeClock) -> list[dict[str, Any]]:
    metrics: list[dict[str, Any]] = json.loads(snapshot_json(snapshots.current, {}, clock))["metrics"]
    return metrics


def test_a_histogram_is_shown_with_its_bounds_counts_and_sum() -> None:
    clock, snapshots = FakeClock(), Snapshots()
    entity = RequestClass("vllm", None, "acme")
    told = REQUEST_DURATION.distribution(entity, [1, 2, *[0] * 12, 4], 400.5)
    snapshots.put_samples(Source("requests"), [told, POWER(GPU, 300)], clock.now)
    power, duration = shown(snapshots, clock)
    time = clock.unix_ns(clock.now) / NS
    assert (power["name"], power["points"][0]["value"]) == ("hw.power", 300)
    assert duration == {
        "name": "gen_ai.server.request.duration",
        "unit": "s",
        "type": "histogram",
        "bounds": list(REQUEST_DURATION.buckets),
        "points": [
            {
                "attributes": {"engine": "vllm", "tenant": "acme"},
                "count": 7,
                "sum": 400.5,
                "buckets": [1, 2, *[0] * 12, 4],
                "time": time,
            }
        ],
    }


def test_bounds_that_the_source_chose_stand_at_its_point() -> None:
    clock, snapshots = FakeClock(), Snapshots()
    for engine, bounds in (("a", (0.5, 1.0)), ("b", (2.0,))):
        told = ENGINE_DURATION.distribution(EngineModel(engine), [1] * (len(bounds) + 1), 3.0, (), bounds)
        snapshots.put_samples(Source(engine), [told], clock.now)
    (metric,) = shown(snapshots, clock)
    assert "bounds" not in metric
    assert [(point["bounds"], point["buckets"]) for point in metric["points"]] == [
        ([0.5, 1.0], [1, 1, 1]),
        ([2.0], [1, 1]),
    ]


def test_what_several_sources_say_of_a_metric_stands_in_one_place() -> None:
    clock, snapshots = FakeClock(), Snapshots()
    for engine in ("a", "b"):
        told = [
            metric.distribution(RequestClass(engine), [1] * (len(metric.buckets) + 1), 1.0)
            for metric in (REQUEST_DURATION, TIME_TO_FIRST_TOKEN)
        ]
        snapshots.put_samples(Source(engine), [*told, POWER(Gpu(engine, engine), 1)], clock.now)
    found = {metric["name"]: len(metric["points"]) for metric in shown(snapshots, clock)}
    assert found == {"hw.power": 2, REQUEST_DURATION.name: 2, TIME_TO_FIRST_TOKEN.name: 2}
    assert len(shown(snapshots, clock)) == 3
