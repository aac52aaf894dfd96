# SPDX-License-Identifier: Apache-2.0
"""The HTTP interface: what is answered to whom, and in which form."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.catalogue.gpu import GPU_INFO, POWER
from agent.clock import FakeClock
from agent.entities import Gpu, GpuInfo
from agent.snapshot import Snapshot, Snapshots, Source
from exporters.http import HttpInterface

GPU = Gpu("GPU-1", "gpu0")
OPENMETRICS = "application/openmetrics-text"
PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class View:
    """A view that is what the test makes it."""

    def __init__(self) -> None:
        self.snapshots = Snapshots()
        self.is_ready = True
        hostile = GpuInfo(GPU, model="<script>alert(1)</script>")
        self.snapshots.put_samples(Source("test", GPU.id), [POWER(GPU, 300), GPU_INFO(hostile, 1)], 0)

    def grow(self) -> "View":
        """Add what makes compression worth it."""
        more = [POWER(Gpu(f"GPU-{number}", f"gpu{number}"), number) for number in range(2, 40)]
        self.snapshots.put_samples(Source("more"), more, 0)
        return self

    def snapshot(self) -> Snapshot:
        return self.snapshots.current

    def ready(self) -> bool:
        return self.is_ready


def interface(view: View | None = None, **options: Any) -> HttpInterface:
    return HttpInterface(view or View(), FakeClock(), {"host.name": "node<1>", "service.version": "1"}, **options)


def ask(
    app: HttpInterface, path: str = "/metrics", method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Make an ASGI request."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(app({"type": "http", "method": method, "path": path, "headers": pairs}, receive, send))
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4"),
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("nonsense;;;q=x", "text/plain; version=0.0.4"),
        ("text/plain;version=latest", "text/plain; version=0.0.4"),
        (OPENMETRICS + ";version=1.0.0-rc", "text/plain; version=0.0.4"),
    ],
)
def test_the_format_is_what_the_scraper_asks_for(accept: str, expected: str) -> None:
    status, headers, body = ask(interface(), accept=accept)
    assert status == 200
    assert headers["content-type"].startswith(expected)
    assert body.endswith(b"# EOF\n") == (expected == OPENMETRICS)


@settings(deadline=None)
@given(st.binary() | st.text("aptexlinom/-;=,.q0123 ").map(str.encode))
def test_no_accept_header_is_an_error(accept: bytes) -> None:
    assert interface().answer("GET", "/metrics", {b"accept": accept}).status == 200


def test_gzip_is_used_where_it_is_accepted_and_holds_the_same() -> None:
    app = interface(View().grow())
    _, plain, text = ask(app)
    _, headers, packed = ask(app, accept_encoding="deflate, gzip;q=0.8")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == text
    assert "content-encoding" not in plain
    assert "content-encoding" not in ask(app, accept_encoding="gzip;q=0")[1]


def test_a_changed_snapshot_is_never_answered_from_what_was_kept() -> None:
    view = View().grow()
    app = interface(view)
    before = ask(app, accept_encoding="gzip")[2]
    view.snapshots.put_samples(Source("test", GPU.id), [POWER(GPU, 301)], 1)
    app.updated()
    after = gzip.decompress(ask(app, accept_encoding="gzip")[2])
    assert b" 301.0\n" in after
    assert b" 300.0\n" in gzip.decompress(before)


def test_head_has_the_length_and_no_body() -> None:
    app = interface()
    _, headers, body = ask(app, method="HEAD")
    assert body == b""
    assert int(headers["content-length"]) == len(ask(app)[2])


def test_other_paths_and_methods_are_refused_with_what_there_is() -> None:
    status, _, body = ask(interface(), "/nothing")
    assert (status, b"/metrics" in body) == (404, True)
    status, headers, _ = ask(interface(), method="POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_a_token_is_asked_for_except_by_the_health_checks() -> None:
    app = interface(token="secret")
    assert ask(app)[0] == 401
    assert ask(app)[1]["www-authenticate"] == "Bearer"
    assert ask(app, authorization="Bearer wrong")[0] == 401
    assert ask(app, "/api/v1/snapshot")[0] == 401
    assert ask(app, authorization="Bearer secret")[0] == 200
    assert [ask(app, path)[0] for path in ("/healthz", "/readyz")] == [200, 200]


def test_it_is_ready_when_the_view_is() -> None:
    view = View()
    view.is_ready = False
    assert ask(interface(view), "/readyz")[0] == 503
    assert ask(interface(view), "/healthz")[0] == 200


def test_the_snapshot_has_opentelemetry_names_units_and_times() -> None:
    found = json.loads(ask(interface(), "/api/v1/snapshot")[2])
    assert found["resource"]["service.version"] == "1"
    power = next(metric for metric in found["metrics"] if metric["name"] == "hw.power")
    assert (power["unit"], power["type"]) == ("W", "gauge")
    (point,) = power["points"]
    assert point == {
        "attributes": {"hw.id": "GPU-1", "hw.type": "gpu", "hw.name": "gpu0"},
        "value": 300.0,
        "time": 1_700_000_000.0,
    }


def test_a_number_that_json_does_not_have_is_null() -> None:
    view = View()
    view.snapshots.put_samples(Source("odd"), [POWER(GPU, float("nan")), POWER(Gpu("GPU-2", "gpu1"), float("inf"))], 0)
    found = json.loads(ask(interface(view), "/api/v1/snapshot")[2])
    power = next(metric for metric in found["metrics"] if metric["name"] == "hw.power")
    assert [point["value"] for point in power["points"]] == [300.0, None, None]


def test_the_page_escapes_what_devices_are_called_and_marks_a_demo() -> None:
    page = ask(interface(demo=True), "/")[2].decode()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "node&lt;1&gt;" in page
    assert "simulated" in page
    assert "simulated" not in ask(interface(), "/")[2].decode()


def test_scrapes_and_points_are_counted() -> None:
    app = interface()
    ask(app)
    ask(app, accept=PROMETHEUS_3)
    found = {series.metric.name: value for series, value in app.samples()}
    assert found["joulespan.exporter.requests"] == 2
    assert found["joulespan.exporter.points"] == 4
