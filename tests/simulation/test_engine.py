# SPDX-License-Identifier: Apache-2.0
"""Simulated engines as processes: real spans over a real connection, in vLLM's dialect, and a quick end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.clock import NS
from agent.dialects.vllm import DIALECT
from agent.otlp.values import attributes
from agent.requests import Request, Role
from agent.simulation import DEMO
from agent.simulation.engine import Server
from agent.simulation.processes import SimulatedEngines, _environment
from agent.simulation.spans import SCOPE, times
from agent.spans import Source, Span
from tests.agent.collector import Collector

RECORDED = Path(__file__).parents[1] / "fixtures/telemetry/vllm/grpc_0004.pb"
LLAMA = "llama-3.3-70b"
QUICK = 1.0
"""Seconds in which an engine ends."""
WAIT = 20.0
"""Seconds; far more than anything here takes, for a busy machine."""
OPTIONAL = {"gen_ai.request.temperature"}
"""vLLM leaves it out where it is 0."""


def types(pairs: Iterable[KeyValue]) -> dict[str, str | None]:
    return {pair.key: pair.value.WhichOneof("value") for pair in pairs}


def until(true: Callable[[], object], seconds: float = WAIT) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def engine(endpoint: str, started_ns: int | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """Start an engine as one would by hand."""
    begun = time.monotonic_ns() if started_ns is None else started_ns
    command = [sys.executable, "-m", "agent.simulation.engine", "--name", LLAMA, "--started-ns", str(begun)]
    process = subprocess.Popen([*command, "--endpoint", endpoint, "--every", "0.2"], stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def sent() -> Iterator[tuple[ExportTraceServiceRequest, float, int]]:
    """Give everything that an engine sent in its first 100 s, the wall time of its start, and its pid."""
    started = time.monotonic_ns() - 100 * NS
    epoch = time.time() - 100
    with Collector().running() as collector, engine(collector.endpoint, started) as process:
        assert until(lambda: len(collector.raw()) > 100)
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT)
        together = ExportTraceServiceRequest.FromString(b"".join(collector.bodies))
        yield together, epoch, process.pid


Sent = tuple[ExportTraceServiceRequest, float, int]


def recorded() -> ExportTraceServiceRequest:
    found = ExportTraceServiceRequest()
    found.ParseFromString(RECORDED.read_bytes())
    return found


def messages(request: ExportTraceServiceRequest) -> list[SpanMessage]:
    return [span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]


def read(request: ExportTraceServiceRequest) -> list[Request]:
    """Read spans as the agent does."""
    found: list[Request] = []
    for one in request.resource_spans:
        source = Source(attributes(one.resource.attributes))
        spans = [Span(message, source, scope.scope.name) for scope in one.scope_spans for message in scope.spans]
        assert all(DIALECT.knows(span) and span.problem() is None for span in spans)
        found += [reading for span in spans if isinstance(reading := DIALECT.read(span), Request)]
    return found


def test_its_spans_have_the_attributes_and_types_of_vllms(sent: Sent) -> None:
    theirs, ours = messages(recorded()), messages(sent[0])
    told = {key: kind for span in theirs for key, kind in types(span.attributes).items()}
    for span in ours:
        had = types(span.attributes)
        assert had.pop("tenant.id") == "string_value"
        assert had.items() <= told.items()
        assert told.keys() - had.keys() <= OPTIONAL
    assert {"gen_ai.request.temperature" in types(span.attributes) for span in ours} == {True, False}
    assert {(span.name, span.kind, span.flags) for span in ours} == {
        ("llm_request", SpanMessage.SPAN_KIND_SERVER, flags) for flags in (0x100, 0x300)
    }
    assert all(bool(span.parent_span_id) is (span.flags == 0x300) for span in ours)


def test_its_resource_and_scope_are_those_of_vllms_api_server(sent: Sent) -> None:
    request, _, pid = sent
    theirs = recorded().resource_spans[0]
    for one in request.resource_spans:
        assert types(one.resource.attributes) == types(theirs.resource.attributes)
        told = attributes(one.resource.attributes)
        assert (told["service.name"], told["vllm.process_id"]) == (LLAMA, str(pid))
        assert [scope.scope.name for scope in one.scope_spans] == [SCOPE]
        assert theirs.scope_spans[0].scope.name == SCOPE


def test_the_agent_reads_them_as_the_requests_that_were_served_when_they_were(sent: Sent) -> None:
    request, epoch, pid = sent
    served = {(done.request.request_id, done.output_tokens): done for done in Server(DEMO[LLAMA]).until(200.0)}
    found = read(request)
    assert len({(one.request_id, one.output_tokens) for one in found}) == len(found) > 100
    for one in found:
        finished = served[one.request_id or "", one.output_tokens or 0]
        assert (one.role, one.pids) == (Role.SERVER, (pid,))
        assert one.input_tokens == finished.request.prompt_tokens
        assert one.first_token is not None
        seen = times(finished)
        assert one.arrival / NS - epoch == pytest.approx(seen.arrival, abs=1.0)
        assert (one.first_token - one.arrival) / NS == pytest.approx(seen.first_token - seen.arrival, abs=1e-5)
        assert one.decode == pytest.approx(finished.last_token - finished.first_token, abs=1e-9)
        assert (one.span.end - one.end) / NS == pytest.approx(0.4e-3, abs=1e-5)


def test_no_span_ends_in_the_future() -> None:
    with Collector().running() as collector, engine(collector.endpoint):
        assert until(lambda: collector.bodies)
        now = time.time_ns()
        assert all(span.end_time_unix_nano <= now for span in collector.spans())


@pytest.mark.parametrize("answering", [True, False], ids=["a receiver that answers", "a receiver that hangs"])
def test_it_ends_at_once_when_told(answering: bool) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, Collector().running() as collector:
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with engine(collector.endpoint if answering else hanging, time.monotonic_ns() - 60 * NS) as process:
            if answering:
                assert until(lambda: collector.bodies)
            else:
                silent.settimeout(WAIT)
                connection, _ = silent.accept()
            told = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT) == 0
            assert time.monotonic() - told < QUICK
            if not answering:
                connection.close()


def test_what_had_not_been_sent_when_it_ended_is_sent() -> None:
    with Collector().running() as collector:
        engines = SimulatedEngines(time.monotonic_ns() - 30 * NS, [LLAMA])
        engines.start(collector.endpoint)
        try:
            assert until(lambda: collector.bodies)
        finally:
            engines.stop()
        done = {finished.request.request_id for finished in Server(DEMO[LLAMA]).until(30.0)}
        sent = {attributes(span.attributes)["gen_ai.request.id"] for span in collector.spans()}
        assert done <= sent


def test_nobody_listening_is_no_reason_to_speak_or_to_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        endpoint = f"http://127.0.0.1:{held.getsockname()[1]}"
    with engine(endpoint, time.monotonic_ns() - 60 * NS) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=WAIT)
        assert (process.returncode, said) == (0, b"")


PARENT = """
import sys, time
from agent.simulation.processes import SimulatedEngines
engines = SimulatedEngines(time.monotonic_ns())
if sys.argv[1]:
    engines.start(sys.argv[1])
