# SPDX-License-Identifier: Apache-2.0
"""What the GPUs did while requests ran: means of gauges and increases of counters over many intervals at once.

Gauges are joined by straight lines between samples, counters too; so an interval's mean is the difference of a prefix
sum at its ends, and costs two look-ups however long it is. An interval that the history does not cover has no value.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.catalogue.gpu import CLOCK, GPU_UTILIZATION, POWER, THROTTLE_DURATION
from agent.catalogue.links import GPU_NVLINK_IO
from agent.clock import NS
from agent.entities import Gpu, GpuClock, GpuIo, GpuReason, GpuTask
from agent.metric import Series
from agent.timeline import Timeline

Numbers: TypeAlias = NDArray[np.float64]
Edges: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64]]"
"""Beginnings and ends of intervals, ns of the monotonic clock; an end before its beginning stands for no interval."""

Samples: TypeAlias = "tuple[NDArray[np.int64], Numbers]"
"""Times, ns of the monotonic clock, and values."""

_ABREAST = NS // 50
"""The GPUs of a node are read one after the other, in a few ms; nothing is read more often than each 50 ms."""
_SLACK = int(1.5 * NS)
"""How far an interval may reach beyond the samples: what is read once a second is up to a second old."""
_WIDEST_GAP = 5 * NS
"""Samples further apart than this say nothing about what was between them."""
HARMFUL = (
    "power_cap",
    "sw_thermal",
    "hw_thermal",
    "power_brake",
    "sync_boost",
    "board_limit",
    "reliability",
    "power_smoothing",
)
"""The reasons of throttling that slow work down; the others tell of little work or of an administrator's choice."""


class Use(NamedTuple):
    """What a set of GPUs did over each of some intervals; NaN where it was not measured.

    Ratios, W and Hz are means over time and over the GPUs; bytes are sums over the GPUs; seconds of throttling are
    those of the GPU that was held down longest, by its longest reason.
    """

    utilization: Numbers
    power: Numbers
    clock: Numbers
    nvlink: Numbers
    throttled: Numbers


def measure(timeline: Timeline, gpus: Sequence[Gpu], edges: Edges) -> Use:
    """Say what these GPUs, at least one, did over each interval."""
    history = _History(timeline, edges)
    links = [GPU_NVLINK_IO.series(GpuIo(gpu, way)) for gpu in gpus for way in ("transmit", "receive")]
    throttled = [
        _increase(history, history.of(THROTTLE_DURATION.series(GpuReason(gpu, reason))))
        for gpu in gpus
        for reason in HARMFUL
    ]
    return Use(*_means(history, gpus), nvlink=_increases(history, links), throttled=_longest(throttled))


def means(timeline: Timeline, gpus: Sequence[Gpu], edges: Edges) -> tuple[Numbers, Numbers, Numbers]:
    """Give only utilization, power and clock; see Use."""
    return _means(_History(timeline, edges), gpus)


class Moved(NamedTuple):
    """What happened on some network interfaces over each of some intervals; NaN where it was not measured.

    Bytes of both directions, RDMA included; packets that came in marked and notifications that slowed this node down;
    signs of loss.
    """

    bytes: Numbers
    congestion: Numbers
    retransmits: Numbers


def moved(timeline: Timeline, counters: "tuple[Sequence[Sequence[Series]], ...]", edges: Edges) -> Moved:
    """Add up counters over each interval: for each field of Moved groups of those that are read together."""
    history = _History(timeline, edges)
    return Moved(*(_total(history, groups) for groups in counters))


def _total(history: "_History", groups: Sequence[Sequence[Series]]) -> Numbers:
    found = [_increases(history, group) for group in groups if group]
    if not found:
        return np.full(len(history.edges[0]), np.nan)
    return np.where(np.isnan(found).all(axis=0), np.nan, np.nansum(found, axis=0))


