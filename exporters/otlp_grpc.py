# SPDX-License-Identifier: Apache-2.0
"""OTLP over gRPC: the exporter of opentelemetry-sdk."""

from pathlib import Path

from grpc import ChannelCredentials, ssl_channel_credentials
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

from exporters.otlp_settings import OtlpSettings

_MOST_POINTS = 8192
"""Points in one message: servers refuse more than 4 MiB by default, and a point takes 120 to 300 bytes."""


def exporter(settings: OtlpSettings) -> OTLPMetricExporter:
    """Make the exporter. Raises OSError for a file that cannot be read."""
    return OTLPMetricExporter(
        endpoint=settings.endpoint or None,
        insecure=True if settings.endpoint.startswith("http://") else None,
        credentials=_credentials(settings),
        headers={name.lower(): value for name, value in settings.headers.items()} or None,
        timeout=settings.timeout,
        max_export_batch_size=_MOST_POINTS,
    )


def _credentials(settings: OtlpSettings) -> ChannelCredentials | None:
    files = (settings.certificate, settings.client_key, settings.client_certificate)
    if not any(files):
        return None
    return ssl_channel_credentials(*(Path(one).read_bytes() if one else None for one in files))