print(*engines.pids, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("told", [True, False], ids=["while they send", "before they know where to send"])
def test_engines_end_when_their_parent_is_killed(told: bool) -> None:
    with Collector().running() as collector:
        command = [sys.executable, "-c", PARENT, collector.endpoint if told else ""]
        parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        if told:
            assert until(lambda: collector.bodies)
        assert all(lives(pid) for pid in pids)
        parent.kill()
        parent.communicate()
        assert until(lambda: not any(lives(pid) for pid in pids), QUICK if told else WAIT)


def test_they_are_started_and_known_before_they_are_told_where_to_send() -> None:
    started = time.monotonic_ns()
    engines = SimulatedEngines(started)
    try:
        assert [engine.name for engine in engines.engines] == list(DEMO)
        assert [engine.pid for engine in engines.engines] == engines.pids
        assert {engine.started_ns for engine in engines.engines} == {started}
        assert all(lives(pid) for pid in engines.pids)
    finally:
        told = time.monotonic()
        engines.stop()
    assert time.monotonic() - told < 2 * QUICK
    assert not any(lives(pid) for pid in engines.pids)


def test_starting_them_loads_nothing_that_is_slow_to_load() -> None:
    program = "import sys, agent.simulation.processes; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert {"grpc", "opentelemetry", "numpy", "random"}.isdisjoint(loaded.split())


def test_settings_for_the_agents_own_telemetry_do_not_reach_them() -> None:
    ours = {"OTEL_SDK_DISABLED": "true", "PATH": os.defpath}
    theirs = {"PATH": os.defpath, "GRPC_VERBOSITY": "NONE", "OTEL_SERVICE_NAME": LLAMA}
    assert _environment(ours, LLAMA) == theirs
