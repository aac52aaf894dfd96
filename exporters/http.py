# SPDX-License-Identifier: Apache-2.0
"""The agent's HTTP interface: /metrics, /healthz, /readyz, /api/v1/snapshot and the page at /.

An ASGI application, served by uvicorn. Every answer is made from the snapshot of the moment; nothing waits for a GPU.
"""

import hmac
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, Protocol

from prometheus_client.exposition import choose_encoder

from agent.catalogue import own
from agent.clock import NS, Clock
from agent.entities import Exporter, ExporterOutcome
from agent.metric import Sample
from agent.snapshot import Snapshot
from exporters.page import page
from exporters.prometheus import Format, PrometheusWriter
from exporters.snapshot_json import snapshot_json

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

_FREQUENT = 2 * NS + NS // 2
"""ns between scrapes up to which text is written ahead."""
_MIN_GZIP = 1024
_GZIP = 31
"""zlib's window bits for the gzip format."""
_LEVEL = 1
"""Levels 1 and 6 differ by a third in size here, and by a factor of three in time."""


class View(Protocol):
    """What the interface shows."""

    def snapshot(self) -> Snapshot:
        """Return the snapshot of the moment."""
        ...

    def ready(self) -> bool:
        """Say whether there is a first snapshot."""
        ...


class Answer(NamedTuple):
    """A response."""

    status: int
    content_type: str
    body: bytes
    cacheable: bool = False


class _Written(NamedTuple):
    snapshot: Snapshot
    bodies: dict[tuple[object, ...], bytes]


class HttpInterface:
    """Answers requests."""

    def __init__(
        self,
        view: View,
        clock: Clock,
        resource: dict[str, str],
        *,
        dcgm: Callable[[Snapshot, Format], str] | None = None,
        token: str | None = None,
        demo: bool = False,
    ) -> None:
        """Show `view`. With a token, everything but the two health checks asks for it."""
        self.dcgm = dcgm
        self._view = view
        self._clock = clock
        self._resource = resource
        self._token = token
        self._demo = demo
        self._writer = PrometheusWriter(resource)
        self._written = _Written(view.snapshot(), {})
        self._formats: dict[str, Format] = {}
        self._scrapes = self._points = 0
        self._last: int | None = None
        self._pages: dict[str, Callable[[dict[bytes, bytes]], Answer]] = {
            "/": lambda _: self._page(),
            "/metrics": self._metrics,
            "/healthz": lambda _: _text(200, "ok\n"),
            "/readyz": lambda _: self._ready(),
            "/api/v1/snapshot": lambda _: self._snapshot(),
        }

    async def __call__(self, scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        """Answer one request: the ASGI interface."""
        headers = dict(scope["headers"])
        answer = self.answer(scope["method"], scope["path"], headers)
        body, encoding = answer.body, []
        if len(body) >= _MIN_GZIP and _accepts_gzip(headers.get(b"accept-encoding", b"")):
            body, encoding = self._compressed(answer), [(b"content-encoding", b"gzip")]
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (b"content-type", answer.content_type.encode()),
                    (b"content-length", str(len(body)).encode()),
                    (b"vary", b"accept, accept-encoding"),
                    *encoding,
                    *_SECURITY,
                    *([(b"www-authenticate", b"Bearer")] if answer.status == 401 else []),  # noqa: PLR2004
                    *([(b"allow", b"GET, HEAD")] if answer.status == 405 else []),  # noqa: PLR2004
                ],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def answer(self, method: str, path: str, headers: dict[bytes, bytes]) -> Answer:
        """Answer, before any compression."""
        found = self._pages.get(path)
        if found is None:
            return _text(404, "there is /metrics, /healthz, /readyz, /api/v1/snapshot and /\n")
        if method not in ("GET", "HEAD"):
            return _text(405, "only GET and HEAD\n")
        if not path.endswith("z") and not self._authorized(headers):
            return _text(401, "a bearer token is asked for\n")
        return found(headers)

    def updated(self) -> None:
        """Take note of a new snapshot. A scraper that comes every second or two finds its text already written."""
        if self._last is not None and self._clock.monotonic_ns() - self._last < _FREQUENT:
            self._writer.prepare(self._view.snapshot())

    def samples(self) -> Iterator[Sample]:
        """Say what was scraped."""
        outcome = ExporterOutcome("prometheus", "exported")
        yield own.EXPORTER_REQUESTS(outcome, self._scrapes)
        yield own.EXPORTER_POINTS(outcome, self._points)
        if self._last is not None:
            yield own.EXPORTER_LAST_SUCCESS(Exporter("prometheus"), self._clock.unix_ns(self._last) / NS)

    def _metrics(self, headers: dict[bytes, bytes]) -> Answer:
        form = self._format(headers.get(b"accept", b"").decode("latin-1"))
        snapshot = self._view.snapshot()
        if snapshot is not self._written.snapshot:
            self._written = _Written(snapshot, {})
        body = self._written.bodies.get((form,))
        if body is None:
            body = self._writer.write(snapshot, form, self.dcgm(snapshot, form) if self.dcgm else "")
            self._written.bodies[form,] = body
        self._scrapes += 1
        self._points += snapshot.series_count()
        self._last = self._clock.monotonic_ns()
        return Answer(200, form.value, body, cacheable=True)

    def _format(self, accept: str) -> Format:
        """Choose as prometheus-client does."""
        form = self._formats.get(accept)
        if form is None:
            try:
                _, content_type = choose_encoder(accept)
            except TypeError:  # A version that is no number.
                content_type = ""
            form = Format.OPENMETRICS if content_type.startswith("application/openmetrics-text") else Format.TEXT
            if len(self._formats) < 64:  # noqa: PLR2004 - clients choose the key
                self._formats[accept] = form
        return form

    def _compressed(self, answer: Answer) -> bytes:
        key = ("gzip", answer.content_type)
        body = self._written.bodies.get(key) if answer.cacheable else None
        if body is None:
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            body = packer.compress(answer.body) + packer.flush()
            if answer.cacheable:
                self._written.bodies[key] = body
        return body

    def _authorized(self, headers: dict[bytes, bytes]) -> bool:
        given = headers.get(b"authorization", b"")
        return self._token is None or hmac.compare_digest(given, b"Bearer " + self._token.encode())

    def _ready(self) -> Answer:
        return _text(200, "ready\n") if self._view.ready() else _text(503, "no snapshot yet\n")

    def _snapshot(self) -> Answer:
        return Answer(200, "application/json", snapshot_json(self._view.snapshot(), self._resource, self._clock))

    def _page(self) -> Answer:
        html = page(self._view.snapshot(), self._resource, demo=self._demo)
        return Answer(200, "text/html; charset=utf-8", html.encode("utf-8", "replace"))


_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    (b"referrer-policy", b"no-referrer"),
)


def _text(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", text.encode())


def _accepts_gzip(header: bytes) -> bool:
    for part in header.lower().split(b","):
        name, _, parameters = part.strip().partition(b";")
        if name.strip() in (b"gzip", b"*"):
            return parameters.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
