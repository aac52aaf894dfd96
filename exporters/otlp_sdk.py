# SPDX-License-Identifier: Apache-2.0
"""The part of the OTLP export that needs opentelemetry-sdk: its types, and what encodes them. Imported late."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from agent.catalogue import METRICS, brief_of
from agent.metric import Exemplar, Metric, UpDownCounter
from agent.otlp.parcel import Parcel
from agent.version import VERSION
from exporters.otlp_points import HistogramPoint, Point, Push

_CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE
_MOST_POINTS = 4096
"""Points in one request: servers refuse more than 4 MiB by default, and a point takes 120 to 300 bytes."""


class Encoder:
    """Encodes pushes of one source of telemetry."""

    def __init__(self, resource: Mapping[str, str], receiver: str) -> None:
        """Encode what this resource says of itself; `receiver` is under which name the points are counted."""
        self._receiver = receiver
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope("joulespan", VERSION)

    def parcels(self, push: Push) -> Iterator[Parcel]:
        """Give a push as requests of at most 4096 points; of a histogram one for each series."""
        points, histograms = push.points(), push.histograms()
        while True:
            numbers = list(islice(points, _MOST_POINTS))
            distributions = list(islice(histograms, _MOST_POINTS - len(numbers)))
            if not numbers and not distributions:
                return
            request = encode_metrics(self._data(numbers, distributions))
            yield Parcel(request.SerializeToString(), {self._receiver: len(numbers) + len(distributions)})

    def _data(self, points: Iterable[Point], distributions: Iterable[HistogramPoint]) -> sdk.MetricsData:
        found: dict[Metric[Any], list[sdk.NumberDataPoint]] = {}
        for metric, attributes, start, time, value in points:
            found.setdefault(METRICS[metric.name], []).append(sdk.NumberDataPoint(attributes, start, time, value, ()))
        histograms: dict[Metric[Any], list[sdk.HistogramDataPoint]] = {}
        for point in distributions:
            histograms.setdefault(point.distribution.series.metric, []).append(_histogram(point))
        metrics = [_metric(one, _typed(one, points)) for one, points in found.items()]
        metrics += [_metric(one, sdk.Histogram(points, _CUMULATIVE)) for one, points in histograms.items()]
        scoped = sdk.ScopeMetrics(self._scope, metrics, "")
        return sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scoped], "")])


def _metric(metric: Metric[Any], data: sdk.Sum | sdk.Gauge | sdk.Histogram) -> sdk.Metric:
    return sdk.Metric(metric.name, brief_of(metric.name), metric.unit.ucum, data)


def _typed(metric: Metric[Any], points: list[sdk.NumberDataPoint]) -> sdk.Sum | sdk.Gauge:
    if metric.monotonic or isinstance(metric, UpDownCounter):
        return sdk.Sum(points, _CUMULATIVE, metric.monotonic)
    return sdk.Gauge(points)


def _histogram(point: HistogramPoint) -> sdk.HistogramDataPoint:
    told, named, start, time = point
    return sdk.HistogramDataPoint(
        named,
        start,
        time,
        told.observations,
        told.total,  # type: ignore[arg-type]  # optional in OTLP
        told.counts,
        told.buckets,
        min=None,  # type: ignore[arg-type]  # optional in OTLP, and left out when None
        max=None,  # type: ignore[arg-type]
        exemplars=[_exemplar(one) for one in told.exemplars if one],
    )


def _exemplar(exemplar: Exemplar) -> SdkExemplar:
    value, trace_id, span_id, time = exemplar
    # An id of zeros is none, to whoever reads it.
    return SdkExemplar({}, float(value), time, int(span_id or "0", 16), int(trace_id, 16))
