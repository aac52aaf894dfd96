# SPDX-License-Identifier: Apache-2.0
"""The snapshot as JSON, under OpenTelemetry names: /api/v1/snapshot."""

from typing import Any

import msgspec

from agent.clock import NS, Clock
from agent.entity import attributes
from agent.metric import Distribution, Metric
from agent.snapshot import Snapshot


def snapshot_json(snapshot: Snapshot, resource: dict[str, str], clock: Clock) -> bytes:
    """Write `{"resource", "metrics": [{"name", "unit", "type", "points": [{"attributes", "value", "time"}]}]}`.

    Times are seconds since the epoch. A histogram has "bounds" beside its unit, and its points have "count", "sum" and
    "buckets" for "value": the counts up to each of the bounds and beyond the last, not added up. Where the source chose
    the bounds, each point has its own.
    """
    metrics: dict[str, dict[str, Any]] = {}
    for batch in snapshot.batches.values():
        time = clock.unix_ns(batch.time) / NS
        for series, value in batch.samples():
            entry = metrics.get(series.metric.name) or metrics.setdefault(series.metric.name, _entry(series.metric))
            entry["points"].append({"attributes": dict(attributes(series.entity)), "value": value, "time": time})
        for one in batch.distributions:
            bounds = {"bounds": one.buckets}
            own = one.bounds is not None
            entry = metrics.setdefault(one.series.metric.name, _entry(one.series.metric) | ({} if own else bounds))
            entry["points"].append(_point(one, time) | (bounds if own else {}))
    return msgspec.json.encode({"resource": resource, "metrics": list(metrics.values())})


def _entry(metric: Metric[Any]) -> dict[str, Any]:
    return {"name": metric.name, "unit": metric.unit.ucum, "type": type(metric).__name__.lower(), "points": []}


def _point(one: Distribution, time: float) -> dict[str, Any]:
    named = dict(attributes(one.series.entity))
    return {"attributes": named, "count": one.observations, "sum": one.total, "buckets": one.counts, "time": time}
