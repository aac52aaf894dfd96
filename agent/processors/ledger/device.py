# SPDX-License-Identifier: Apache-2.0
"""One GPU of the ledger: its counters, what it draws when idle, and what became of its energy."""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.processors.ledger.division import WINDOW, Division, window_begins, windowed
from agent.processors.ledger.meters import Meter, Metered
from agent.processors.ledger.steps import Numbers, Steps, running

_BUSY = 0.05
"""Utilization from which on a GPU is not idle, whatever is known of its engines."""
_REST = 1.0
"""Seconds before and after work in which a GPU is not taken to be idle: its clocks and gauges follow late."""
_RESTS = 64
"""Windows of idling that the idle power is the median of."""
_NOTHING = 1e-9
_WHOLE = 0.9
"""Share of a window's length from which on it is whole, rounding aside."""


class Accounts(NamedTuple):
    """What became of a GPU's energy since the ledger began, J. `held` is of now, the rest only grows."""

    measured: float
    attributed: float
    idle: float
    unattributed: float
    held: float


class Device:
    """A GPU."""

    def __init__(self, meter: Meter, idle_watts: float | None = None) -> None:
        """Read it with this meter. `idle_watts` is what it was seen to draw when idle, in an earlier life."""
        self.meter = meter
        self.measured = self.attributed = self.idle = self.unattributed = 0.0
        self._seconds = self._joules = 0.0
        self._rests: deque[float] = deque([] if idle_watts is None else [idle_watts], maxlen=_RESTS)

    @property
    def mean_watts(self) -> float:
        """What it draws on average, W."""
        return self._joules / self._seconds if self._seconds else 0.0

    @property
    def idle_watts(self) -> float | None:
        """What it draws when idle, W; None while that was not seen."""
        return float(np.median(self._rests)) if self._rests else None

    def note(self, metered: Metered, divided: Division) -> None:
        """Enter what became of the energy of some steps. What grew while nobody could read it is nobody's."""
        measured, idle, unclaimed = (float(one.sum()) for one in (metered.joules, divided.idle, divided.unclaimed))
        held = sum(float(part.held.sum()) for part in divided.parts)
        self.measured += measured + metered.missed
        self.idle += idle
        self.unattributed += unclaimed + metered.missed
        # Rounding aside, all these only grow.
        self.attributed += max(0.0, measured - idle - unclaimed - held)

    def rest(self, steps: Steps, metered: Metered, quiet: NDArray[np.bool_]) -> None:
        """Learn from windows in which nothing ran what it draws then, and what it draws on average."""
        self._seconds += steps.length * steps.seconds
        self._joules += float(metered.joules.sum())
        if metered.utilization is not None:
            quiet = quiet & ~_somewhere(steps, metered.utilization > _BUSY)
        joules, length = windowed(steps, metered.joules), windowed(steps, np.full(steps.length, steps.seconds))
        begins = window_begins(steps)
        for place in begins[quiet[begins] & (joules[begins] > 0) & (length[begins] > _WHOLE * WINDOW)].tolist():
            self._rests.append(float(joules[place] / length[place]))


def quiet(steps: Steps, sequences: Numbers) -> NDArray[np.bool_]:
    """Tell the steps of windows in which no sequence ran, nor shortly before or after within the steps."""
    around = max(1, round(_REST / steps.seconds))
    near = running((sequences > _NOTHING).astype(np.float64))
    place = np.arange(steps.length)
    active = near[np.minimum(place + around + 1, steps.length)] > near[np.maximum(place - around, 0)]
    return ~_somewhere(steps, active)


def busy(steps: Steps, metered: Metered) -> NDArray[np.bool_]:
    """Tell the steps of windows all through which the GPU worked, by its utilization."""
    if metered.utilization is None:
        return np.zeros(steps.length, bool)
    return ~_somewhere(steps, metered.utilization <= _BUSY)


def _somewhere(steps: Steps, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell the steps of windows in which something holds somewhere."""
    found: NDArray[np.bool_] = windowed(steps, mask.astype(np.float64)) > 0
    return found
