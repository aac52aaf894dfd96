# SPDX-License-Identifier: Apache-2.0
"""Keeps a reader running, and does without it when the driver hangs.

A reader that is silent for `SILENT` loses its series. After `REPLACE` another is started that leaves the GPU alone
whose call did not return; the silent one is asked to end and watched, because its end is the end of the hang.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from agent.catalogue import own
from agent.clock import NS, Clock
from agent.entities import Agent
from agent.metric import Sample
from agent.reader.intake import Intake
from agent.reader.link import Heard, Link, ReaderLink
from agent.reader.wire import Dropped, Include, Resend, Setup

LOG = logging.getLogger("joulespan.reader")

SILENT = 3.0
"""Seconds without a word after which a reader's values are stale. It speaks every energy interval, or each second."""
REPLACE = 5.0
"""Seconds of silence after which another reader is started."""
OPENING = 60.0
"""Seconds that opening the driver may take: without persistence mode every GPU is initialised first."""
MAX_STUCK = 4
"""Readers that may hang before no more are started."""
_BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_SLEEP = 5.0
"""Seconds between looks at GPUs that runtime power management has put to sleep: opening the driver would wake them."""
_STABLE = 60 * NS
"""ns after which a reader that ends is no part of a series of failures."""


class Supervisor:
    """The policy: when to start, replace and end readers. `tick` does what is due; call it about twice a second."""

    def __init__(
        self,
        setup: Setup,
        intake: Intake,
        clock: Clock,
        link: Callable[[Setup, Clock, Heard], Link] = ReaderLink,
        *,
        asleep: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare; `start` starts the first reader, by calling `link`, unless all GPUs are `asleep`."""
        self.intake = intake
        self._setup = setup
        self._clock = clock
        self._new_link = link
        self._asleep = asleep
        self._link: Link | None = None
        self._stuck: dict[Link, int] = {}
        self._ending: list[Link] = []
        self._silent = False
        self._starts = 0
        self._failures = 0
        self._next_start = 0
        self._released_until = 0

    def start(self) -> None:
        """Start a reader. It is listened to from the next `attach`."""
        if self._asleep():
            LOG.debug("nvml: every GPU is asleep; looking again in %g s", _SLEEP)
            self._next_start = self._clock.monotonic_ns() + int(_SLEEP * NS)
            return
        self.intake.restart()
        self.intake.hung = {index for index in self._stuck.values() if index >= 0}
        self.intake.lost -= self.intake.hung
        setup = msgspec.structs.replace(self._setup, avoid=sorted(self.intake.hung))
        try:
            self._link = self._new_link(setup, self._clock, self._heard)
        except OSError as error:  # No memory, too many processes: everything else goes on.
            LOG.warning("nvml: no reader can be started, next try in %g s: %s", _BACKOFF[-1], error)
            self._next_start = self._clock.monotonic_ns() + int(_BACKOFF[-1] * NS)
            return
        self._silent = False
        self._starts += 1

    def attach(self) -> None:
        """Listen to the reader that was started last. To be called in the event loop."""
        if self._link:
            self._link.attach()

    def reconfigure(self, setup: Setup) -> None:
        """Read in another way from now on: with a new reader."""
        if setup != self._setup:
            self._setup = setup
            self._end(0.0)

    def release(self, seconds: float) -> None:
        """Let go of the driver for a while, so that it can be unloaded."""
        LOG.info("nvml: released the driver for %g s", seconds)
        self._end(0.0)
        self._released_until = self._clock.monotonic_ns() + int(seconds * NS)

    def tick(self) -> None:
        """Look at the readers and do what is due."""
        self._watch_stuck()
        self._ending = [link for link in self._ending if link.exit_code() is None]
        if self._link is None:
            due = max(self._next_start, self._released_until)
            if self._clock.monotonic_ns() >= due and len(self._stuck) < MAX_STUCK:
                self.start()
                self.attach()
            return
        code = self._link.exit_code()
        silence = self._link.silence()
        if code is not None or self._link.broken:
            self._exited(code)
        elif self._link.heard_at is None:
            if silence > OPENING:
                self._replace()
        elif silence > REPLACE:
            self._replace()
        elif silence > SILENT and not self._silent:
            self._silent = True
            self.intake.forget()
            LOG.warning("nvml: reader %d silent for %.1f s %s; its series end", self._link.pid, silence, self._where())

    def stop(self) -> list[Link]:
        """Ask every reader to end; return those there are, for `kill` after a grace."""
        links = [*self._stuck, *self._ending, *([self._link] if self._link else [])]
        for link in links:
            link.terminate()
        return links

    @property
    def ready(self) -> bool:
        """Whether the driver is open and answers."""
        return self._link is not None and self.intake.opened and not self._silent

    def samples(self) -> Iterator[Sample]:
        """Say how the reader is."""
        yield own.READER_UP(Agent(), self.ready)
        yield own.READER_STARTS(Agent(), self._starts)
        yield own.READER_STUCK(Agent(), len(self._stuck))
        if self._link is not None:
            yield own.READER_SILENCE(Agent(), self._link.silence())

    def pids(self) -> list[int]:
        """Process ids of the readers."""
        return [link.pid for link in (*self._stuck, self._link) if link is not None]

    def _heard(self, link: Link, messages: list[Any]) -> None:
        if link is not self._link:
            return  # An old one that came back: what it says is stale.
        if self._silent:
            LOG.info("nvml: reader %d is heard again", link.pid)
            self._silent = False
            link.send(Resend())
        if any(isinstance(message, Dropped) for message in messages):
            # What was dropped may have been the loss of a GPU: believe nothing that was said before.
            LOG.warning("nvml: reader %d had to drop messages; its series begin anew", link.pid)
            self.intake.forget()
            link.send(Resend())
        self.intake.take(messages)

    def _exited(self, code: int | None) -> None:
        assert self._link
        why = self._link.broken or f"exit code {code}"
        if self._clock.monotonic_ns() - self._link.started_at > _STABLE:
            self._failures = 0
        delay = _BACKOFF[min(self._failures, len(_BACKOFF) - 1)]
        self._failures += 1
        if not self.intake.failure:
            LOG.warning("nvml: reader %d ended (%s), next in %g s", self._link.pid, why, delay)
        self._end(delay)

    def _replace(self) -> None:
        assert self._link
        call = self._link.call()
        LOG.warning("nvml: reader %d hangs %s; it is replaced", self._link.pid, self._where())
        self._stuck[self._link] = call.device if call else -1
        # A hang that belongs to no GPU would take the next reader as well: give it time.
        delay = 0.0 if call and call.device >= 0 else _BACKOFF[-1]
        self._end(delay)

    def _end(self, delay: float) -> None:
        if self._link is not None:
            self._link.terminate()
            if self._link not in self._stuck:
                self._link.close()
                self._ending.append(self._link)
        self._link = None
        self.intake.forget()
        self._next_start = self._clock.monotonic_ns() + int(delay * NS)

    def _watch_stuck(self) -> None:
        for link, index in tuple(self._stuck.items()):
            if link.exit_code() is None:
                continue
            del self._stuck[link]
            link.close()
            LOG.info("nvml: reader %d came back and ended", link.pid)
            if self._link is not None and index >= 0 and index not in self._stuck.values():
                self._link.send(Include([index]))
            self._next_start = 0

    def _where(self) -> str:
        call = self._link.call() if self._link else None
        if call is None:
            return "before its first call"
        return f"in {call.name}" + (f" on gpu{call.device}" if call.device >= 0 else "")
