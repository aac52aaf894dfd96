# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a simulated GPU; agent.simulation.faults says when."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

_NONE: Final[Mapping[str, float]] = MappingProxyType({})


class Condition(NamedTuple):
    """How a GPU is at a time. Counts are since the library's zero, and are added to those of a healthy GPU."""

    lost: bool = False
    """Off the bus: whatever it is asked raises DeviceLost."""
    reasons: frozenset[str] = frozenset()
    """Why its clocks are held down, in the words of agent.system.nvml.names.THROTTLE_REASONS."""
    throttled: Mapping[str, float] = _NONE
    """Seconds that its clocks were held down, by reason."""
    clock: float = 1.0
    """The share of its SM clock that is left."""
    warmer: float = 0.0
    """°C by which it is warmer than its work makes it."""
    limit_watts: float | None = None
    """Power limit that an administrator has set."""
    corrected: int = 0
    uncorrected: int = 0
    """Memory errors."""
    remapped: int = 0
    """Memory rows replaced because of uncorrected errors."""
    remap_pending: bool = False
    remap_failed: bool = False
    action: int = 0
    """What the driver asks for, an NVML recovery action."""
    links_down: frozenset[int] = frozenset()
    link_errors: int = 0
    """Errors of each kind, on each of the NVLinks in `links_bad`."""
    links_bad: frozenset[int] = frozenset()
    fabric: frozenset[str] = frozenset()
    """Problems of its fabric, in the words of agent.system.nvml.names.fabric_problems."""
    lanes: int = 16
    """PCIe lanes in use."""
    pcie_errors: int = 0


HEALTHY: Final = Condition()


class Faults(Protocol):
    """What goes wrong with one GPU and when. `t` is the library's time in s."""

    def at(self, t: float) -> Condition:
        """Say how it is then."""
        ...

    def xids(self, after: float, until: float) -> Iterable[int]:
        """List the XIDs that it reports after one time and until another, in order."""
        ...
