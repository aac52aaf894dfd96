# SPDX-License-Identifier: Apache-2.0
"""The reader's end of the socket: never waits for the agent, drops and counts instead."""

import socket
import threading
from typing import Any, NamedTuple

from agent.metric import Sample, Series
from agent.reader.wire import Block, Dropped, Layout, describe, pack

_CAPACITY = 4 << 20
"""Bytes that may wait for the agent: minutes of samples."""


class Outlet:
    """Queues messages and writes as many as the socket takes. Safe to use from several threads."""

    def __init__(self, sock: socket.socket) -> None:
        """Write to a non-blocking stream socket."""
        self._sock = sock
        self._pending = bytearray()
        self._lock = threading.Lock()
        self._dropped = 0

    @property
    def waiting(self) -> bool:
        """Whether bytes wait for the socket to take them."""
        return bool(self._pending)

    def send(self, messages: list[Any]) -> bool:
        """Queue messages as one frame; say whether there was room."""
        with self._lock:
            if len(self._pending) > _CAPACITY:
                self._dropped += len(messages)
                return False
            if self._dropped:
                messages = [Dropped(self._dropped), *messages]
                self._dropped = 0
            self._pending += pack(messages)
            self._flush()
            return True

    def flush(self) -> None:
        """Write what waits. Raises BrokenPipeError or ConnectionError when the agent is gone."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        while self._pending:
            try:
                written = self._sock.send(self._pending)
            except BlockingIOError:
                return
            del self._pending[:written]


class _Said(NamedTuple):
    number: int
    series: tuple[Series, ...]
    places: dict[Series, int]


class Layouts:
    """Turns samples into layouts and blocks: names are sent only when they changed."""

    def __init__(self) -> None:
        """Start with nothing said."""
        self._said: dict[tuple[str, str], _Said] = {}
        self._next = 0

    def forget(self) -> None:
        """Say every name again."""
        self._said.clear()

    def messages(self, collector: str, device: str, time: int, samples: list[Sample]) -> list[Any]:
        """Encode what a collector read from a device. A series that is missing this time keeps its place."""
        said = self._said.get((collector, device))
        series, read = zip(*samples, strict=True) if samples else ((), ())
        if said is not None and said.series == series:
            return [Block(said.number, time, list(read))]
        if said is None or 2 * len(series) < len(said.series) or not said.places.keys() >= set(series):
            self._next += 1
            self._said[collector, device] = _Said(self._next, series, {name: n for n, name in enumerate(series)})
            layout = Layout(self._next, collector, device, [describe(name) for name in series])
            return [layout, Block(self._next, time, list(read))]
        values: list[float | None] = [None] * len(said.series)
        for name, value in samples:
            values[said.places[name]] = value
        return [Block(said.number, time, values)]
