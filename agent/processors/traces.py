# SPDX-License-Identifier: Apache-2.0
"""Spans of traces that are not complete yet, for the requests that several spans tell together."""

from collections import OrderedDict
from collections.abc import Sequence

from agent.clock import NS
from agent.spans import Span

_KEEP = 120 * NS
"""Time for which a trace is remembered after its first span. SDKs export every 5 s, stages of a request at its end."""


class Traces:
    """Remembers spans by trace. Bounded in spans and in time; the oldest traces go first."""

    def __init__(self, capacity: int = 65_536) -> None:
        """Remember at most `capacity` spans."""
        self._capacity = capacity
        self._traces: OrderedDict[bytes, tuple[int, list[Span]]] = OrderedDict()
        self._spans = 0
        self.dropped = 0
        """Spans forgotten because there was no room."""

    def __len__(self) -> int:
        """Count the spans."""
        return self._spans

    @property
    def fill(self) -> float:
        """Share of the capacity in use."""
        return self._spans / self._capacity

    def add(self, span: Span, now: int) -> None:
        """Remember a span at a time (ns, monotonic)."""
        self._expire(now)
        _, spans = self._traces.setdefault(span.trace_id, (now, []))
        spans.append(span)
        self._spans += 1
        while self._spans > self._capacity:
            _, (_, gone) = self._traces.popitem(last=False)
            self._spans -= len(gone)
            self.dropped += len(gone)

    def of(self, trace_id: bytes) -> Sequence[Span]:
        """Give what is known of a trace."""
        found = self._traces.get(trace_id)
        return found[1] if found else ()

    def _expire(self, now: int) -> None:
        while self._traces:
            trace_id, (since, spans) = next(iter(self._traces.items()))
            if now - since <= _KEEP:
                return
            del self._traces[trace_id]
            self._spans -= len(spans)
