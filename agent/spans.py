# SPDX-License-Identifier: Apache-2.0
"""Spans as engines send them: read where it matters, kept as bytes for the way out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from agent.otlp.values import Value, attributes

INTERNAL, SERVER, CLIENT = (
    SpanMessage.SPAN_KIND_INTERNAL,
    SpanMessage.SPAN_KIND_SERVER,
    SpanMessage.SPAN_KIND_CLIENT,
)
_TRACE_ID, _SPAN_ID = 16, 8
_NOTHING = bytes(_TRACE_ID)


class Peer(NamedTuple):
    """The other end of the connection on which something came: its address as seen from here, and our port."""

    host: str
    port: int
    local_port: int


class Source(NamedTuple):
    """Who sent a span: the attributes of its resource, and the connection, where it is known."""

    attributes: Mapping[str, Value]
    peer: Peer | None = None


class Span:
    """A span. Times are unix ns, as its sender's clock said; ids are bytes; `parent_id` is empty for a root.

    Ids are chosen by the sender: the pair of trace and span id is unique neither over processes nor in one.
    """

    __slots__ = ("_attributes", "_failed", "_links", "_message", "end", "kind", "name", "parent_id", "scope", "source",
                 "span_id", "start", "trace_id")  # fmt: skip

    def __init__(self, message: SpanMessage, source: Source, scope: str) -> None:
        """Read what every span has. `scope` is the name of its instrumentation scope."""
        self._message: SpanMessage | None = message
        self._attributes: dict[str, Value] = {}
        self._failed = False
        self._links: tuple[bytes, ...] = ()
        self.source = source
        self.scope = scope
        self.trace_id = message.trace_id
        self.span_id = message.span_id
        self.parent_id = message.parent_span_id
        self.name = message.name
        self.kind = message.kind
        self.start = message.start_time_unix_nano
        self.end = message.end_time_unix_nano

    @property
    def attributes(self) -> Mapping[str, Value]:
        """Its attributes, read at the first use."""
        if self._message is not None:
            self._read()
        return self._attributes

    @property
    def failed(self) -> bool:
        """Its status is an error."""
        if self._message is not None:
            self._read()
        return self._failed

    @property
    def links(self) -> Sequence[bytes]:
        """Span ids it is linked to."""
        if self._message is not None:
            self._read()
        return self._links

    def _read(self) -> None:
        """Read the rest, and let go of the message, which takes more memory than what is read of it."""
        message = self._message
        assert message is not None
        self._attributes = attributes(message.attributes)
        self._failed = bool(message.status.code == Status.STATUS_CODE_ERROR)
        if message.links:
            self._links = tuple(link.span_id for link in message.links)
        self._message = None

    def problem(self) -> str | None:
        """Say what the specification forbids about it, in a few words; None when there is nothing."""
        if len(self.trace_id) != _TRACE_ID or self.trace_id == _NOTHING:
            return "a trace id that is not 16 bytes, or all zero"
        if len(self.span_id) != _SPAN_ID or self.span_id == _NOTHING[:_SPAN_ID]:
            return "a span id that is not 8 bytes, or all zero"
        if len(self.parent_id) not in (0, _SPAN_ID):
            return "a parent span id that is not 8 bytes"
        return None
