# SPDX-License-Identifier: Apache-2.0
"""Back ends for tests of what is sent over OTLP: rotel, which is not ours, and some that misbehave."""

import http.server
import re
import shutil
import socket
import ssl
import subprocess
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status


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


class ReceivedSpan(NamedTuple):
    """One span, as rotel printed it."""

    resource: str
    trace_id: str
    span_id: str
    name: str
    start: int
    end: int
    attributes: dict[str, str]


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

    def __init__(self, folder: Path, prints: str = "metrics") -> None:
        """Choose the ports, and the signal to print. The test is skipped where rotel is not installed."""
        self._prints = prints
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
        command += ["--exporter", "blackhole", "--debug-log", self._prints, "--debug-log-verbosity", "detailed"]
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

    def spans(self) -> list[ReceivedSpan]:
        """Read the spans it has printed so far; the last may lack attributes."""
        resources = re.split(r"ResourceSpans #\d+\n", self._printed.read_text())[1:]
        return [span for text in resources for span in _spans(text)]


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


def _spans(text: str) -> Iterator[ReceivedSpan]:
    head, *spans = re.split(r"^Span #\d+\n", text, flags=re.MULTILINE)
    service = _pairs(head).get("service.name", "")
    for span in spans:
        at = dict(re.findall(r"^ *(\w[\w ]*?) *: (.*)$", span, re.MULTILINE))
        if "End time" in at:
            found = dict(re.findall(r"-> ([\w.]+): (.*)", span))
            times = int(at["Start time"]), int(at["End time"])
            yield ReceivedSpan(service, at["Trace ID"], at["ID"], at["Name"], *times, found)


def _pairs(text: str) -> dict[str, str]:
    return dict(re.findall(r"-> ([\w.]+): Str\((.*)\)", text))


class Request(NamedTuple):
    """One HTTP request."""

    path: str
    headers: dict[str, str]
    body: bytes


class HttpReply(NamedTuple):
    """One answer over HTTP."""

    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""


class Answers(http.server.ThreadingHTTPServer):
    """An HTTP server that answers everything with `status`, once its script is at its end, and keeps what it was asked.

    With a certificate it speaks TLS, and asks for the same certificate.
    """

    def __init__(self, status: int, pem: "Pem | None" = None, **headers: str) -> None:
        """Listen on the loopback."""
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = status
        self.headers = headers
        self.script: deque[HttpReply] = deque()
        self.requests: list[Request] = []
        self.endpoint = f"{'https' if pem else 'http'}://127.0.0.1:{self.server_port}"
        if pem:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pem.certificate))
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_cert_chain(pem.certificate, pem.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def reply(self) -> HttpReply:
        """Take the next answer."""
        return self.script.popleft() if self.script else HttpReply(self.status, self.headers)

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
        reply = self.server.reply()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextmanager
def silence() -> Iterator[str]:
    """Listen, accept, and never answer; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class GrpcReply(NamedTuple):
    """One answer over gRPC; `pause` is the delay of a RetryInfo, in seconds."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    pause: float | None = None
    body: bytes = b""


class GrpcRequest(NamedTuple):
    """One gRPC request."""

    method: str
    metadata: dict[str, str]
    body: bytes


class GrpcAnswers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A gRPC server that takes anything, once its script is at its end, and keeps what it was asked.

    `judge` is asked before the script. With a certificate it speaks TLS, and asks for the same certificate.
    """

    def __init__(self, *script: GrpcReply, pem: "Pem | None" = None) -> None:
        """Listen on the loopback."""
        self.script = deque(script)
        self.judge: Callable[[bytes], GrpcReply | None] = lambda _: None
        self.requests: list[GrpcRequest] = []
        self._server = grpc.server(ThreadPoolExecutor(1), handlers=[self], options=[("grpc.so_reuseport", 0)])
        if pem is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", pem.server())
        self.endpoint = f"{'https' if pem else 'http'}://127.0.0.1:{port}"

    @contextmanager
    def running(self) -> Iterator["GrpcAnswers"]:
        """Answer until the end of the block."""
        self._server.start()
        try:
            yield self
        finally:
            self._server.stop(None).wait()

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        """Answer every method."""
        metadata = dict(details.invocation_metadata)
        return grpc.unary_unary_rpc_method_handler(
            lambda body, context: self._answer(GrpcRequest(details.method, metadata, body), context)
        )

    def _answer(self, request: GrpcRequest, context: grpc.ServicerContext) -> bytes:
        self.requests.append(request)
        reply = self.judge(request.body) or (self.script.popleft() if self.script else GrpcReply())
        if reply.pause is not None:
            info = RetryInfo()
            info.retry_delay.FromMicroseconds(int(reply.pause * 1e6))
            status = Status(code=reply.code.value[0])
            status.details.add().Pack(info)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.set_code(reply.code)
        context.set_details("as the script says")
        return reply.body


class Pem(NamedTuple):
    """A certificate for 127.0.0.1, signed by itself, and its key."""

    certificate: Path
    key: Path

    @classmethod
    def made(cls, folder: Path) -> "Pem":
        """Make one with openssl. The test is skipped where it is not installed."""
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("openssl, which makes the certificate, is not installed")
        found = cls(folder / "certificate.pem", folder / "key.pem")
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        subprocess.run([*command, "-keyout", found.key, "-out", found.certificate], check=True, capture_output=True)
        return found

    def server(self) -> grpc.ServerCredentials:
        """Make what a gRPC server needs to show it, and to ask for it."""
        certificate, key = self.certificate.read_bytes(), self.key.read_bytes()
        return grpc.ssl_server_credentials([(key, certificate)], certificate, require_client_auth=True)
