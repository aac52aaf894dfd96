# SPDX-License-Identifier: Apache-2.0
"""One GET of a page from a server that nobody vouches for: bounded in time and size, and followed nowhere.

No redirects, proxies, cookies or credentials, and a connection for each page. On asyncio, so that a server that hangs
holds a task and no thread; the parser is httptools, which has seen more broken answers than one of our own would.
"""

import asyncio
import ssl
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

from agent.config_values import PageUrl
from agent.errors import Unavailable
from agent.version import VERSION

_HEAD = 64 << 10
"""Bytes of a status line and headers."""
_GZIP = 31
"""zlib's window bits for the gzip format."""
_INFORMATIONAL = 200
"""What has a status below it comes before the answer."""
_OK = 200
_PORTS = {"http": 80, "https": 443}
_TLS = "https"


class Reason(StrEnum):
    """Why there is no page."""

    REFUSED = "refused"
    """Nobody listens."""
    UNREACHABLE = "unreachable"
    """No way there, or no such name."""
    TIMEOUT = "timeout"
    """The whole answer did not come in time."""
    TLS = "tls"
    """The certificate or the handshake is not good."""
    MALFORMED = "malformed"
    """It is no HTTP, or it ends before its end."""
    TOO_LARGE = "too_large"
    """It is larger than asked for."""


class Failed(Unavailable):
    """There is no page, for this reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Say why, and in `detail` what was seen."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Target(NamedTuple):
    """A page."""

    host: str
    port: int
    path: str = "/metrics"
    scheme: str = "http"

    @classmethod
    def of(cls, url: PageUrl) -> "Target":
        """Take a URL apart."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.hostname, parts.port or _PORTS[parts.scheme], path, parts.scheme)

    @property
    def authority(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL."""
        return f"{self.scheme}://{self.authority}{self.path}"


class Answer(NamedTuple):
    """What came, uncompressed. It is whole unless it was asked for in part."""

    status: int
    body: bytes
    whole: bool = True


async def get(target: Target, accept: str, *, limit: int, timeout: float, partly: bool = False) -> Answer:  # noqa: ASYNC109 - of the whole answer
    """Get a page of at most `limit` bytes, uncompressed, within `timeout` seconds in all. Raises Failed.

    With `partly`, of a larger page that much is given. Any status is an answer; only that of 200 has a body.
    """
    loop = asyncio.get_running_loop()
    with _told():
        async with asyncio.timeout(timeout):
            answering = _Answering(_request(target, accept), loop.create_future(), limit, partly=partly)
            context = ssl.create_default_context() if target.scheme == _TLS else None
            try:
                transport, _ = await loop.create_connection(lambda: answering, target.host, target.port, ssl=context)
                try:
                    return await answering.answer
                finally:
                    # What is left is not wanted, and a goodbye could take its time.
                    transport.abort()
            finally:
                answering.forget()


def _request(target: Target, accept: str) -> bytes:
    # On this machine compressing costs the engine more than sending.
    encoding = "identity" if target.host.startswith("127.") or target.host == "::1" else "gzip"
    lines = (
        f"GET {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        f"User-Agent: joulespan/{VERSION}",
        f"Accept: {accept}",
        f"Accept-Encoding: {encoding}",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


class _Answering(asyncio.Protocol):
    """What has come so far. A protocol and no stream: what comes goes to the parser without a task in between."""

    def __init__(self, request: bytes, answer: asyncio.Future[Answer], limit: int, *, partly: bool) -> None:
        self.answer = answer
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self._limit = limit
        self._partly = partly
        self._done = False
        self._status = 0
        self._head = 0
        self._headers: dict[bytes, bytes] = {}
        self._sized = False
        self._gzip: zlib._Decompress | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._whole = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        try:
            self._feed(data)
        except Exception as error:  # noqa: BLE001 - it is raised again where the answer is waited for
            self.answer.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end of the connection, which also is the end of a body whose size was not said."""
        if self.answer.done():
            return
        if exc is not None or not self._status or self._sized:
            self.answer.set_exception(exc or Failed(Reason.MALFORMED, "the connection ended before the answer did"))
        else:
            self._finish()

    def forget(self) -> None:
        """Let go of the parser, which holds this in turn: the page would wait for the garbage collector."""
        del self._parser
        self._pieces = []
        self.answer.cancel()  # Where nobody waits for it any more, how it ends is no news.

    def _feed(self, data: bytes) -> None:
        self._head += len(data)
        self._parser.feed_data(data)
        if not self._status and self._head > _HEAD:
            raise Failed(Reason.MALFORMED, f"a head of more than {_HEAD} bytes")
        if self._done:
            self._finish()

    def _finish(self) -> None:
        if self._whole and self._gzip is not None and not self._gzip.eof and self._status == _OK:
            self.answer.set_exception(Failed(Reason.MALFORMED, "gzip that is cut off"))
        else:
            self.answer.set_result(Answer(self._status, b"".join(self._pieces), self._whole))

    def on_message_begin(self) -> None:
        self._headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value.strip().lower()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < _INFORMATIONAL or self._status:
            return
        self._status = status
        self._done = status != _OK
        length = self._headers.get(b"content-length")
        self._sized = length is not None or b"transfer-encoding" in self._headers
        if length and length.isdigit() and int(length[:20]) > self._limit and not self._partly:
            raise Failed(Reason.TOO_LARGE, f"{length[:20].decode()} bytes; at most {self._limit} are read")
        encoding = self._headers.get(b"content-encoding", b"identity")
        if encoding in (b"gzip", b"x-gzip"):
            self._gzip = zlib.decompressobj(_GZIP)
        elif encoding not in (b"", b"identity"):
            raise Failed(Reason.MALFORMED, f"content-encoding {encoding[:20].decode('ascii', 'replace')}")

    def on_body(self, body: bytes) -> None:
        if self._done:
            return
        # One byte more than is wanted shows that there is more.
        plain = body if self._gzip is None else self._gzip.decompress(body, self._limit + 1 - self._size)
        self._pieces.append(plain)
        self._size += len(plain)
        if self._size > self._limit:
            if not self._partly:
                raise Failed(Reason.TOO_LARGE, f"more than {self._limit} bytes")
            self._pieces[-1] = plain[: len(plain) - (self._size - self._limit)]
            self._whole, self._done = False, True

    def on_message_complete(self) -> None:
        self._done = bool(self._status)


@contextmanager
def _told() -> Iterator[None]:
    """Tell every way to fail as one."""
    try:
        yield
    except Failed:
        raise
    except (httptools.HttpParserError, zlib.error) as error:
        if isinstance(error.__context__, Failed):  # Raised in one of the parser's calls.
            raise error.__context__ from None
        raise Failed(Reason.MALFORMED, str(error) or type(error).__name__) from error
    except TimeoutError as error:
        raise Failed(Reason.TIMEOUT, "no whole answer in time") from error
    except ConnectionResetError as error:
        raise Failed(Reason.MALFORMED, "the connection was broken off") from error
    except ConnectionRefusedError as error:
        raise Failed(Reason.REFUSED, "nobody listens") from error
    except ssl.SSLError as error:
        raise Failed(Reason.TLS, error.reason or str(error)) from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no DNS can have.
        raise Failed(Reason.UNREACHABLE, str(error)) from error
