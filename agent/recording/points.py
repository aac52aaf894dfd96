# SPDX-License-Identifier: Apache-2.0
"""Rows of the timeline as lines of OTLP/JSON: one ExportMetricsServiceRequest for all rows of a second."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from agent.entity import attributes
from agent.metric import Metric, Series
from agent.version import VERSION

_CUMULATIVE = 2
_MOST = 16_384
"""Series whose attributes are kept encoded."""


class Row(NamedTuple):
    """Values that were read at one time, ns of the monotonic clock; None is absent."""

    series: tuple[Series, ...]
    time: int
    values: Sequence[float | None]


class Points:
    """Encodes rows, all from the same sender."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        """Say with each line who sent it: `resource` are its attributes."""
        self._resource = {"attributes": _pairs(resource.items())}
        self._named: dict[Series, msgspec.Raw] = {}

    def line(self, rows: Iterable[Row], offset: int) -> tuple[bytes, int]:
        """Encode rows. `offset` is unix time minus monotonic time, ns. Gives the line, without its end, and points."""
        found: dict[Metric[Any], list[dict[str, Any]]] = {}
        count = 0
        for series, time, values in rows:
            stamp = str(time + offset)
            for one, value in zip(series, values, strict=True):
                if value is not None and isfinite(value):
                    point = {"attributes": self._attributes(one), "timeUnixNano": stamp, "asDouble": float(value)}
                    found.setdefault(one.metric, []).append(point)
                    count += 1
        metrics = [_metric(metric, points) for metric, points in found.items()]
        scope = {"scope": {"name": "joulespan", "version": VERSION}, "metrics": metrics}
        tree = {"resourceMetrics": [{"resource": self._resource, "scopeMetrics": [scope]}]}
        return msgspec.json.encode(tree), count

    def _attributes(self, series: Series) -> msgspec.Raw:
        found = self._named.get(series)
        if found is None:
            if len(self._named) >= _MOST:  # Processes come and go: forget, never grow.
                self._named.clear()
            found = self._named[series] = msgspec.Raw(msgspec.json.encode(_pairs(attributes(series.entity))))
        return found


def _pairs(told: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in told]


def _metric(metric: Metric[Any], points: list[dict[str, Any]]) -> dict[str, Any]:
    named = {"name": metric.name, "unit": metric.unit.ucum}
    if metric.monotonic:
        return {**named, "sum": {"dataPoints": points, "aggregationTemporality": _CUMULATIVE, "isMonotonic": True}}
    return {**named, "gauge": {"dataPoints": points}}
