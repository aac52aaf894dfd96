# SPDX-License-Identifier: Apache-2.0
"""Energy of meters since the agent started: of counters that wrap, and of power that is added up over time."""

from agent.clock import NS

_LONGEST_GAP = 3 * NS
"""ns between two readings of power over which is still integrated: what it did in between is not known."""
_MOST_WATTS = 10_000.0
"""More than any socket draws: a counter that fell and would have drawn more than this has not wrapped, but begun
again."""


class WrappingCounter:
    """Follows a counter that begins again at 0 after `wraps_at`, in units of which `scale` make a joule."""

    def __init__(self, wraps_at: int, scale: float) -> None:
        """Nothing has been read."""
        self._wraps_at = wraps_at
        self._scale = scale
        self._last: tuple[int, int] | None = None
        self.joules = 0.0
        self.watts: float | None = None
        """Mean power between the last two readings."""

    def take(self, value: int, time: int) -> None:
        """Take in a reading, ns. One that falls has wrapped once, or else begun again."""
        if self._last is not None and time > self._last[1]:
            before, since = self._last
            seconds = (time - since) / NS
            grown = value - before
            if grown < 0:
                grown += self._wraps_at
                if grown < 0 or grown / self._scale > _MOST_WATTS * seconds:
                    grown = value
            self.joules += grown / self._scale
            self.watts = grown / self._scale / seconds
        self._last = (value, time)


class IntegratedPower:
    """Adds up power over time by the trapezoidal rule."""

    def __init__(self, longest_gap: int = _LONGEST_GAP) -> None:
        """Nothing has been read. What a gap of more than `longest_gap` ns took is left out."""
        self._longest_gap = longest_gap
        self._last: tuple[float, int] | None = None
        self.joules = 0.0

    def take(self, watts: float, time: int) -> None:
        """Take in a reading, ns."""
        if self._last is not None:
            before, since = self._last
            if 0 < time - since <= self._longest_gap:
                self.joules += (before + watts) / 2 * (time - since) / NS
        self._last = (watts, time)


class Growth:
    """Adds up what counters of several things grew by, also over their restarts."""

    def __init__(self) -> None:
        """Nothing has been read."""
        self._last: dict[str, float] = {}
        self.total = 0.0

    def take(self, values: dict[str, float]) -> None:
        """Take in what the counters say now. One that was not there counts from now on."""
        for name, value in values.items():
            before = self._last.get(name)
            if before is not None:
                # A counter that fell has begun again at 0.
                self.total += value - before if value >= before else value
        self._last = dict(values)
