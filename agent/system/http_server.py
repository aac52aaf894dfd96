# SPDX-License-Identifier: Apache-2.0
"""Serves an HTTP interface with uvicorn: one listening socket, bounds on everything, TLS where configured."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agent.config import Web
from agent.config_values import Address
from agent.errors import ConfigError

# It warns of every request that is no HTTP.
logging.getLogger("uvicorn.error").setLevel(logging.ERROR)

_CONNECTIONS = 64
"""Connections beyond these are answered 503."""
_KEEP_ALIVE = 75
"""Seconds: longer than any sensible scrape interval, so that a scraper keeps its connection."""
_MOST_HEAD = 16 << 10
"""Bytes of a request's head, and of what may follow a body. httptools has no bound of its own."""
_PATIENCE = 30.0
"""Seconds that a client has for the head of a request, and for the rest of a body whose answer it has already."""


class Place(NamedTuple):
    """Where a server's address and TLS settings are in the configuration, its log, and what to do when it is taken."""

    address: str
    security: str
    log: logging.Logger
    advice: str


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers and its ten wake-ups a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.stopping.wait()


class _Protocol(HttpToolsProtocol):
    """uvicorn's, without clients that hold a connection and say nothing, or more than was asked for."""

    _late: asyncio.TimerHandle | None = None
    _whole = True
    _head = 0
    """Bytes since the parser last gave a whole head or a piece of a body."""

    def __init__(self, *, patience: float, **options: Any) -> None:
        super().__init__(**options)
        self._patience = patience

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._head > _MOST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"A head of more than {_MOST_HEAD} bytes.")

    def on_message_begin(self) -> None:
        self._whole = False
        self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = 0
        self._came()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head = 0
        self._whole = True
        self._came()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # What is left of a body is read and thrown away: closing at once could take the answer from the client.
        if not self._whole:
            self._expect()

    def _expect(self) -> None:
        self._came()
        self._late = self.loop.call_later(self._patience, self.transport.close)

    def _came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class HttpServer:
    """Listens from the moment it is made, so that a taken port is an error at start."""

    def __init__(self, app: Any, address: Address, web: Web, place: Place, *, patience: float = _PATIENCE) -> None:
        """Bind `address` for an ASGI application. Raises ConfigError."""
        self._socket = _bind(address, place)
        scheme = "https" if web.certificate else "http"
        host, port = self._socket.getsockname()[:2]
        self.port: int = port
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        try:
            config = uvicorn.Config(
                app,
                interface="asgi3",
                http=partial(_Protocol, patience=patience),  # type: ignore[arg-type] # it is called like a class
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                limit_concurrency=_CONNECTIONS,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=1,
                ssl_certfile=web.certificate or None,
                ssl_keyfile=web.key or None,
                ssl_ca_certs=web.client_ca or None,
                ssl_cert_reqs=ssl.CERT_REQUIRED if web.client_ca else ssl.CERT_NONE,
            )
            config.load()
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            message = f"{place.security}: certificate, key or client_ca cannot be used: {error}"
            raise ConfigError(message) from error
        self._config = config
        self._log = place.log
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve from now on."""
        self._server = _Server(self._config)
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]))
        self._log.info("listening on %s", self.url)

    async def stop(self) -> None:
        """Stop within about a second."""
        if self._server and self._task:
            self._server.stopping.set()
            await self._task
        else:
            self._socket.close()


def listen(address: Address, place: Place) -> socket.socket:
    """Bind a socket and listen. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=128)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error
        message = f"{place.address}: {address} cannot be had: {why}; {place.advice}"
        raise ConfigError(message) from error


def _bind(address: Address, place: Place) -> socket.socket:
    listening = listen(address, place)
    # Inherited by what is accepted. asyncio would set it only on sockets made with an explicit protocol, and without
    # it the head and the body of an answer are 40 ms apart.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
