# SPDX-License-Identifier: Apache-2.0
"""Forwards telemetry that is encoded already, annotated spans first of all, and keeps what a back end cannot take now.

One thread joins what waits to requests and sends them in order. What the back end refuses for good is dropped, as the
OTLP specification demands; a request that holds several parcels is halved first, until only what is wrong is lost.
After any other failure the same is sent again, and what waits meanwhile goes to the disk, where there is a spool: from
there it is sent later, by the next agent if this one ends. What a full queue drops is the oldest.
"""

import logging
import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from agent.catalogue.own import (
    EXPORTER_LAST_SUCCESS,
    EXPORTER_POINTS,
    EXPORTER_REQUESTS,
    QUEUE_DISK_FAILURES,
    QUEUE_DISK_USAGE,
    QUEUE_DROPPED,
    QUEUE_FILL,
)
from agent.clock import NS, Clock
from agent.entities import Exporter, ExporterOutcome, Queue, QueueFailure
from agent.metric import Sample
from agent.otlp.parcel import Parcel
from exporters.otlp_answer import Outcome, Verdict
from exporters.otlp_parcels import REFUSED, Dropped, ParcelQueue
from exporters.otlp_settings import GRPC, OtlpSettings, Signal, Target, address, enabled, target
from exporters.spool import FAILURES, Spool

__all__ = ["OtlpForward", "OtlpSettings", "Parcel", "Tally", "enabled"]

log = logging.getLogger(__name__)

Tally: TypeAlias = Mapping[tuple[str, str, str | None], int]
"""Spans, points or records by receiver, outcome (forwarded, dropped), and the reason of a drop."""

_CAPACITY = 64 << 20
_LARGEST = 2 << 20
"""Bytes of a joined request. Servers refuse more than 4 MiB by default."""
_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0
_SHORTEST_ASKED, _LONGEST_ASKED = 0.1, 60.0
_SPILL, _LOOK = 5.0, 1.0
"""Seconds after which what waits goes to the disk, and between two looks whether it is too much to wait for that."""
_LINES, _LINES_NS = 10, 60 * NS
"""So many changes of state are logged in that time. A back end that flaps is no news."""


class Backend(Protocol):
    """Sends a request."""

    def send(self, body: bytes) -> Outcome:
        """Send, and wait for the answer. Says why when there is none, and does not raise for it."""
        ...

    def close(self) -> None:
        """Give up what is in flight, from any thread."""
        ...


