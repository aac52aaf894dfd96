# SPDX-License-Identifier: Apache-2.0
"""How a signal is sent over OTLP: the configuration, and the OTEL_* variables that fill in what it leaves open.

Of each variable there are two, OTEL_EXPORTER_OTLP_TRACES_* and the like before OTEL_EXPORTER_OTLP_*. Cumulative
temporality is not a matter of choice.
"""

import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from agent.errors import ConfigError

log = logging.getLogger(__name__)

Signal: TypeAlias = Literal["traces", "metrics", "logs"]
GRPC, HTTP = PROTOCOLS = ("grpc", "http/protobuf")
_INTERVAL_VARIABLE = "OTEL_METRIC_EXPORT_INTERVAL"
_INTERVAL, _TIMEOUT = 15.0, 10.0
_HEADER_NAME, _HEADER_VALUE = re.compile(r"[0-9a-z_.-]+"), re.compile(r"[!-~]([ -~]*[!-~])?|")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """One part of the configuration, of which `key` is the name. What is empty or None is left to OTEL_* variables.

    `endpoint` is a base address: http:// is plain text, https:// is TLS, and HTTP appends /v1/metrics or the like.
    `interval` and `timeout` are seconds. Then three files in PEM.
    """

    endpoint: str = ""
    protocol: str = ""
    interval: float | None = None
    timeout: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""
    key: str = "exporters.otlp"


class Target(NamedTuple):
    """Where and how a signal is sent, when configuration and variables have been read.

    `url` is whole for HTTP and a base address for gRPC, which goes without TLS where `insecure`. Header names are in
    lower case, `timeout` is in seconds, the last three are files in PEM or empty; the key may be in the certificate's.
    """

    protocol: str
    url: str
    insecure: bool
    headers: Mapping[str, str]
    timeout: float
    gzip: bool
    certificate: str
    client_certificate: str
    client_key: str


def enabled(config_endpoint: str, environ: Mapping[str, str], signal: Signal = "metrics") -> bool:
    """Tell whether there is an address to send this signal to."""
    return bool(config_endpoint or _first(environ, variables(signal, "ENDPOINT"))[1])


def address(settings: OtlpSettings, environ: Mapping[str, str], signal: Signal = "metrics") -> str:
    """Name the back end in a log line: without a password."""
    endpoint = settings.endpoint or _first(environ, variables(signal, "ENDPOINT"))[1]
    return re.sub("//[^/@]*@", "//", endpoint)


def protocol(settings: OtlpSettings, environ: Mapping[str, str], signal: Signal = "metrics") -> str:
    """Choose the protocol: grpc unless something else is asked for. Raises ConfigError."""
    name, value = _first(environ, variables(signal, "PROTOCOL"))
    if settings.protocol:
        name, value = f"{settings.key}.protocol", settings.protocol
    if value and value not in PROTOCOLS:
        message = f"{name}: {value!r} cannot be spoken, use one of {', '.join(PROTOCOLS)}"
        raise ConfigError(message)
    return value or GRPC


def interval(settings: OtlpSettings, environ: Mapping[str, str]) -> float:
    """Choose the seconds between pushes; the variable is in milliseconds."""
    if settings.interval is not None:
        return settings.interval
    text = environ.get(_INTERVAL_VARIABLE, "").strip()
    if text and (milliseconds := _positive(text)):
        return milliseconds / 1000
    if text:
        log.warning("%s: %r is no number of milliseconds, using %g s", _INTERVAL_VARIABLE, text, _INTERVAL)
    return _INTERVAL


def target(settings: OtlpSettings, environ: Mapping[str, str], signal: Signal) -> Target:
    """Choose everything that opentelemetry-sdk would choose for its own exporter of this signal. Raises ConfigError."""
    spoken = protocol(settings, environ, signal)
    url = _url(settings, environ, signal, spoken)
    certificate, client_certificate, client_key = _files(settings, environ, signal)
    return Target(
        spoken,
        url,
        _insecure(url, environ, signal),
        _headers(settings, environ, signal),
        _timeout(settings, environ, signal),
        _gzip(environ, signal),
        certificate,
        client_certificate,
        client_key or client_certificate,
    )


