# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in `joulespan demo --faults`: a script for the GPUs that begins again after PERIOD; counts stay.

What each fault does is chosen so that it can be seen, not measured on a machine that had it. The engines have their
own part of the script, in agent.simulation.deployment.Trouble, at the same times where one is the cause of the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, inf
from typing import Final

from agent.simulation.deployment import PERIOD
from agent.system.nvml.fake_faults import HEALTHY, Condition

_RESET, _DRAIN_AND_RESET = 1, 4
"""NVML's recovery actions."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with a GPU. `begin` and `end` are s into the script."""

    gpu: int
    begin: float
    end: float
    xids: tuple[int, ...] = ()
    """Reported at the beginning."""
    lost: bool = False
    reasons: tuple[str, ...] = ()
    clock: float = 1.0
    warmer: float = 0.0
    limit_watts: float | None = None
    corrected: int = 0
    uncorrected: int = 0
    remapped: int = 0
    """These three are counted once, at the beginning."""
    remap_pending: bool = False
    remap_failed: bool = False
    action: int = 0
    links_down: tuple[int, ...] = ()
    links_bad: tuple[int, ...] = ()
    link_errors: float = 0.0
    """Errors per second of each kind, on each of `links_bad`."""
    fabric: tuple[str, ...] = ()
    lanes: int = 16
    pcie_errors: float = 0.0
    """Per second."""


SCRIPT: Final = (
    # An application's own faults: the driver reports them, and the GPU is fine.
    Fault(4, 12.0, 37.0, xids=(13, 31, 43)),
    Fault(6, 15.0, 40.0, reasons=("power_brake", "hw_slowdown"), clock=0.5),
    # Memory that goes bad: what could be contained, what a reset will repair, and what it could not.
    Fault(5, 42.0, 82.0, xids=(48, 63, 94), corrected=12, uncorrected=2, remapped=1, remap_pending=True, action=_RESET),
    Fault(6, 55.0, 85.0, xids=(64,), uncorrected=1, remap_failed=True, action=_DRAIN_AND_RESET),
    Fault(1, 72.0, 102.0, reasons=("sw_thermal", "hw_thermal", "hw_slowdown"), clock=0.45, warmer=30.0),
    Fault(2, 98.0, 125.0, reasons=("power_cap",), clock=0.8, limit_watts=350.0),
    Fault(
        3,
        105.0,
        145.0,
        xids=(74,),
        links_down=(4, 5),
        links_bad=(4, 5, 6),
        link_errors=9.0,
        fabric=("degraded_bandwidth", "route_unhealthy"),
    ),
    Fault(7, 120.0, 122.0, xids=(79,)),
    Fault(7, 122.0, 147.0, lost=True),
    Fault(0, 130.0, 165.0, lanes=8, pcie_errors=6.0),
    # The GPU's own processor stops answering, and the engine on it begins again.
    Fault(4, 148.0, 158.0, xids=(119,), action=_RESET),
)


class GpuFaults:
    """The part of a script that one GPU has; see agent.system.nvml.fake_faults.Faults."""

    def __init__(self, faults: Sequence[Fault], started: float, period: float = PERIOD) -> None:
        """Begin the script at `started`, s of the library's time."""
        self._faults = tuple(faults)
        self._started = started
        self._period = period
        self._told = (-inf, HEALTHY)

    def at(self, t: float) -> Condition:
        """See Faults."""
        if t != self._told[0]:
            self._told = (t, self._at(t))
        return self._told[1]

    def xids(self, after: float, until: float) -> Iterator[int]:
        """See Faults."""
        for fault in self._faults:
            for _ in range(self._times(fault, until) - self._times(fault, after)):
                yield from fault.xids

    def _at(self, t: float) -> Condition:
        now = [fault for fault in self._faults if self._active(fault, t)]
        times = [(fault, self._times(fault, t)) for fault in self._faults]
        return Condition(
            lost=any(fault.lost for fault in now),
            reasons=frozenset(reason for fault in now for reason in fault.reasons),
            throttled={reason: self._seconds(reason, t) for fault in self._faults for reason in fault.reasons},
            clock=min((fault.clock for fault in now), default=1.0),
            warmer=sum(fault.warmer for fault in now),
            limit_watts=min((fault.limit_watts for fault in now if fault.limit_watts), default=None),
            corrected=sum(fault.corrected * count for fault, count in times),
            uncorrected=sum(fault.uncorrected * count for fault, count in times),
            remapped=sum(fault.remapped * count for fault, count in times),
            remap_pending=any(fault.remap_pending for fault in now),
            remap_failed=any(fault.remap_failed for fault in now),
            action=max((fault.action for fault in now), default=0),
            links_down=frozenset(link for fault in now for link in fault.links_down),
            link_errors=floor(sum(fault.link_errors * self._lasted(fault, t) for fault in self._faults)),
            links_bad=frozenset(link for fault in self._faults for link in fault.links_bad),
            fabric=frozenset(problem for fault in now for problem in fault.fabric),
            lanes=min((fault.lanes for fault in now), default=16),
            pcie_errors=floor(sum(fault.pcie_errors * self._lasted(fault, t) for fault in self._faults)),
        )

    def _seconds(self, reason: str, t: float) -> float:
        return sum(self._lasted(fault, t) for fault in self._faults if reason in fault.reasons)

    def _active(self, fault: Fault, t: float) -> bool:
        return t >= self._started and fault.begin <= (t - self._started) % self._period < fault.end

    def _times(self, fault: Fault, t: float) -> int:
        """How often it has begun until then."""
        return max(0, floor((t - self._started - fault.begin) / self._period) + 1)

    def _lasted(self, fault: Fault, t: float) -> float:
        """Seconds that it was there until then, in all rounds."""
        if not (times := self._times(fault, t)):
            return 0.0
        last = t - self._started - fault.begin - (times - 1) * self._period
        whole = fault.end - fault.begin
        return (times - 1) * whole + min(whole, last)


def faults(gpus: int, started: float, script: Sequence[Fault] = SCRIPT) -> dict[int, GpuFaults]:
    """Give each GPU of a node that has one its part of the script, by its index."""
    return {
        gpu: GpuFaults(own, started) for gpu in range(gpus) if (own := [fault for fault in script if fault.gpu == gpu])
    }