class OtlpForward:
    """The forwarder of one signal: start it, put parcels, ask it for samples about itself, stop it."""

    def __init__(
        self,
        signal: Signal,
        settings: OtlpSettings,
        clock: Clock,
        environ: Mapping[str, str] = os.environ,
        *,
        name: str = "",
        capacity: int = _CAPACITY,
        spool: Spool | None = None,
    ) -> None:
        """Prepare; nothing is connected yet. Raises ConfigError.

        `capacity` is the memory, in bytes, for what waits. `name` is what its metrics call it, if not by its signal.
        """
        self._signal = signal
        self._name = name or signal
        self._backend = _backend(signal, target(settings, environ, signal))
        self._clock = clock
        self._spool = spool
        self._queue = ParcelQueue(capacity, spool)
        self._voice = _Voice(signal, address(settings, environ, signal), clock)
        self._counting = threading.Lock()
        self._tally: Counter[tuple[str, str, str | None]] = Counter()
        self._requests = {"exported": 0, "dropped": 0}
        self._last_success: float | None = None
        self._stopping, self._given_up = threading.Event(), threading.Event()
        # A daemon: a back end that never answers must not keep the process.
        self._sender = threading.Thread(target=self._send_all, name=f"otlp-{self._name}", daemon=True)

    def put(self, parcels: Sequence[Parcel]) -> None:
        """Give parcels to send, in order. From any thread; never blocks."""
        self._drop(self._queue.put(parcels))

    def lose(self, receiver: str, items: int, reason: str) -> None:
        """Count items that could not even be made parcels. From any thread."""
        with self._counting:
            self._count(receiver, "dropped", reason, items)

    def start(self) -> None:
        """Begin to send."""
        self._sender.start()

    def stop(self, grace_seconds: float) -> None:
        """Send what waits, for at most `grace_seconds`; blocks that long when the back end is away or hangs.

        What is then left, in flight or not, is kept on disk where there is a spool, and else dropped. Not to be called
        from the event loop.
        """
        self._stopping.set()
        self._queue.close()
        if self._sender.ident is not None:
            self._sender.join(grace_seconds)
        self._given_up.set()
        stopped, full, kept = self._queue.abandon()
        self._drop(full)
        self._drop(stopped)
        self._voice.stopped(sum(sum(parcel.items.values()) for parcel in stopped.parcels), kept)
        self._backend.close()

    def samples(self) -> Iterator[Sample]:
        """Say what became of the items and how full the queue is. From any thread."""
        tally = self.tally()
        for outcome, counted in (("exported", "forwarded"), ("dropped", "dropped")):
            items = sum(number for (_, found, _), number in tally.items() if found == counted)
            yield EXPORTER_POINTS(ExporterOutcome(self._name, outcome), items)
            yield EXPORTER_REQUESTS(ExporterOutcome(self._name, outcome), self._requests[outcome])
        if self._last_success is not None:
            yield EXPORTER_LAST_SUCCESS(Exporter(self._name), self._last_success)
        yield QUEUE_FILL(Queue(self._name), self._queue.fill)
        yield QUEUE_DROPPED(Queue(self._name), self._queue.dropped)
        if self._spool is not None:
            yield QUEUE_DISK_USAGE(Queue(self._name), self._spool.usage)
            for failure in FAILURES:
                yield QUEUE_DISK_FAILURES(QueueFailure(self._name, failure), self._spool.failures[failure])

    def tally(self) -> Tally:
        """Say what became of the items of each receiver. From any thread."""
        with self._counting:
            return dict(self._tally)

    def _send_all(self) -> None:
        failures = 0
        # Small requests while it fails: one that only takes too long gets through, and asking costs little.
        while parcels := self._queue.next(_LARGEST >> min(failures, 12)):
            outcome = self._try(parcels)
            if outcome.verdict is Verdict.AWAY:
                self._queue.put_back()
                self._drop(self._queue.spill())
                self._voice.tell(outcome, 0)
                self._rest(pause(failures, outcome.pause))
                failures = 0 if self._stopping.is_set() else failures + 1
            elif outcome.verdict is Verdict.REFUSED and len(parcels) > 1:
                self._queue.put_back_halves()
            elif self._queue.done():
                failures = 0
                self._settle(parcels, outcome)

    def _try(self, parcels: Sequence[Parcel]) -> Outcome:
        try:
            return self._backend.send(b"".join(parcel.body for parcel in parcels))
        except Exception as error:  # noqa: BLE001 - the thread must not end with one request
            return Outcome(Verdict.REFUSED, f"{type(error).__name__}: {error}")

    def _rest(self, seconds: float) -> None:
        """Wait for the next try. The beginning of the stop ends this, and after that only the end of its grace does."""
        ended = self._given_up if self._stopping.is_set() else self._stopping
        now = time.monotonic()
        until, spilled = now + seconds, now
        while (left := until - now) > 0 and not ended.wait(min(left, _LOOK)):
            now = time.monotonic()
            if self._queue.crowded or now - spilled >= _SPILL:
                self._drop(self._queue.spill())
                spilled = now

    def _settle(self, parcels: Sequence[Parcel], outcome: Outcome) -> None:
        taken = outcome.verdict is Verdict.TAKEN
        items = _total(parcels)
        self._voice.tell(outcome, sum(items.values()))
        rejected = shares(outcome.rejected, items) if taken else items
        if taken:
            self._last_success = self._clock.unix_ns(self._clock.monotonic_ns()) / NS
        with self._counting:
            self._requests["exported" if taken else "dropped"] += 1
            for receiver, number in items.items():
                self._count(receiver, "forwarded", None, number - rejected[receiver])
                self._count(receiver, "dropped", REFUSED, rejected[receiver])

    def _drop(self, dropped: Dropped) -> None:
        if dropped.parcels:
            with self._counting:
                for receiver, number in _total(dropped.parcels).items():
                    self._count(receiver, "dropped", dropped.reason, number)

    def _count(self, receiver: str, outcome: str, reason: str | None, number: int) -> None:
        if number:
            self._tally[receiver, outcome, reason] += number


