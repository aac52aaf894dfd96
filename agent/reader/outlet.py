# SPDX-License-Identifier: Apache-2.0
"""The reader's end of the socket: never waits for the agent, drops and counts instead."""

import socket
import threading
from typing import Any

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
                self._dropped += 1
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


class Layouts:
    """Turns samples into layouts and blocks: names are sent only when they changed."""

    def __init__(self) -> None:
        """Start with nothing said."""
        self._said: dict[tuple[str, str], tuple[int, dict[Series, int]]] = {}
        self._next = 0

    def forget(self) -> None:
        """Say every name again."""
        self._said.clear()

    def messages(self, collector: str, device: str, time: int, samples: list[Sample]) -> list[Any]:
        """Encode what a collector read from a device. A series that is missing this time keeps its place."""
        known = self._said.get((collector, device))
        if known is None or any(series not in known[1] for series, _ in samples) or 2 * len(samples) < len(known[1]):
            self._next += 1
            known = self._said[collector, device] = (self._next, {series: n for n, (series, _) in enumerate(samples)})
            layout = Layout(known[0], collector, device, [describe(series) for series, _ in samples])
            return [layout, Block(known[0], time, [float(value) for _, value in samples])]
        number, places = known
        values: list[float | None] = [None] * len(places)
        for series, value in samples:
            values[places[series]] = float(value)
        return [Block(number, time, values)]
