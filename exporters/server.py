# SPDX-License-Identifier: Apache-2.0
"""Serves the HTTP interface with uvicorn: one listening socket, bounds on everything, TLS where configured."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from agent.config import Address, Web
from agent.errors import ConfigError

LOG = logging.getLogger("joulespan.http")
logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

_CONNECTIONS = 64
"""Connections beyond these are answered 503."""
_KEEP_ALIVE = 75
"""Seconds: longer than any sensible scrape interval, so that a scraper keeps its connection."""
_MAX_HEADERS = 16 << 10


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


class HttpServer:
    """Listens from the moment it is made, so that a taken port is an error at start."""

    def __init__(self, app: Any, address: Address, web: Web) -> None:
        """Bind `address`. Raises ConfigError."""
        self._socket = _bind(address)
        scheme = "https" if web.certificate else "http"
        host, port = self._socket.getsockname()[:2]
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        try:
            config = uvicorn.Config(
                app,
                interface="asgi3",
                http="httptools",
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
                h11_max_incomplete_event_size=_MAX_HEADERS,
                ssl_certfile=web.certificate or None,
                ssl_keyfile=web.key or None,
                ssl_ca_certs=web.client_ca or None,
                ssl_cert_reqs=ssl.CERT_REQUIRED if web.client_ca else ssl.CERT_NONE,
            )
            config.load()
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            message = f"web: certificate, key or client_ca cannot be used: {error}"
            raise ConfigError(message) from error
        self._config = config
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve from now on."""
        self._server = _Server(self._config)
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]))
        LOG.info("listening on %s", self.url)

    async def stop(self) -> None:
        """Stop within about a second."""
        if self._server and self._task:
            self._server.stopping.set()
            await self._task


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listening = socket.create_server((address.host, address.port), family=family, backlog=128)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error
        message = f"listen: {address} cannot be had: {why}; is another agent running?"
        raise ConfigError(message) from error
    # Inherited by what is accepted. asyncio would set it only on sockets made with an explicit protocol, and without
    # it the head and the body of an answer are 40 ms apart.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
