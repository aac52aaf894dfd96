# SPDX-License-Identifier: Apache-2.0
"""What the counters of a GPU grew by in each step, from the timeline."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from agent.catalogue.gpu import ENERGY, GPU_UTILIZATION, SM_ACTIVE
from agent.catalogue.links import GPU_NVLINK_IO, PCIE_IO
from agent.clock import NS
from agent.entities import Gpu, GpuIo, GpuTask
from agent.metric import Series
from agent.processors.ledger.steps import Numbers, Steps, running
from agent.timeline import Timeline

_REACH = 3.0
"""Seconds before and after the steps in which samples are looked for: most are read each second."""
_WIDEST = 5.0
"""Seconds between two samples of a gauge beyond which it says nothing about what was between them."""


class Metered(NamedTuple):
    """Of each step: J, and where they are measured busy seconds, NVLink and PCIe bytes, and utilization.

    `missed` is what the energy counter grew by while it could not be read, before the first of the steps.
    """

    joules: Numbers
    missed: float
    busy: Numbers | None
    nvlink: Numbers | None
    pcie: Numbers | None
    utilization: Numbers | None


class _Anchor(NamedTuple):
    """The last sample before the end of what was read: s, J, and the J that were counted beyond it."""

    time: float
    value: float
    beyond: float


class Meter:
    """Reads the counters of one GPU, steps after steps. Nothing that an energy counter grew by is lost between them.

    A counter that falls has begun anew: what it lost stays unknown and counts nothing.
    """

    def __init__(self, timeline: Timeline, gpu: Gpu, origin: int) -> None:
        """Read from `timeline`; second 0 of the steps is `origin`, ns of the monotonic clock."""
        self._timeline = timeline
        self._gpu = gpu
        self._origin = origin
        self._anchor: _Anchor | None = None
        ways = ("transmit", "receive")
        self._nvlink = [GPU_NVLINK_IO.series(GpuIo(gpu, way)) for way in ways]
        self._pcie = [PCIE_IO.series(GpuIo(gpu, way)) for way in ways]

    def read(self, steps: Steps) -> Metered:
        """Read. The steps follow those that were read before."""
        joules, missed = self._joules(steps)
        utilization = self._gauge(GPU_UTILIZATION.series(GpuTask(self._gpu, "general")), steps)
        active = self._gauge(SM_ACTIVE.series(self._gpu), steps)
        busy = utilization if active is None else active
        return Metered(
            joules,
            missed,
            None if busy is None else busy * steps.seconds,
            self._grown(self._nvlink, steps),
            self._grown(self._pcie, steps),
            utilization,
        )

    def _joules(self, steps: Steps) -> tuple[Numbers, float]:
        times, values = self._samples(ENERGY.series(self._gpu), steps)
        if not len(times):
            return np.zeros(steps.length), 0.0
        grown = _grown(values)
        edges = np.interp(steps.edges, times, grown)
        missed = max(0.0, float(edges[0]) - self._counted(times, values, grown))
        place = max(0, int(np.searchsorted(times, steps.edges[-1], side="right")) - 1)
        self._anchor = _Anchor(float(times[place]), float(values[place]), float(edges[-1] - grown[place]))
        return np.diff(edges), missed

    def _counted(self, times: Numbers, values: Numbers, grown: Numbers) -> float:
        """Up to where the counter was counted before, on the scale of `grown`; where it begins, without a before."""
        anchor = self._anchor
        if anchor is None:
            return np.inf
        place = int(np.searchsorted(times, anchor.time))
        if place < len(times) and times[place] == anchor.time:
            return float(grown[place]) + anchor.beyond
        if values[0] < anchor.value:
            return np.inf
        return anchor.value - float(values[0]) + anchor.beyond

    def _grown(self, each: Sequence[Series], steps: Steps) -> Numbers | None:
        """Add up what counters grew by; None where none of them is there."""
        found = list(self._increases(each, steps))
        return np.sum(found, axis=0) if found else None

    def _increases(self, each: Sequence[Series], steps: Steps) -> Iterator[Numbers]:
        for series in each:
            times, values = self._samples(series, steps)
            if len(times):
                yield np.diff(np.interp(steps.edges, times, _grown(values)))

    def _gauge(self, series: Series, steps: Steps) -> Numbers | None:
        """Mean of a gauge over each step, as lines between its samples; None where it was not measured all along."""
        times, values = self._samples(series, steps)
        edges = steps.edges
        if len(times) < 2 or np.diff(times).max() > _WIDEST:  # noqa: PLR2004 - a line needs two
            return None
        if times[0] > edges[0] + _REACH or times[-1] < edges[-1] - _REACH:
            return None
        inner = np.diff(_area(times, values, edges)) / steps.seconds
        middles = (edges[:-1] + edges[1:]) / 2
        outside = (edges[:-1] < times[0]) | (edges[1:] > times[-1])
        return np.where(outside, np.interp(middles, times, values), inner)

    def _samples(self, series: Series, steps: Steps) -> tuple[Numbers, Numbers]:
        """Cut out times, s since the origin, and values; those without a value left out."""
        first, last = (steps.first * steps.seconds - _REACH, steps.last * steps.seconds + _REACH)
        since, until = self._origin + int(first * NS), self._origin + int(last * NS)
        times, values = self._timeline.window(series, since, until)
        told = np.frombuffer(values, np.float64) if values else np.empty(0)
        there = ~np.isnan(told)
        when = np.frombuffer(times, np.int64) if times else np.empty(0, np.int64)
        return (when[there] - self._origin) / NS, told[there]


def _area(times: Numbers, values: Numbers, until: Numbers) -> Numbers:
    """Integrate the lines between samples up to some times; nothing lies beyond the samples."""
    total = running((values[1:] + values[:-1]) / 2 * np.diff(times))
    place = np.clip(np.searchsorted(times, until, side="right") - 1, 0, len(times) - 2)
    since = np.clip(until, times[0], times[-1]) - times[place]
    slope = np.diff(values) / np.diff(times)
    area: Numbers = total[place] + since * (values[place] + slope[place] * since / 2)
    return area


def _grown(values: Numbers) -> Numbers:
    """What a counter grew by since its first value, without its falls."""
    return running(np.maximum(0.0, np.diff(values)))
