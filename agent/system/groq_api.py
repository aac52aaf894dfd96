# SPDX-License-Identifier: Apache-2.0
"""Asks Groq's metrics API: bounded in time and size, no redirects, and the API key goes nowhere else."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import Unavailable
from agent.version import VERSION

if TYPE_CHECKING:
    import requests

_MOST = 4 << 20
_PIECE = 64 << 10
_CONNECT, _SILENCE, _WHOLE = 5.0, 10.0, 20.0
"""Seconds: to connect, between two pieces of an answer, and for all of it."""
_OK = 200
_DENIED = (401, 403)
_QUERY = "/api/v1/query"


class GroqApi:
    """The query API below an endpoint. The file that holds the key is read for each question, so it can be replaced."""

    def __init__(self, endpoint: str, token_file: Path, most: int = _MOST) -> None:
        """Ask there. Answers of more than `most` bytes, uncompressed, are refused."""
        self._url = endpoint.rstrip("/") + _QUERY
        self._token_file = token_file
        self._most = most

    def ask(self, query: str) -> bytes:
        """Give the answer to a query. Raises Unavailable, which names no key."""
        import requests  # noqa: PLC0415 - only where it is configured

        try:
            token = self._token_file.read_text("ascii").strip()
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self._token_file}: cannot be read: {error}") from error
        try:
            with requests.get(
                self._url,
                params={"query": query},
                headers={"User-Agent": f"joulespan/{VERSION}"},
                # As a header it would give way to what ~/.netrc says of this host.
                auth=_Bearer(token),
                timeout=(_CONNECT, _SILENCE),
                allow_redirects=False,
                stream=True,
            ) as answer:
                return self._read(answer)
        except (requests.RequestException, ValueError) as error:
            # Its text can have all that was sent.
            raise Unavailable(f"{self._url}: {type(error).__name__}") from None

    def _read(self, answer: "requests.Response") -> bytes:
        if answer.status_code in _DENIED:
            raise Unavailable(f"{self._url}: status {answer.status_code}: the key may not ask for metrics")
        if answer.status_code != _OK:
            raise Unavailable(f"{self._url}: status {answer.status_code}")
        until = time.monotonic() + _WHOLE
        body = bytearray()
        for piece in answer.iter_content(_PIECE):
            body += piece
            if len(body) > self._most:
                raise Unavailable(f"{self._url}: an answer of more than {self._most} bytes")
            if time.monotonic() > until:
                raise Unavailable(f"{self._url}: an answer that takes more than {_WHOLE:g} s")
        return bytes(body)


class _Bearer:
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
