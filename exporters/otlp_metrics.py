# SPDX-License-Identifier: Apache-2.0
"""Pushes every metric over OTLP, and keeps what a back end that is away could not take.

One thread takes a snapshot each interval and puts it in a bounded queue, another sends the queue in order. A push
that the back end refuses for good is dropped, as the OTLP specification demands; after any other failure it is
tried again. All times that matter are those of the values, so that late pushes are as good as punctual ones.
"""

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from agent.catalogue.own import (
    EXPORTER_LAST_SUCCESS,
    EXPORTER_POINTS,
    EXPORTER_REQUESTS,
    QUEUE_DROPPED,
    QUEUE_FILL,
)
from agent.clock import NS, Clock
from agent.entities import Exporter, ExporterOutcome, Queue
from agent.metric import Sample
from agent.snapshot import Snapshot
from exporters.otlp_points import Observer, Push
from exporters.otlp_settings import OtlpSettings, address, enabled, interval, protocol

if TYPE_CHECKING:
    from exporters.otlp_sdk import Outcome

__all__ = ["OtlpMetrics", "OtlpSettings", "enabled"]

log = logging.getLogger(__name__)

_NAME = "otlp"
_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0


class OtlpMetrics:
    """The OTLP metrics exporter: start it, ask it for samples about itself, stop it."""

    def __init__(
        self,
        settings: OtlpSettings,
        resource: Mapping[str, str],
        clock: Clock,
        snapshot: Callable[[], Snapshot],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Load the SDK, which takes 0.2 s, and prepare. `snapshot` is called from a thread. Raises ConfigError."""
        self._interval = interval(settings, environ)
        spoken = protocol(settings, environ)
        from exporters.otlp_sdk import Backend  # noqa: PLC0415 - only who pushes pays for the SDK

        self._backend = Backend(settings, spoken, resource)
        self._address = address(settings, environ)
        self._clock = clock
        self._snapshot = snapshot
        self._observer = Observer(clock)
        self._queue = _PushQueue(max(2, settings.queue))
        self._counts = {outcome: [0, 0] for outcome in ("exported", "dropped")}
        self._counting = threading.Lock()  # Both threads drop.
        self._last_success: float | None = None
        self._state = ""
        self._stopping = threading.Event()
        # Daemons: a back end that never answers must not keep the process.
        self._taker = threading.Thread(target=self._take_each_interval, name="otlp-take", daemon=True)
        self._sender = threading.Thread(target=self._send_all, name="otlp-send", daemon=True)

    def start(self) -> None:
        """Begin to take and send; the first push is made after one interval."""
        self._taker.start()
        self._sender.start()

    def stop(self, grace_seconds: float) -> None:
        """Send a last push and what waits, for at most `grace_seconds`; blocks that long when the back end hangs.

        What is then still in flight is given up. Not to be called from the event loop.
        """
        deadline = time.monotonic() + grace_seconds
        self._stopping.set()
        self._taker.join(grace_seconds)
        self._take()
        self._queue.close()
        self._sender.join(max(0.0, deadline - time.monotonic()))
        self._backend.close()
        if left := len(self._queue):
            log.warning("otlp: stopped, pushes not sent to %s: %d", self._address, left)

    def samples(self) -> Iterator[Sample]:
        """Say what became of the points and how full the queue is. From any thread."""
        for outcome, (requests, points) in self._counts.items():
            yield EXPORTER_POINTS(ExporterOutcome(_NAME, outcome), points)
            yield EXPORTER_REQUESTS(ExporterOutcome(_NAME, outcome), requests)
        if self._last_success is not None:
            yield EXPORTER_LAST_SUCCESS(Exporter(_NAME), self._last_success)
        yield QUEUE_FILL(Queue(_NAME), len(self._queue) / self._queue.capacity)
        yield QUEUE_DROPPED(Queue(_NAME), self._queue.dropped)

    def _take_each_interval(self) -> None:
        while not self._stopping.wait(self._interval):
            self._take()

    def _take(self) -> None:
        push = self._observer.push(self._snapshot())
        if push.parts and (dropped := self._queue.put(push)):
            self._count("dropped", dropped)

    def _send_all(self) -> None:
        failures = 0
        while (push := self._queue.next()) is not None:
            outcome = self._backend.send(push)
            self._note(outcome)
            if outcome.taken or not outcome.again:
                failures = 0
                self._queue.done()
                self._count("exported" if outcome.taken else "dropped", push)
            elif self._stopping.is_set():
                return
            else:
                self._queue.put_back(push)
                self._stopping.wait(_pause(failures))
                failures += 1

    def _count(self, outcome: str, push: Push) -> None:
        size, counts = push.size(), self._counts[outcome]
        with self._counting:
            counts[0] += 1
            counts[1] += size

    def _note(self, outcome: "Outcome") -> None:
        """Log a change of state, and only that."""
        state = "taken" if outcome.taken else "away" if outcome.again else "refused"
        if outcome.taken:
            self._last_success = self._clock.unix_ns(self._clock.monotonic_ns()) / NS
        if state == self._state or self._stopping.is_set():
            return
        self._state = state
        if outcome.taken:
            log.info("otlp: %s takes metrics, pushes that wait: %d", self._address, len(self._queue) - 1)
        elif outcome.again:
            log.warning(
                "otlp: %s cannot be reached, the last %d pushes are kept: %s",
                self._address,
                self._queue.capacity,
                outcome.cause,
            )
        else:
            log.error("otlp: %s refuses metrics, they are dropped: %s", self._address, outcome.cause)


class _PushQueue:
    """Pushes that wait, oldest first, and the one in flight, which counts and is never the one that is dropped."""

    def __init__(self, capacity: int) -> None:
        """Hold at most `capacity` pushes."""
        self.capacity = capacity
        self.dropped = 0
        self._changed = threading.Condition()
        self._waiting: deque[Push] = deque()
        self._in_flight = 0
        self._closed = False

    def __len__(self) -> int:
        """Count the pushes."""
        return len(self._waiting) + self._in_flight

    def put(self, push: Push) -> Push | None:
        """Add the newest, and return the one that had to go for it."""
        with self._changed:
            dropped = self._waiting.popleft() if len(self) >= self.capacity else None
            self.dropped += dropped is not None
            self._waiting.append(push)
            self._changed.notify()
        return dropped

    def next(self) -> Push | None:
        """Wait for the oldest and take it in flight; None when the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            self._in_flight = 1
            return self._waiting.popleft()

    def done(self) -> None:
        """Forget the one in flight."""
        with self._changed:
            self._in_flight = 0

    def put_back(self, push: Push) -> None:
        """Return the one in flight to its place."""
        with self._changed:
            self._in_flight = 0
            self._waiting.appendleft(push)

    def close(self) -> None:
        """Let next() end once all is taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()


def _pause(failures: int) -> float:
    """Choose the seconds until the next try: doubling, and spread so that a fleet does not come back at once."""
    return min(_FIRST_RETRY * 2.0 ** min(failures, 10), _LAST_RETRY) * random.uniform(0.5, 1.0)  # noqa: S311
