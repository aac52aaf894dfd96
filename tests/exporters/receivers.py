# SPDX-License-Identifier: Apache-2.0
"""Back ends for tests of the OTLP push: rotel, which is not ours, and two that misbehave."""

import http.server
import re
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest


class Received(NamedTuple):
    """One point, as rotel printed it."""

    name: str
    unit: str
    description: str
    type: str
    attributes: dict[str, str]
    start: int
    time: int
    value: float


class Push(NamedTuple):
    """One request, as rotel printed it."""

    resource: dict[str, str]
    scope: str
    points: list[Received]


def free_port() -> int:
    """Find a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait for something that other threads and processes do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Rotel:
    """The rotel agent as an OTLP receiver that prints what it gets. Its addresses are known before it runs."""

    def __init__(self, folder: Path) -> None:
        """Choose the ports. The test is skipped where rotel is not installed."""
        found = find_spec("rotel")
        if found is None or found.origin is None:
            pytest.skip("rotel, an independent OTLP receiver, is not installed")
        self._binary = Path(found.origin).parent / "rotel-agent"
        # The program is linked with the library of this Python, which need not be where the linker looks.
        self._env = {"NO_COLOR": "1", "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}
        tried = subprocess.run([self._binary, "--version"], env=self._env, capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"rotel, an independent OTLP receiver, does not run: {tried.stderr.strip()}")
        self._printed = folder / "rotel.out"
        ports = {"grpc": free_port(), "http/protobuf": free_port()}
        self.endpoints = {protocol: f"http://127.0.0.1:{port}" for protocol, port in ports.items()}

    @contextmanager
    def running(self) -> Iterator["Rotel"]:
        """Run until the end of the block."""
        grpc, http = (endpoint.removeprefix("http://") for endpoint in self.endpoints.values())
        command = [str(self._binary), "start", "--otlp-grpc-endpoint", grpc, "--otlp-http-endpoint", http]
        command += ["--exporter", "blackhole", "--debug-log", "metrics", "--debug-log-verbosity", "detailed"]
        with (
            self._printed.open("w") as output,
            subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=self._env) as process,
        ):
            try:
                until(lambda: all(_listens(int(one.rpartition(":")[2])) for one in (grpc, http)))
                yield self
            finally:
                process.terminate()

    def pushes(self) -> list[Push]:
        """Read what it has printed so far. A request that it is just printing may lack points."""
        return [_push(text) for text in self._printed.read_text().split("ResourceMetrics #0\n")[1:]]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _push(text: str) -> Push:
    resource, _, rest = text.partition("ScopeMetrics #0\n")
    head, *metrics = re.split(r"Metric #\d+\n", rest)
    scope = re.findall("InstrumentationScope (.*)", head)
    return Push(_pairs(resource), " ".join(scope), [point for metric in metrics for point in _points(metric)])


def _points(text: str) -> Iterator[Received]:
    descriptor, *points = re.split(r"NumberDataPoints #\d+\n", text)
    said = dict(re.findall(r"-> (\w+): (.*)", descriptor))
    kind = " ".join(said[key] for key in ("DataType", "IsMonotonic", "AggregationTemporality") if key in said)
    for point in points:
        at = dict(re.findall(r"^(\w+): (\S+)$", point, re.MULTILINE))
        if "Value" in at:
            yield Received(
                said["Name"], said["Unit"], said["Description"], kind, _pairs(point),
                int(at["StartTimestamp"]), int(at["Timestamp"]), float(at["Value"]),
            )  # fmt: skip


def _pairs(text: str) -> dict[str, str]:
    return dict(re.findall(r"-> ([\w.]+): Str\((.*)\)", text))


class Request(NamedTuple):
    """One HTTP request."""

    path: str
    headers: dict[str, str]
    body: bytes


class Answers(http.server.ThreadingHTTPServer):
    """An HTTP server that answers everything with `status`, and keeps what it was asked."""

    def __init__(self, status: int, **headers: str) -> None:
        """Listen on the loopback."""
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = status
        self.headers = headers
        self.requests: list[Request] = []
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def running(self) -> Iterator["Answers"]:
        """Answer until the end of the block."""
        thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Answer(http.server.BaseHTTPRequestHandler):
    server: Answers

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Request(self.path, headers, body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextmanager
def silence() -> Iterator[str]:
    """Listen, accept, and never answer; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
