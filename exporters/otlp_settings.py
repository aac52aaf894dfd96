# SPDX-License-Identifier: Apache-2.0
"""How metrics are pushed over OTLP: the configuration, and the OTEL_* variables that fill in what it leaves open.

Address, headers, timeout, compression and TLS files that are not configured are read by opentelemetry-sdk from
OTEL_EXPORTER_OTLP_METRICS_* and OTEL_EXPORTER_OTLP_*. Cumulative temporality is not a matter of choice.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from agent.errors import ConfigError

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("grpc", "http/protobuf")
_PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_INTERVAL_VARIABLE = "OTEL_METRIC_EXPORT_INTERVAL"
_INTERVAL = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """The configuration `exporters.otlp`. What is empty or None is left to the OTEL_* variables.

    `endpoint` is a base address: http:// is plain text, https:// is TLS, and HTTP appends /v1/metrics. `interval`
    and `timeout` are seconds, the latter of one push with the SDK's own tries. The last three are files in PEM.
    `queue` is how many pushes may wait for a back end that is away, at least 2.
    """

    endpoint: str = ""
    protocol: str = ""
    interval: float | None = None
    timeout: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""
    queue: int = 64


def enabled(config_endpoint: str, environ: Mapping[str, str]) -> bool:
    """Tell whether there is an address to push to."""
    return bool(config_endpoint or _first(environ, ENDPOINTS)[1])


def address(settings: OtlpSettings, environ: Mapping[str, str]) -> str:
    """Name the back end in a log line: without a password."""
    return re.sub("//[^/@]*@", "//", settings.endpoint or _first(environ, ENDPOINTS)[1])


def protocol(settings: OtlpSettings, environ: Mapping[str, str]) -> str:
    """Choose the protocol: grpc unless something else is asked for. Raises ConfigError."""
    name, value = _first(environ, _PROTOCOL_VARIABLES)
    if settings.protocol:
        name, value = "exporters.otlp.protocol", settings.protocol
    if value and value not in PROTOCOLS:
        message = f"{name}: {value!r} cannot be spoken, use one of {', '.join(PROTOCOLS)}"
        raise ConfigError(message)
    return value or PROTOCOLS[0]


def interval(settings: OtlpSettings, environ: Mapping[str, str]) -> float:
    """Choose the seconds between pushes; the variable is in milliseconds."""
    if settings.interval is not None:
        return settings.interval
    text = environ.get(_INTERVAL_VARIABLE, "").strip()
    try:
        seconds = float(text or _INTERVAL * 1000) / 1000
    except ValueError:
        seconds = 0.0
    if seconds > 0 and isfinite(seconds):
        return seconds
    log.warning("%s: %r is no number of milliseconds, using %g s", _INTERVAL_VARIABLE, text, _INTERVAL)
    return _INTERVAL


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """Find the first variable that is set, and its value."""
    return next(((name, environ[name].strip()) for name in names if environ.get(name, "").strip()), ("", ""))
