# SPDX-License-Identifier: Apache-2.0
"""The part of the OTLP export that needs opentelemetry-sdk: imported only where metrics are pushed.

Importing it and the exporter of one protocol costs 110 to 150 ms and 15 to 30 MiB.
"""

import logging
import threading
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from agent.errors import ConfigError
from agent.metric import Metric, UpDownCounter
from agent.version import VERSION
from exporters.otlp_points import Push
from exporters.otlp_settings import OtlpSettings

_MOST_POINTS = 8192
"""Points in one gRPC message: servers refuse more than 4 MiB by default, and a point has up to 400 bytes."""

_RETRYABLE = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
"""gRPC codes after which the OTLP specification has a client try again. After any other it must not."""

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
        try:
            self._exporter = _grpc(settings) if protocol == "grpc" else _http(settings)
        except OSError as error:
            message = f"exporters.otlp: cannot read {error.filename}: {error.strerror}"
            raise ConfigError(message) from error
        except Exception as error:  # The SDK has its own, unrelated types for each variable that is wrong.
            message = f"exporters.otlp: {error}"
            raise ConfigError(message) from error
        self._words = _Words()

    def send(self, push: Push) -> Outcome:
        """Send, and wait for the answer; the SDK tries again within its timeout. From one thread only."""
        self._words.listen()
        try:
            result = self._exporter.export(self._data(push))
        except Exception as error:  # noqa: BLE001 - the thread must not end with one push
            return Outcome(taken=False, cause=f"{type(error).__name__}: {error}", again=False)
        if result is sdk.MetricExportResult.SUCCESS:
            return Outcome(taken=True)
        return Outcome(taken=False, cause=self._words.cause, again=not self._words.refused)

    def close(self) -> None:
        """Give up what is in flight, from any thread."""
        self._exporter.shutdown()
        self._words.close()

    def _data(self, push: Push) -> sdk.MetricsData:
        found: dict[Metric[Any], list[sdk.NumberDataPoint]] = {}
        for metric, attributes, start, time, value in push.points():
            found.setdefault(metric, []).append(sdk.NumberDataPoint(attributes, start, time, value, ()))
        metrics = [sdk.Metric(one.name, one.brief, one.unit.ucum, _typed(one, points)) for one, points in found.items()]
        scoped = sdk.ScopeMetrics(self._scope, metrics, "")
        return sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scoped], "")])


def _typed(metric: Metric[Any], points: list[sdk.NumberDataPoint]) -> sdk.Sum | sdk.Gauge:
    if metric.monotonic or isinstance(metric, UpDownCounter):
        return sdk.Sum(points, sdk.AggregationTemporality.CUMULATIVE, metric.monotonic)
    return sdk.Gauge(points)


def _grpc(settings: OtlpSettings) -> sdk.MetricExporter:
    from grpc import ssl_channel_credentials  # type: ignore[import-untyped]  # noqa: PLC0415 - 11 MiB that HTTP does not need
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

    files = (settings.certificate, settings.client_key, settings.client_certificate)
    return OTLPMetricExporter(
        endpoint=settings.endpoint or None,
        insecure=True if settings.endpoint.startswith("http://") else None,
        credentials=ssl_channel_credentials(*(Path(one).read_bytes() if one else None for one in files))
        if any(files)
        else None,
        headers={name.lower(): value for name, value in settings.headers.items()} or None,
        timeout=settings.timeout,
        max_export_batch_size=_MOST_POINTS,
    )


def _http(settings: OtlpSettings) -> sdk.MetricExporter:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
    from requests import Response, Session  # noqa: PLC0415

    def refuse_redirect(response: Response, *_: object, **__: object) -> None:
        # The SDK neither follows a redirect nor counts it as a failure: every push would be lost and called sent.
        status = HTTPStatus(response.status_code)
        if status.is_redirection:
            message = f"{status.value}, a redirect to {response.headers.get('location')}: configure that address"
            raise ValueError(message)

    for file in filter(None, (settings.certificate, settings.client_key, settings.client_certificate)):
        Path(file).read_bytes()
    session = Session()
    session.hooks["response"].append(refuse_redirect)
    return OTLPMetricExporter(
        endpoint=_signal(settings.endpoint) or None,
        certificate_file=settings.certificate or None,
        client_key_file=settings.client_key or None,
        client_certificate_file=settings.client_certificate or None,
        headers=settings.headers or None,
        timeout=settings.timeout,
        session=session,
    )


def _signal(endpoint: str) -> str:
    """Make the address for metrics of a base address."""
    if not endpoint or endpoint.endswith("/v1/metrics"):
        return endpoint
    return f"{endpoint.removesuffix('/')}/v1/metrics"


class _Words(logging.Filter):
    """Hears what the SDK logs about our exports, and keeps it from the log.

    export() only says that it failed. Why, and with which code, is in its log records alone.
    """

    def __init__(self) -> None:
        """Hear nothing until the first listen()."""
        super().__init__()
        self._thread = 0
        self.cause = ""
        self.refused = False
        for name in _LOGGERS:
            # Before the SDK's own filter, which swallows what was said in the last 20 s.
            logging.getLogger(name).filters.insert(0, self)

    def listen(self) -> None:
        """Begin an export of the calling thread."""
        self._thread = threading.get_ident()
        self.cause, self.refused = "", False

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a record of our thread; let every other pass."""
        if record.thread != self._thread:
            return True
        said = tuple(record.args or ())
        self.refused = any(_refuses(one) for one in said)
        # The last record of an HTTP export that was tried several times names only the signal, not the cause.
        if len(said) > 1 or not self.cause:
            self.cause = " ".join(record.getMessage().partition(", retrying in")[0].split())
        return False

    def close(self) -> None:
        """Let everything pass again."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)


def _refuses(word: object) -> bool:
    """Tell the gRPC codes and HTTP statuses that forbid to try again; of the latter the SDK names no others."""
    if isinstance(word, Enum):
        return word.name not in _RETRYABLE
    return isinstance(word, int) and word >= HTTPStatus.BAD_REQUEST
