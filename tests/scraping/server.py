# SPDX-License-Identifier: Apache-2.0
"""An engine's page on loopback, and servers that are none: they hang, talk nonsense, or never end."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PAGE = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 70.0
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{engine="0",le="8.0",model_name="m"} 30.0
vllm:iteration_tokens_total_bucket{engine="0",le="+Inf",model_name="m"} 40.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 40.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 90.0
"""
OTHER = b"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.0\n"
Answer = Callable[[socket.socket, str], None]


class EngineServer:
    """A server whose answer can be changed. `asked` are the paths that were asked for."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"

    def close(self) -> None:
        for one in (self._socket, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open = [*(one for one in self._open if one.fileno() >= 0), connection]
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if request := connection.recv(1 << 16).decode():
                self.asked.append(path := request.split(" ")[1])
                self.answer(connection, path)


def page(text: bytes = PAGE, at: str = "/metrics", status: str = "200 OK") -> Answer:
    """Answer with a page at its path, and with 404 elsewhere."""

    def answer(connection: socket.socket, path: str) -> None:
        body = text if path == at else b"not found\n"
        head = f"HTTP/1.1 {status if path == at else '404 Not Found'}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    return answer


def hangs(connection: socket.socket, _path: str) -> None:
    """Wait until the other side leaves."""
    connection.recv(1)


def nonsense(connection: socket.socket, _path: str) -> None:
    """Say what is no HTTP."""
    connection.sendall(b"\x00\xff" * 500)


def endless(connection: socket.socket, _path: str) -> None:
    """Send metrics as long as somebody takes them."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    number = 0
    while True:
        lines = [b'vllm:x{n="%d"} %d' % (number + more, more) for more in range(1000)]
        connection.sendall(b"\n".join(lines) + b"\n")
        number += 1000


@contextmanager
def serving(answer: Answer) -> Iterator[EngineServer]:
    """Serve on a free port."""
    server = EngineServer(answer)
    try:
        yield server
    finally:
        server.close()
