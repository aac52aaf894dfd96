# SPDX-License-Identifier: Apache-2.0
"""Groq's metrics, asked of a server of the test's own, that answers as the API of Prometheus does."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import FakeClock, SystemClock
from agent.collectors.groq import GroqMetrics
from agent.collectors.groq_answer import QUESTIONS, read
from agent.entity import attributes
from agent.errors import Unavailable
from agent.system.groq_api import GroqApi

NOW = 1_700_001_000.0
GOLDEN = Path(__file__).parents[1] / "golden" / "groq.txt"
LLAMA = {"model": "llama-3.3-70b-versatile", "project_id": "project_01"}
VALUES = {"rate5m": "12.5", "histogram_quantile(0.5": "0.25", "histogram_quantile(0.99": "1.5"}


def answer(*results: tuple[Mapping[str, Any], Any], status: str = "success") -> bytes:
    result = [{"metric": metric, "value": value} for metric, value in results]
    return json.dumps({"status": status, "data": {"resultType": "vector", "result": result}}).encode()


def good(query: str, at: float = NOW) -> bytes:
    """What the service would say."""
    value = next(value for key, value in reversed(VALUES.items()) if key in query)
    if "status_code" in query:
        return answer(({**LLAMA, "status_code": "200"}, [at, value]), ({**LLAMA, "status_code": "429"}, [at, "0"]))
    return answer((LLAMA, [at, value]))


class Asked(list[tuple[str, str, str | None]]):
    """Paths, queries and credentials of what came."""


@contextmanager
def serving(respond: Callable[[BaseHTTPRequestHandler, str], None]) -> Iterator[tuple[str, Asked]]:
    """Serve on a free port, until the block ends. `respond` gets the query."""
    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query).get("query", [""])[0]
            asked.append((parts.path, query, self.headers["Authorization"]))
            respond(self, query)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/metrics/prometheus", asked
        server.shutdown()
        thread.join()


def say(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "groq.key"
    path.write_text("gsk_secret\n")
    return path


def test_what_the_service_says_is_told_under_the_names_of_the_catalogue(key: Path) -> None:
    clock = FakeClock(epoch_ns=1_700_000_000 * 10**9)
    with serving(lambda handler, query: say(handler, good(query))) as (endpoint, asked):
        metrics = GroqMetrics(GroqApi(endpoint, key).ask, clock, 60)
        metrics.poll()
    assert [query for _, query, _ in asked] == [question.query for question in QUESTIONS]
    assert {path for path, _, _ in asked} == {"/v1/metrics/prometheus/api/v1/query"}
    assert {token for _, _, token in asked} == {"Bearer gsk_secret"}
    found = "".join(
        f"{one.series.metric.prometheus}{{{','.join('='.join(pair) for pair in attributes(one.series.entity))}}} "
        f"{one.value:g}\n"
        for one in metrics.read()
    )
    if not GOLDEN.exists():
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_the_last_answers_stand_for_three_rounds_and_then_the_failure_is_told() -> None:
    clock = FakeClock(epoch_ns=1_700_000_000 * 10**9)
    broken: list[bytes] = []
    metrics = GroqMetrics(lambda query: broken[0] if broken else good(query), clock, 60)
    assert list(metrics.read()) == []
    metrics.poll()
    broken.append(b"bad gateway")
    metrics.poll()
    assert list(metrics.read())
    clock.advance(181)
    with pytest.raises(Unavailable, match="no answer to a query"):
        list(metrics.read())


@pytest.mark.parametrize("status", [301, 401, 403, 429, 500])
def test_another_status_is_no_answer_and_no_redirect_is_followed(status: int, key: Path) -> None:
    with (
        serving(lambda handler, query: say(handler, good(query))) as (elsewhere, asked),
        serving(lambda handler, _: say(handler, b"{}", status, Location=elsewhere)) as (endpoint, _),
    ):
        with pytest.raises(Unavailable, match=str(status)) as error:
            GroqApi(endpoint, key).ask("q")
        assert "gsk_secret" not in str(error.value)
    assert asked == []


def test_an_answer_that_is_too_large_is_none(key: Path) -> None:
    with (
        serving(lambda handler, _: say(handler, bytes(100_000))) as (endpoint, _),
        pytest.raises(Unavailable, match="more than 1000 bytes"),
    ):
        GroqApi(endpoint, key, most=1000).ask("q")


def test_nobody_there_and_no_key_are_told_without_the_key(key: Path, tmp_path: Path) -> None:
    with serving(lambda handler, query: say(handler, good(query))) as (endpoint, _):
        pass
    with pytest.raises(Unavailable) as error:
        GroqApi(endpoint, key).ask("q")
    assert "gsk_secret" not in str(error.value)
    with pytest.raises(Unavailable, match="cannot be read"):
        GroqApi(endpoint, tmp_path / "none").ask("q")
    key.write_text("gsk\nX-Evil: 1")
    with pytest.raises(Unavailable, match="ValueError"):
        GroqApi(endpoint, key).ask("q")


def test_the_thread_asks_and_ends() -> None:
    asked = threading.Event()

    def ask(query: str) -> bytes:
        asked.set()
        return good(query)

    metrics = GroqMetrics(ask, SystemClock(), 60)
    metrics.start()
    assert asked.wait(60)
    metrics.stop(60)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[" * 100_000, answer(status="error"), answer((LLAMA, "5")), answer(({"model": 3}, [NOW, "1"]))],
)
def test_what_is_no_answer_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"answer|success"):
        read(QUESTIONS[0], body, NOW)


@pytest.mark.parametrize(
    "value", [[NOW, "NaN"], [NOW, "+Inf"], [NOW, "-1"], [NOW, "x"], [NOW - 700, "1"], [NOW, "1e99"]]
)
def test_values_that_are_none_or_old_are_left_out(value: object) -> None:
    assert read(QUESTIONS[0], answer((LLAMA, value)), NOW) == []


def test_series_of_an_answer_are_bounded_and_each_is_told_once() -> None:
    many = answer(*(({"model": f"m{number}"}, [NOW, "1"]) for number in range(2000)))
    assert len(read(QUESTIONS[1], many, NOW)) == 1000
    twice = answer((LLAMA, [NOW, "1"]), ({**LLAMA, "other": "label"}, [NOW, "2"]))
    assert [one.value for one in read(QUESTIONS[1], twice, NOW)] == [2]


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 20))
def test_a_damaged_answer_is_read_or_a_value_error(noise: bytes, at: int, cut: int) -> None:
    whole = good(QUESTIONS[0].query)
    try:
        found = read(QUESTIONS[0], whole[:at] + noise + whole[at + cut :], NOW)
    except ValueError:
        return
    assert len({one.series for one in found}) == len(found)
