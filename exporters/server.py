# SPDX-License-Identifier: Apache-2.0
"""Serves the HTTP interface of the exporters."""

import logging
from typing import Any

from agent.config import Web
from agent.config_values import Address
from agent.system import http_server

_PLACE = http_server.Place("listen", "web", logging.getLogger("joulespan.http"), "is another agent running?")


class HttpServer(http_server.HttpServer):
    """The server at `listen`."""

    def __init__(self, app: Any, address: Address, web: Web) -> None:
        """Bind `address`. Raises ConfigError."""
        super().__init__(app, address, web, _PLACE)
