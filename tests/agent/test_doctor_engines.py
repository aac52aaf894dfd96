# SPDX-License-Identifier: Apache-2.0
"""What doctor says of engines, from an agent that answers, answers badly, or does not answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from agent.catalogue import own
from agent.catalogue.engine import REQUESTS_RUNNING
from agent.catalogue.gpu import PROCESS_COUNT
from agent.catalogue.requests import ENGINE_GPU, REQUEST_DURATION, REQUEST_UNMAPPED
from agent.clock import FakeClock
from agent.commands import doctor
from agent.commands.engines import ADVICE, Engine, Engines, Unmapped, ask, engines_in
from agent.config_values import Address
from agent.entities import EngineModel, Gpu
from agent.metric import Distribution, Sample
from agent.processors.senders import Reason
from agent.reader.examine import GpuReport, Report
from agent.request_entities import EngineGpu, RequestClass, RequestGap
from agent.scrape_entities import ScrapedEngine, ScrapeInfo
from agent.scraping.page import INTERNAL, UNRECOGNISED
from agent.snapshot import Snapshots, Source
from agent.system.http_client import Reason as FetchReason
from exporters.snapshot_json import snapshot_json

GPU = Gpu("GPU-00000001-1111-2222-3333-444444444444", "gpu1")
MIG = "MIG-0000000a-1111-2222-3333-444444444444"


def snapshot() -> bytes:
    snapshots = Snapshots()
    buckets = len(REQUEST_DURATION.buckets) + 1
    duration = Distribution(REQUEST_DURATION.series(RequestClass("chat")), [0] * buckets, 0.0, [None] * buckets)
    samples: list[Sample | Distribution] = [
        PROCESS_COUNT(GPU, 1),
        ENGINE_GPU(EngineGpu("embed", MIG, "config"), 1),
        ENGINE_GPU(EngineGpu("chat", GPU.id, "pid"), 1),
        ENGINE_GPU(EngineGpu("chat", MIG, "pid"), 1),
        REQUEST_UNMAPPED(RequestGap("chat", Reason.NOT_PERMITTED), 7),
        REQUEST_UNMAPPED(RequestGap("chat", "later_reason"), 1),
        REQUEST_UNMAPPED(RequestGap("embed", Reason.REMOTE), 0),
        duration,
        own.ENGINE_SCRAPE_INFO(ScrapeInfo("chat", "http://127.0.0.1:8000/metrics", "process", "vllm"), 1),
        own.ENGINE_SCRAPE_INFO(ScrapeInfo("far", "http://far:80/m", "config", None, "status_404"), 1),
        own.ENGINE_SCRAPE_LAST_SUCCESS(ScrapedEngine("chat"), 1_700_000_000),
        REQUESTS_RUNNING(EngineModel("chat", "llama"), 0),
    ]
    snapshots.put_samples(Source("requests"), samples, 0)
    return snapshot_json(snapshots.current, {"host.name": "node"}, FakeClock())


@contextmanager
def answering(status: int, body: bytes) -> Iterator[Address]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/v1/snapshot" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Address(f"127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


KNOWN = Engines(
    "there",
    None,
    [
        Engine(
            "chat",
            [GPU.id, MIG],
            ["pid"],
            "vllm",
            ["llama"],
            "http://127.0.0.1:8000/metrics",
            "process",
            1_700_000_000,
        ),
        Engine("embed", [MIG], ["config"]),
        Engine("far", [], [], url="http://far:80/m", found_by="config", failure="status_404"),
    ],
    [Unmapped("chat", "later_reason", 1), Unmapped("chat", "not_permitted", 7)],
)


def test_engines_and_what_could_not_be_placed_are_read_from_the_snapshot() -> None:
    assert engines_in(snapshot(), "there") == KNOWN


def test_the_agent_is_asked_where_it_listens() -> None:
    with answering(200, snapshot()) as address:
        found = ask(address)
    assert found == msgspec.structs.replace(KNOWN, agent=str(address))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [(401, b"", "asks for a token"), (503, b"", "says 503"), (200, b"<html>", "not as joulespan does")],
)
def test_an_answer_that_is_no_snapshot_is_said(status: int, body: bytes, said: str) -> None:
    with answering(status, body) as address:
        assert said in (ask(address).error or "")


def test_nobody_who_answers_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engines = ask(Address(f"127.0.0.1:{port}"))
    assert "no agent answers" in (engines.error or "")
    (finding,) = doctor._engines(engines)
    assert finding.level == "hint"
    assert f"127.0.0.1:{port}" in finding.what
    assert not finding.advice


def test_one_who_takes_the_connection_and_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no agent answers" in (ask(Address(f"127.0.0.1:{silent.getsockname()[1]}")).error or "")


def test_there_is_advice_for_every_reason() -> None:
    assert set(ADVICE) == set(Reason)
    findings = doctor._engines(KNOWN)
    assert [(one.level, one.what) for one in findings] == [
        ("broken", "engines: far: http://far:80/m does not give its metrics: status_404"),
        ("hint", "engines: 1 requests of chat without GPUs: later_reason"),
        ("hint", "engines: 7 requests of chat without GPUs: not_permitted"),
    ]
    assert "correct the path" in findings[0].advice
    assert "CAP_SYS_PTRACE" in findings[2].advice
    assert all(one.advice for one in findings)


def test_all_of_it_can_be_written_as_json() -> None:
    with answering(200, snapshot()) as address:
        diagnosis = doctor.Diagnosis([], Report(), ask(address))
    assert msgspec.json.decode(msgspec.json.encode(diagnosis), type=doctor.Diagnosis) == diagnosis


def test_the_right_to_look_into_processes_is_missed_only_where_it_is_missing() -> None:
    assert doctor._sight(readable=True) == doctor._sight(readable=None) == []
    (finding,) = doctor._sight(readable=False)
    assert "CAP_DAC_READ_SEARCH" in finding.advice


def test_engines_are_printed_with_the_names_of_their_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(gpus=[GpuReport(index=1, uuid=GPU.id)])
    doctor._print(doctor.Diagnosis([], report, KNOWN))
    lines = capsys.readouterr().out.splitlines()
    assert f"  chat             gpu1, {MIG}  by pid" in lines
    assert f"  embed            {MIG}  by config" in lines
    found = "vllm serving llama at http://127.0.0.1:8000/metrics, found by process, last scraped "
    assert any(line.strip().startswith(found) and line.endswith(" s ago") for line in lines)
    failing = "of no kind that is known at http://far:80/m, found by config, never scraped, failing: status_404"
    assert failing in [line.strip() for line in lines]


def test_there_is_advice_for_every_reason_for_which_a_page_is_not_scraped() -> None:
    for reason in (*FetchReason, UNRECOGNISED, INTERNAL, "status_503"):
        assert "older" not in Engine("x", [], [], failure=reason).advice
    assert "older" in Engine("x", [], [], failure="of later").advice


def test_a_variable_that_is_wrong_is_broken_and_the_rest_is_still_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULESPAN_LISTEN", "127.0.0.1:9999")
    assert doctor._listens() == ("127.0.0.1:9999", [])
    monkeypatch.setenv("JOULESPAN_LISTEN", "nonsense")
    address, (finding,) = doctor._listens()
    assert address == "127.0.0.1:9840"
    assert finding.level == "broken"
