# SPDX-License-Identifier: Apache-2.0
"""How many request spans a second the agent takes in, reads, joins, annotates and sends on, on one core.

The agent with its reader is bound to one core, who sends and who receives behind it to the others. The sender keeps
a few requests of 512 spans in vLLM's dialect under way, each span with ids and times of its own, as fast as they are
taken; told to wait, it waits. What counts is what arrived behind the agent.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.contestants import tree
from tests.mock_nvml.control import MockNvml

SPANS = 512
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_RECORDING = Path(__file__).parents[1] / "fixtures/telemetry/vllm/grpc_0004.pb"
_UNDER_WAY = 4
_NS = 1_000_000_000


class Load(NamedTuple):
    """Spans a second that came out behind, CPU as a share of a core, most MiB, slowest scrape in ms, spans dropped."""

    rate: float
    cpu: float
    resident: float
    slowest: float
    dropped: float


def measure(mock: MockNvml, folder: Path, seconds: float) -> Load:
    """Run it once. Raises CalledProcessError or TimeoutError when a part does not start."""
    agent_core, others = cores_apart()
    with _child("sink", others) as (_, behind), _agent(mock, folder, agent_core, behind) as (process, ports):
        warm(ports["http"])
        with _child("send", others, str(ports["grpc"])):
            time.sleep(3)
            began, before, cpu_before = time.monotonic(), _forwarded(ports["http"]), cpu(process.pid)
            latencies, most = [], 0.0
            while time.monotonic() - began < seconds:
                asked = time.perf_counter()
                scrape(ports["http"])
                latencies.append((time.perf_counter() - asked) * 1000)
                most = max(most, resident(process.pid))
                time.sleep(0.5)
            took = time.monotonic() - began
            after, cpu_after = _forwarded(ports["http"]), cpu(process.pid)
    return Load(
        (after["forwarded"] - before["forwarded"]) / took,
        (cpu_after - cpu_before) / took,
        most,
        max(latencies),
        after["dropped"] - before["dropped"],
    )


def requests() -> Iterator[bytes]:
    """Give requests without end: the spans of the recording, each with its own ids and times that end about now."""
    recorded = ExportTraceServiceRequest.FromString(_RECORDING.read_bytes())
    spans = recorded.resource_spans[0].scope_spans[0].spans
    del recorded.resource_spans[1:], recorded.resource_spans[0].scope_spans[1:]
    kept = [span for span in spans if span.name == "llm_request"]
    del spans[:]
    for number in range(SPANS):
        one = spans.add()
        one.CopyFrom(kept[number % len(kept)])
        one.trace_id, one.span_id, one.parent_span_id = _marks(number)
        one.start_time_unix_nano, one.end_time_unix_nano = 1 << 62 | number, 1 << 61 | number
    body = bytearray(recorded.SerializeToString())
    places = [
        (body.index(_marks(n)[0]), body.index(_marks(n)[1]), body.index(struct.pack("<Q", 1 << 62 | n)),
         body.index(struct.pack("<Q", 1 << 61 | n)))
        for n in range(SPANS)
    ]  # fmt: skip
    serial = os.getpid() << 40
    while True:
        now = time.time_ns()
        for trace, span, start, end in places:
            serial += 1
            struct.pack_into("<QQ", body, trace, serial, serial)
            struct.pack_into("<Q", body, span, serial)
            struct.pack_into("<Q", body, start, now - _NS)
            struct.pack_into("<Q", body, end, now)
        yield bytes(body)


def _marks(number: int) -> tuple[bytes, bytes, bytes]:
    return b"trace" + number.to_bytes(11), b"span" + number.to_bytes(4), b""


def _send(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_unary(_EXPORT)
        waiting: list[Any] = []
        print("ready", flush=True)
        for body in requests():
            waiting.append((body, export.future(body, timeout=60)))
            while len(waiting) >= _UNDER_WAY:
                sent, answer = waiting.pop(0)
                if answer.exception() is not None:
                    time.sleep(0.2)
                    waiting.append((sent, export.future(sent, timeout=60)))


def _sink() -> None:
    """Take trace requests and do nothing with them."""
    handler = grpc.method_handlers_generic_handler(
        "opentelemetry.proto.collector.trace.v1.TraceService",
        {"Export": grpc.unary_unary_rpc_method_handler(lambda _body, _context: b"")},
    )
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=(handler,), options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


@contextmanager
def _child(role: str, cores: set[int], *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    command = [*bound(cores), "-m", "tests.bench.load", role, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def _agent(
    mock: MockNvml, folder: Path, cores: set[int], behind: str
) -> Iterator[tuple["subprocess.Popen[bytes]", dict[str, int]]]:
    ports = {name: free_port() for name in ("http", "grpc")}
    config = folder / "load.yaml"
    config.write_text(
        json.dumps(
            {
                "listen": f"127.0.0.1:{ports['http']}",
                "receivers": {"otlp": {"grpc": f"127.0.0.1:{ports['grpc']}", "http": ""}},
                "engines": [{"name": "bench", "service_name": "vllm-tiny", "gpus": [0, 1, 2, 3]}],
                "exporters": {"traces": {"endpoint": f"http://127.0.0.1:{behind}"}},
            }
        )
    )
    command = [*bound(cores), "-m", "agent", "run", "--config", str(config)]
    log = (folder / "load.log").open("wb")
    with log, subprocess.Popen(command, env=mock.env(), stdout=log, stderr=log) as process:
        try:
            yield process, ports
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def cores_apart() -> tuple[set[int], set[int]]:
    """Give a core for the agent, and the others, or the same where there are none."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, set(cores[1:]) or set(cores)


def bound(cores: set[int]) -> list[str]:
    """Begin a command of Python that runs on these cores."""
    return ["taskset", "-c", ",".join(map(str, sorted(cores))), sys.executable]


def warm(port: int) -> None:
    """Wait until an agent has read its GPUs. Raises TimeoutError."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if "joulespan_gpu_info{" in scrape(port):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the agent did not start")


def scrape(port: int) -> str:
    """Scrape an agent."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text: str = response.read().decode()
        return text


def _forwarded(port: int) -> dict[str, float]:
    found = {"forwarded": 0.0, "dropped": 0.0}
    for family in text_string_to_metric_families(scrape(port)):
        for sample in family.samples:
            if sample.name == "joulespan_receiver_spans_total" and sample.labels["outcome"] in found:
                found[sample.labels["outcome"]] += sample.value
    return found


def cpu(pid: int) -> float:
    """Give the seconds of a process and its children."""
    ticks = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Give the resident MiB of a process and its children."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def free_port() -> int:
    """Find a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    if sys.argv[1] == "send":
        _send(int(sys.argv[2]))
    else:
        _sink()
