# SPDX-License-Identifier: Apache-2.0
"""The part of the OTLP export that needs opentelemetry-sdk: imported only where metrics are pushed.

Importing it with the exporter of one protocol takes 0.15 to 0.2 s and 23 (HTTP) or 30 MiB (gRPC).
"""

import logging
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from agent.catalogue import METRICS, brief_of
from agent.errors import ConfigError
from agent.metric import Exemplar, Metric, UpDownCounter
from agent.version import VERSION
from exporters.otlp_points import HistogramPoint, Push
from exporters.otlp_settings import OtlpSettings

_RETRYABLE = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
"""gRPC codes after which the OTLP specification has a client try again. After any other it must not."""

_CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE
_LOGGERS = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.exporter.otlp.proto.http.metric_exporter")


class Outcome(NamedTuple):
    """What became of a push: it was taken, or why not and whether the same push may be taken later."""

    taken: bool
    cause: str = ""
    again: bool = True


class Backend:
    """An OTLP back end, reached by the exporter of opentelemetry-sdk, which also reads OTEL_EXPORTER_OTLP_*."""

    def __init__(self, settings: OtlpSettings, protocol: str, resource: Mapping[str, str]) -> None:
        """Prepare to send; nothing is connected yet. Raises ConfigError."""
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope("joulespan", VERSION)
        self._words = _Words()
        try:
            self._exporter = _exporter(settings, protocol, self._words.tell)
        except OSError as error:
            message = f"exporters.otlp: cannot read {error.filename}: {error.strerror}"
            raise ConfigError(message) from error
        except Exception as error:  # The SDK has its own, unrelated types for each variable that is wrong.
            message = f"exporters.otlp: {error}"
            raise ConfigError(message) from error

    def send(self, push: Push) -> Outcome:
        """Send, and wait for the answer; the SDK tries again within its timeout. From one thread only."""
        try:
            with self._words:
                result = self._exporter.export(self._data(push))
        except Exception as error:  # noqa: BLE001 - the thread must not end with one push
            return Outcome(taken=False, cause=f"{type(error).__name__}: {error}", again=False)
        if result is sdk.MetricExportResult.SUCCESS:
            return Outcome(taken=True)
        return Outcome(taken=False, cause=self._words.cause, again=not self._words.refused)

    def close(self) -> None:
        """Give up what is in flight, from any thread."""
        self._exporter.shutdown()

    def _data(self, push: Push) -> sdk.MetricsData:
        found: dict[Metric[Any], list[sdk.NumberDataPoint]] = {}
        for metric, attributes, start, time, value in push.points():
            found.setdefault(METRICS[metric.name], []).append(sdk.NumberDataPoint(attributes, start, time, value, ()))
        histograms: dict[Metric[Any], list[sdk.HistogramDataPoint]] = {}
        for point in push.histograms():
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


def _exporter(settings: OtlpSettings, protocol: str, tell: Callable[[str], None]) -> sdk.MetricExporter:
    if protocol == "grpc":
        from exporters import otlp_grpc  # noqa: PLC0415 - the library of the other protocol is not loaded

        return otlp_grpc.exporter(settings)
    from exporters import otlp_http  # noqa: PLC0415

    return otlp_http.exporter(settings, tell)


class _Words(logging.Filter):
    """Hears what the SDK logs about our exports, and keeps it from the log.

    export() only says that it failed. Why, and with which code, is in its log records alone.
    """

    def __init__(self) -> None:
        """Hear nothing yet."""
        super().__init__()
        self._thread = 0
        self.cause = ""
        self.refused = False

    def __enter__(self) -> None:
        """Begin to hear the calling thread."""
        self._thread = threading.get_ident()
        self.cause, self.refused = "", False
        for name in _LOGGERS:
            # Before the SDK's own filter, which swallows what was said in the last 20 s.
            logging.getLogger(name).filters.insert(0, self)

    def __exit__(self, *_: object) -> None:
        """Let everything pass again."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def tell(self, cause: str) -> None:
        """Hear a cause, in one line."""
        self.cause = " ".join(cause.split())

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a record of our thread; let every other pass."""
        if record.thread != self._thread:
            return True
        words = tuple(record.args or ())
        self.refused = any(_refuses(word) for word in words)
        # Over gRPC the last record says most. Over HTTP the session does, and the last one only that time is up.
        if not self.cause or any(isinstance(word, Enum) for word in words):
            self.tell(record.getMessage())
        return False


def _refuses(word: object) -> bool:
    """Tell the gRPC codes and HTTP statuses that forbid to try again; of the latter the SDK names no others."""
    if isinstance(word, Enum):
        return word.name not in _RETRYABLE
    return isinstance(word, int) and word >= HTTPStatus.BAD_REQUEST