def variables(signal: Signal, what: str) -> tuple[str, str]:
    """Name the two variables for something, the one that wins first."""
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}", f"OTEL_EXPORTER_OTLP_{what}"


def _url(settings: OtlpSettings, environ: Mapping[str, str], signal: Signal, spoken: str) -> str:
    """Find the address. A base address gets the path of the signal over HTTP; its own variable is taken as it is."""
    own, common = variables(signal, "ENDPOINT")
    name, endpoint = (f"{settings.key}.endpoint", settings.endpoint)
    if not endpoint:
        name, endpoint = _first(environ, (own, common))
    if not endpoint:
        message = f"{settings.key}.endpoint: there is no address, set it or {common}"
        raise ConfigError(message)
    if not _has_host(endpoint):
        message = f"{name}: {endpoint!r} is no address, write it as in http://collector:4317"
        raise ConfigError(message)
    path = f"/v1/{signal}"
    if spoken == GRPC or name == own or endpoint.endswith(path):
        return endpoint
    return endpoint.removesuffix("/") + path


def _has_host(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return parts.scheme not in ("http", "https") or bool(parts.hostname and parts.port != 0)
    except ValueError:  # The port is no number of 16 bits.
        return False


def _insecure(url: str, environ: Mapping[str, str], signal: Signal) -> bool:
    """Decide between plain text and TLS: the address does, unless it has no scheme."""
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        return scheme == "http"
    return _first(environ, variables(signal, "INSECURE"))[1].lower() == "true"


def _headers(settings: OtlpSettings, environ: Mapping[str, str], signal: Signal) -> dict[str, str]:
    from opentelemetry.util.re import parse_env_headers  # noqa: PLC0415 - only who sends pays for the library

    _, text = _first(environ, variables(signal, "HEADERS"))
    configured = {name.lower(): value for name, value in settings.headers.items()}
    headers = {**parse_env_headers(text, liberal=True), **configured}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            # The value may be a secret.
            message = f"{settings.key}.headers: {name!r} or its value has characters that no header can have"
            raise ConfigError(message)
    return headers


def _files(settings: OtlpSettings, environ: Mapping[str, str], signal: Signal) -> tuple[str, str, str]:
    """Choose the files, and read them once: later, a wrong one would look like a back end that is away."""
    certificate = settings.certificate or _first(environ, variables(signal, "CERTIFICATE"))[1]
    chain = settings.client_certificate or _first(environ, variables(signal, "CLIENT_CERTIFICATE"))[1]
    key = settings.client_key or _first(environ, variables(signal, "CLIENT_KEY"))[1]
    if key and not chain:
        message = f"{settings.key}.client_key: there is no client_certificate for it"
        raise ConfigError(message)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        for file in filter(None, (certificate, chain, key)):
            Path(file).read_bytes()  # What ssl raises does not name the file.
        if certificate:
            context.load_verify_locations(certificate)
        if chain:
            context.load_cert_chain(chain, key or None, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        message = (
            f"{settings.key}: {', '.join(filter(None, (certificate, chain, key)))}: no certificate in PEM: {error}"
        )
        raise ConfigError(message) from error
    except OSError as error:
        message = f"{settings.key}: cannot read {error.filename}: {error.strerror}"
        raise ConfigError(message) from error
    return certificate, chain, key


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _timeout(settings: OtlpSettings, environ: Mapping[str, str], signal: Signal) -> float:
    """Choose the seconds for one request; the variable is in seconds too, as opentelemetry-sdk for Python reads it."""
    if settings.timeout is not None:
        return settings.timeout
    name, text = _first(environ, variables(signal, "TIMEOUT"))
    if text and (seconds := _positive(text)):
        return seconds
    if text:
        log.warning("%s: %r is no number of seconds, using %g s", name, text, _TIMEOUT)
    return _TIMEOUT


def _gzip(environ: Mapping[str, str], signal: Signal) -> bool:
    name, value = _first(environ, variables(signal, "COMPRESSION"))
    if value.lower() not in ("", "none", "gzip"):
        log.warning("%s: %r is neither gzip nor none, sending uncompressed", name, value)
    return value.lower() == "gzip"


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value > 0 and isfinite(value) else None


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """Find the first variable that is set, and its value."""
    return next(((name, environ[name].strip()) for name in names if environ.get(name, "").strip()), ("", ""))
