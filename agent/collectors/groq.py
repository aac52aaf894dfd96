# SPDX-License-Identifier: Apache-2.0
"""Groq's metrics of an organization, asked for in a thread of its own."""

import threading
from collections.abc import Callable, Iterator

from agent.clock import NS, Clock
from agent.collectors.groq_answer import QUESTIONS, read
from agent.errors import JoulespanError, Unavailable
from agent.metric import Sample

NAME = "groq"
_MISSED = 3
"""Rounds without an answer after which the last one is no longer told."""


class GroqMetrics:
    """Asks all questions each `interval` s, and keeps the answers of the last round. Starts and stops like a pusher."""

    def __init__(self, ask: Callable[[str], bytes], clock: Clock, interval: float) -> None:
        """`ask` gives the answer to a query, or raises Unavailable."""
        self._ask = ask
        self._clock = clock
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
        # Replaced as a whole: the thread writes, and another one reads.
        self._told: tuple[int, tuple[Sample, ...]] | None = None
        self._failure: JoulespanError | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """End; a question that is not answered is left to itself."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(grace_seconds)

    def poll(self) -> None:
        """Ask all questions. The first one that fails ends the round, and what was told before stands for a while."""
        found: list[Sample] = []
        try:
            for question in QUESTIONS:
                now = self._clock.unix_ns(self._clock.monotonic_ns()) / NS
                found += read(question, self._ask(question.query), now)
        except JoulespanError as error:
            self._failure = error
        except ValueError as error:
            self._failure = Unavailable(str(error))
        else:
            self._failure = None
            self._told = (self._clock.monotonic_ns(), tuple(found))

    def read(self) -> Iterator[Sample]:
        """Say what was answered. Raises what the last round failed of, once nothing of before is true."""
        told = self._told
        if told is None or self._clock.monotonic_ns() - told[0] > _MISSED * self._interval * NS:
            if told is None and self._failure is None:
                return
            raise self._failure or Unavailable("no answer for three rounds")
        yield from told[1]

    def _run(self) -> None:
        while True:
            self.poll()
            if self._stopping.wait(self._interval):
                return
