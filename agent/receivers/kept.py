# SPDX-License-Identifier: Apache-2.0
"""Metrics that came in over OTLP, the last word on each, for the collectors that want them."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from agent.clock import NS
from agent.otlp.values import Value, attributes

_KEEP = 300 * NS
"""What was not said again for so long is no longer true: senders push every 60 s at the slowest that is usual."""


class Kept(NamedTuple):
    """A metric as it came last: its resource's attributes, its scope's name, the Metric message, ns (monotonic)."""

    resource: Mapping[str, Value]
    scope: str
    metric: Any
    time: int


class KeptMetrics:
    """Remembers metrics by resource, scope and name. Bounded in number and in bytes; the oldest go first."""

    def __init__(self, guard: AbstractContextManager[Any], most: int = 16_384, most_bytes: int = 16 << 20) -> None:
        """Remember at most so many metrics and encoded bytes. `guard` is a lock."""
        self._guard = guard
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[bytes, bytes, str], tuple[Kept, int]] = OrderedDict()
        self._size = 0
        self.dropped = 0
        """Metrics forgotten because there was no room."""

    @property
    def fill(self) -> float:
        """Share of the room in use."""
        return max(len(self._kept) / self._most, self._size / self._most_bytes)

    def put(self, request: Any, now: int) -> None:
        """Remember what an ExportMetricsServiceRequest says."""
        with self._guard:
            for resource in request.resource_metrics:
                whose = resource.resource.SerializeToString()
                told = attributes(resource.resource.attributes)
                for scope in resource.scope_metrics:
                    where = scope.scope.SerializeToString()
                    for metric in scope.metrics:
                        self._put((whose, where, metric.name), Kept(told, scope.scope.name, metric, now))
            while self._kept and (len(self._kept) > self._most or self._size > self._most_bytes):
                self._size -= self._kept.popitem(last=False)[1][1]
                self.dropped += 1

    def metrics(self, now: int) -> Iterator[Kept]:
        """Give those that are still true; what was not said again is forgotten."""
        with self._guard:
            for key in [key for key, (kept, _) in self._kept.items() if now - kept.time > _KEEP]:
                self._size -= self._kept.pop(key)[1]
            found = [kept for kept, _ in self._kept.values()]
        yield from found

    def _put(self, key: tuple[bytes, bytes, str], kept: Kept) -> None:
        if key in self._kept:
            self._size -= self._kept.pop(key)[1]
        encoded = kept.metric.SerializeToString()
        # A copy: a part of a message keeps all of it in memory.
        self._kept[key] = (kept._replace(metric=type(kept.metric).FromString(encoded)), len(encoded))
        self._size += len(encoded)
