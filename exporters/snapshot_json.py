# SPDX-License-Identifier: Apache-2.0
"""The snapshot as JSON, under OpenTelemetry names: /api/v1/snapshot."""

from typing import Any

import msgspec

from agent.clock import NS, Clock
from agent.entity import attributes
from agent.snapshot import Snapshot


def snapshot_json(snapshot: Snapshot, resource: dict[str, str], clock: Clock) -> bytes:
    """Write `{"resource", "metrics": [{"name", "unit", "type", "points": [{"attributes", "value", "time"}]}]}`.

    Times are seconds since the epoch.
    """
    metrics: dict[str, dict[str, Any]] = {}
    for batch in snapshot.batches.values():
        time = clock.unix_ns(batch.time) / NS
        for series, value in batch.samples():
            metric = series.metric
            entry = metrics.setdefault(
                metric.name,
                {"name": metric.name, "unit": metric.unit.ucum, "type": type(metric).__name__.lower(), "points": []},
            )
            entry["points"].append({"attributes": dict(attributes(series.entity)), "value": value, "time": time})
    return msgspec.json.encode({"resource": resource, "metrics": list(metrics.values())})
