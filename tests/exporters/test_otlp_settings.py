# SPDX-License-Identifier: Apache-2.0
"""Where and how a signal is sent follows the configuration, then opentelemetry's variables."""

from typing import get_args

import pytest
from opentelemetry.sdk import environment_variables

from agent.clock import FakeClock
from agent.errors import ConfigError
from exporters.otlp_forward import OtlpForward
from exporters.otlp_settings import OtlpSettings, Signal, enabled, target, variables


@pytest.mark.parametrize(
    ("endpoint", "environ", "insecure"),
    [
        ("http://a:4317", {}, True),
        ("https://a:4317", {"OTEL_EXPORTER_OTLP_INSECURE": "true"}, False),
        ("a:4317", {}, False),
        ("a:4317", {"OTEL_EXPORTER_OTLP_INSECURE": "True"}, True),
        ("a:4317", {"OTEL_EXPORTER_OTLP_INSECURE": "true", "OTEL_EXPORTER_OTLP_LOGS_INSECURE": "false"}, False),
    ],
)
def test_the_address_decides_on_tls_unless_it_has_no_scheme(
    endpoint: str, environ: dict[str, str], *, insecure: bool
) -> None:
    assert target(OtlpSettings(endpoint=endpoint), environ, "logs").insecure is insecure


def test_the_timeout_is_ten_seconds_unless_something_else_is_said(caplog: pytest.LogCaptureFixture) -> None:
    settings = OtlpSettings(endpoint="http://a")
    own, common = variables("traces", "TIMEOUT")
    assert target(settings, {}, "traces").timeout == 10
    assert target(settings, {common: "3", own: "2.5"}, "traces").timeout == 2.5
    assert target(settings, {common: "soon"}, "traces").timeout == 10
    assert [record.message for record in caplog.records] == [f"{common}: 'soon' is no number of seconds, using 10 s"]


@pytest.mark.parametrize("signal", get_args(Signal))
def test_every_variable_is_one_that_the_sdk_knows(signal: Signal) -> None:
    whats = ("ENDPOINT", "PROTOCOL", "INSECURE", "HEADERS", "TIMEOUT", "COMPRESSION", "CERTIFICATE", "CLIENT_KEY")
    named = {name for what in (*whats, "CLIENT_CERTIFICATE") for name in variables(signal, what)}
    assert named <= set(vars(environment_variables))


def test_a_signal_is_enabled_by_its_own_variable() -> None:
    assert enabled("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, "traces")
    assert not enabled("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, "logs")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"endpoint": ""}, "exporters.traces.endpoint: there is no address"),
        ({"protocol": "http"}, "exporters.traces.protocol: 'http'"),
        ({"certificate": "/no/such.pem"}, "exporters.traces: cannot read /no/such.pem"),
        ({"certificate": __file__}, "no certificate in PEM"),
        ({"client_key": __file__}, "exporters.traces.client_key: there is no client_certificate"),
        ({"headers": {"authorization": "Bearer t\n"}}, "exporters.traces.headers: 'authorization'"),
        ({"headers": {"a b": "c"}}, "exporters.traces.headers: 'a b'"),
        ({"endpoint": "ftp://a", "protocol": "http/protobuf"}, "cannot send traces"),
        ({"endpoint": "http://", "protocol": "http/protobuf"}, "exporters.traces.endpoint: 'http://' is no address"),
        ({"endpoint": "https://a:99999"}, "is no address"),
    ],
)
def test_what_cannot_work_is_a_configuration_error(settings: dict[str, object], words: str) -> None:
    chosen = {"endpoint": "https://127.0.0.1:1", "key": "exporters.traces"} | settings
    with pytest.raises(ConfigError, match=words):
        OtlpForward("traces", OtlpSettings(**chosen), FakeClock(), {})  # type: ignore[arg-type]
