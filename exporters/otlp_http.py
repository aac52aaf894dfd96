# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP: the exporter of opentelemetry-sdk, on a session that tells what the exporter keeps to itself."""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from requests import RequestException, Response, Session

from exporters.otlp_settings import OtlpSettings

_MOST_WORDS = 200
"""Characters of an answer that are worth a place in a log line."""


class Redirected(RequestException):
    """The back end is somewhere else."""


class _Session(Session):
    """Tells why a request failed, and fails where the SDK takes for success a redirect that it does not follow."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def request(self, *args: Any, **kwargs: Any) -> Response:
        if self.verify is not True:
            # REQUESTS_CA_BUNDLE would win over the certificate of the session, but not over that of a request.
            kwargs["verify"] = self.verify
        try:
            response = super().request(*args, **kwargs)
        except RequestException as error:
            self._tell(str(error))
            raise
        status = f"{response.status_code} {response.reason}"
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            self._tell(f"{status}: {response.text[:_MOST_WORDS]}")
        elif response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            self._tell(f"{status}: moved to {response.headers.get('location')}")
            raise Redirected(status)
        return response


def exporter(settings: OtlpSettings, tell: Callable[[str], None]) -> OTLPMetricExporter:
    """Make the exporter; `tell` hears the cause of each failed try. Raises OSError for a file that cannot be read."""
    for file in filter(None, (settings.certificate, settings.client_key, settings.client_certificate)):
        Path(file).read_bytes()
    return OTLPMetricExporter(
        endpoint=signal(settings.endpoint) or None,
        certificate_file=settings.certificate or None,
        client_key_file=settings.client_key or None,
        client_certificate_file=settings.client_certificate or None,
        headers=settings.headers or None,
        timeout=settings.timeout,
        session=_Session(tell),
    )


def signal(endpoint: str) -> str:
    """Make the address for metrics of a base address."""
    if not endpoint or endpoint.endswith("/v1/metrics"):
        return endpoint
    return f"{endpoint.removesuffix('/')}/v1/metrics"
