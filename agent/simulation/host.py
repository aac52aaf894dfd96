# SPDX-License-Identifier: Apache-2.0
"""Energy meters of the demo's host: two sockets with their memory, as RAPL has them."""

from collections.abc import Callable
from math import cos, tau

from agent.clock import NS, Clock
from agent.system.power_meters import Kind, Meter

_RANGE = 262_143_328_850
"""Microjoules after which such a counter begins again."""
_PERIOD = 120.0
"""Seconds in which the load of the host rises and falls."""


def simulated_meters(clock: Clock) -> list[Meter]:
    """Make the meters. What they say is a function of the time."""
    found = []
    for socket in (0, 1):
        found.append(_meter(clock, f"cpu{socket}", f"package-{socket}", "cpu", "package", 165.0 + 12 * socket, 60.0))
        found.append(_meter(clock, f"memory{socket}", "dram", "memory", "dram", 28.0 + 2 * socket, 9.0))
    return found


def _meter(clock: Clock, name: str, label: str, kind: Kind, scope: str, mean: float, swing: float) -> Meter:
    return Meter(name, label, kind, scope, None, "simulated", _energy(clock, mean, swing), _RANGE)


def _energy(clock: Clock, mean: float, swing: float) -> Callable[[], int]:
    def read() -> int:
        seconds = clock.monotonic_ns() / NS
        # The integral of mean + swing * sin(tau * t / period).
        joules = mean * seconds - swing * _PERIOD / tau * cos(tau * seconds / _PERIOD)
        return int(joules * 1_000_000) % _RANGE

    return read
