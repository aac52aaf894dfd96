# SPDX-License-Identifier: Apache-2.0
"""One clock: everything is stamped in monotonic nanoseconds and turned into wall time when exported."""

import time
from typing import Protocol

NS = 1_000_000_000
"""Nanoseconds in a second."""


class Clock(Protocol):
    """Reads two clocks: one that never steps, and the one people know."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC: the same in every process of this boot."""
        ...

    def unix_ns(self, monotonic_ns: int) -> int:
        """The wall time, in ns since the epoch, of a monotonic time, as the wall clock stands now."""
        ...


class SystemClock:
    """The machine's clocks.

    The difference of the two is taken anew for each conversion, so that a step of the wall clock
    shows in the exported times at once and never in a duration.
    """

    def monotonic_ns(self) -> int:
        """See Clock."""
        return time.monotonic_ns()

    def unix_ns(self, monotonic_ns: int) -> int:
        """See Clock."""
        return time.time_ns() - (time.monotonic_ns() - monotonic_ns)


class FakeClock:
    """A clock for tests: it moves only when told."""

    def __init__(self, monotonic_ns: int = 1_000 * NS, epoch_ns: int = 1_700_000_000 * NS) -> None:
        """Start at `monotonic_ns`, with the boot at `epoch_ns`."""
        self.now = monotonic_ns
        self.epoch = epoch_ns

    def monotonic_ns(self) -> int:
        """See Clock."""
        return self.now

    def unix_ns(self, monotonic_ns: int) -> int:
        """See Clock."""
        return self.epoch + monotonic_ns

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.now += int(seconds * NS)