class _Voice:
    """Logs what a back end does when that changes, and only then."""

    def __init__(self, signal: Signal, address: str, clock: Clock) -> None:
        self._signal = signal
        self._address = address
        self._clock = clock
        self._state = ""
        self._said: deque[int] = deque(maxlen=_LINES)
        self._quiet = False

    def tell(self, outcome: Outcome, items: int) -> None:
        """Say what became of a request with so many items, unless it became of the last one too."""
        in_part = outcome.verdict is Verdict.TAKEN and (outcome.rejected or outcome.cause)
        state = "in part" if in_part else outcome.verdict.value
        now = self._clock.monotonic_ns()
        often = len(self._said) == _LINES and now - self._said[0] < _LINES_NS
        if state == self._state or often or self._quiet:
            return
        self._state = state
        self._said.append(now)
        level, words = self._words(outcome, items, state)
        log.log(level, "otlp: %s %s", self._address, words)

    def stopped(self, items: int, kept: int) -> None:
        """Say what was not sent, if anything, and nothing more."""
        self._quiet = True
        if kept:
            log.info("otlp: stopped, bytes with %s for %s kept on disk: %d", _ITEMS[self._signal], self._address, kept)
        if items:
            log.warning("otlp: stopped, %s not sent to %s: %d", _ITEMS[self._signal], self._address, items)

    def _words(self, outcome: Outcome, items: int, state: str) -> tuple[int, str]:
        if outcome.verdict is Verdict.AWAY:
            return logging.WARNING, f"cannot be reached, {self._signal} wait: {outcome.cause}"
        if outcome.verdict is not Verdict.TAKEN:
            return logging.ERROR, f"refuses {self._signal}, they are dropped: {outcome.cause}"
        if state == "taken":
            return logging.INFO, f"takes {self._signal}"
        rejected = f"{outcome.rejected} of {items} {_ITEMS[self._signal]} rejected"
        return logging.WARNING, f"takes {self._signal}, {rejected}: {outcome.cause}"


_ITEMS: dict[Signal, str] = {"traces": "spans", "metrics": "points", "logs": "log records"}


def pause(failures: int, asked: float | None, spread: Callable[[float, float], float] = random.uniform) -> float:
    """Choose the seconds until the next try: what the server asked for, within reason, or doubling.

    Spread, so that a fleet does not come back at once, but never shorter than what was asked for up to a minute.
    """
    if asked:
        return min(max(asked, _SHORTEST_ASKED) * spread(1.0, 1.1), _LONGEST_ASKED)
    return min(_FIRST_RETRY * 2.0 ** min(failures, 10), _LAST_RETRY) * spread(0.5, 1.0)


def shares(rejected: int, items: Mapping[str, int]) -> dict[str, int]:
    """Share what a server rejected among the receivers by what they gave; the server does not say whose it was.

    The shares are whole, none is more than was given, and together they are `rejected`, if that many were given.
    """
    left, total = min(rejected, sum(items.values())), sum(items.values())
    found = {}
    for receiver, number in items.items():
        found[receiver] = round(left * number / total) if total else 0
        left, total = left - found[receiver], total - number
    return found


def _total(parcels: Iterable[Parcel]) -> Counter[str]:
    total: Counter[str] = Counter()
    for parcel in parcels:
        total.update(parcel.items)
    return total


def _backend(signal: Signal, to: Target) -> Backend:
    """Make the sender for the protocol; the library of the other one is not loaded."""
    if to.protocol == GRPC:
        from exporters.otlp_forward_grpc import GrpcBackend  # noqa: PLC0415

        return GrpcBackend(to, signal)
    from exporters.otlp_forward_http import HttpBackend  # noqa: PLC0415

    return HttpBackend(to, signal)