class _History:
    """The samples around some intervals, and which intervals the samples of a source cover."""

    def __init__(self, timeline: Timeline, edges: Edges) -> None:
        self.edges = edges
        self._timeline = timeline
        self._since, self._until = int(edges[0].min()) - 2 * _SLACK, int(edges[1].max()) + 2 * _SLACK
        self._covered: dict[tuple[int, int, int], NDArray[np.bool_]] = {}

    def of(self, series: Series) -> Samples:
        """Cut out the times and values of a series, without those that have no value."""
        times, values = self._timeline.window(series, self._since, self._until)
        told = np.frombuffer(values, np.float64) if values else np.empty(0)
        there = ~np.isnan(told)
        return (np.frombuffer(times, np.int64) if times else np.empty(0, np.int64))[there], told[there]

    def covered(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which intervals lie within these samples. All series of a source have the same times."""
        key = (len(times), int(times[0]), int(times.sum()))
        if key not in self._covered:
            self._covered[key] = _covered(times, self.edges)
        return self._covered[key]


def _means(history: _History, gpus: Sequence[Gpu]) -> tuple[Numbers, Numbers, Numbers]:
    return (
        _mean_over(history, [GPU_UTILIZATION.series(GpuTask(gpu, "general")) for gpu in gpus]),
        _mean_over(history, [POWER.series(gpu) for gpu in gpus]),
        _mean_over(history, [CLOCK.series(GpuClock(gpu, "sm")) for gpu in gpus]),
    )


def _mean_over(history: _History, each: Sequence[Series]) -> Numbers:
    """Mean over time and GPUs. One that was not measured leaves it without a value: half an engine is no engine."""
    told = [history.of(series) for series in each]
    if _abreast(told):
        return _mean(history, (told[0][0], np.mean([values for _, values in told], axis=0)))
    return np.mean([_mean(history, one) for one in told], axis=0)  # type: ignore[no-any-return]


def _increases(history: _History, each: Sequence[Series]) -> Numbers:
    """Sum over counters of what was measured; without a value where nothing was."""
    told = [history.of(series) for series in each]
    if _abreast(told):
        return _increase(history, (told[0][0], _without_falls([values for _, values in told])))
    found = [_increase(history, one) for one in told]
    return np.where(np.isnan(found).all(axis=0), np.nan, np.nansum(found, axis=0))


def _abreast(told: Sequence[Samples]) -> bool:
    """Tell whether series were read so close to each other that they can be added up before they are looked up."""
    first = told[0][0]
    return len(first) > 0 and all(
        len(times) == len(first) and int(np.abs(times - first).max()) < _ABREAST for times, _ in told[1:]
    )


def _without_falls(counters: Sequence[Numbers]) -> Numbers:
    """Sum up counters, each without its restarts."""
    grown = np.maximum(np.diff(counters, axis=1), 0.0).sum(axis=0)
    return np.concatenate(([0.0], np.cumsum(grown)))


def _mean(history: _History, told: Samples) -> Numbers:
    """Mean of a gauge over each interval; of one without length, its value then."""
    times, values = told
    since, until = history.edges
    if not len(times):
        return np.full(len(since), np.nan)
    steps = np.diff(times)
    area = np.concatenate(([0.0], np.cumsum((values[1:] + values[:-1]) / 2 * steps)))
    length = (until - since).astype(np.float64)
    # The sum grows as the square of a step's part: between two samples the gauge is a line.
    found = (_area(until, times, values, area) - _area(since, times, values, area)) / np.where(length > 0, length, 1.0)
    found = np.where(length > 0, found, np.interp(since, times, values))
    return np.where(history.covered(times), found, np.nan)


def _area(at: NDArray[np.int64], times: NDArray[np.int64], values: Numbers, area: Numbers) -> Numbers:
    """Integral of a gauge from its first sample to each time; before the first and after the last it is constant."""
    place = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 1)
    ahead = (at - times[place]).astype(np.float64)
    found: Numbers = area[place] + (values[place] + np.interp(at, times, values)) / 2 * ahead
    return found


def _increase(history: _History, told: Samples) -> Numbers:
    """Increase of a counter over each interval; a fall is a restart from zero, and what it lost stays unknown."""
    times, values = told
    since, until = history.edges
    if not len(times):
        return np.full(len(since), np.nan)
    if values.min() == values.max():  # As most reasons of throttling: nothing to look up.
        return np.where(history.covered(times), 0.0, np.nan)
    grown = _without_falls([values])
    found = np.interp(until, times, grown) - np.interp(since, times, grown)
    return np.where(history.covered(times), found, np.nan)


def _covered(times: NDArray[np.int64], edges: Edges) -> NDArray[np.bool_]:
    """Tell which intervals lie within the samples, without a wide gap in between, and are intervals at all."""
    since, until = edges
    wide = np.concatenate(([0], np.cumsum(np.diff(times) > _WIDEST_GAP)))
    first = np.clip(np.searchsorted(times, since, side="right") - 1, 0, len(times) - 1)
    last = np.clip(np.searchsorted(times, until, side="left"), 0, len(times) - 1)
    within = (since >= times[0] - _SLACK) & (until <= times[-1] + _SLACK) & (until >= since)
    covered: NDArray[np.bool_] = within & (wide[np.maximum(last, first)] == wide[first])
    return covered


def _longest(each: Sequence[Numbers]) -> Numbers:
    """Most of what was measured; without a value where nothing was."""
    there = ~np.isnan(each)
    return np.where(there.any(axis=0), np.max(np.where(there, each, 0.0), axis=0), np.nan)
