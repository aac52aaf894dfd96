# SPDX-License-Identifier: Apache-2.0
"""Histories are played to a ledger, as collectors and receivers would."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, TOKENS
from agent.catalogue.gpu import ENERGY, GPU_UTILIZATION
from agent.catalogue.links import GPU_NVLINK_IO
from agent.clock import NS
from agent.entities import Engine, EngineModel, EngineTokens, Gpu, GpuIo, GpuTask
from agent.metric import Series
from agent.processors.ledger.book import EngineKey
from agent.processors.ledger.calibration import Calibration
from agent.processors.ledger.ledger import Closed, Ledger
from agent.processors.ledger.payment import Charge, Shares
from agent.processors.ledger.work import Work
from agent.snapshot import Source
from agent.timeline import Timeline
from tests.processors.ledger.histories import GPUS, KEYS, History, Metering, Row, sums_of


class Played(NamedTuple):
    """What came of a history: the ledger, all charges, and of each row J of prefill, J of decode, and the rest."""

    ledger: Ledger
    charges: tuple[Charge, ...]
    shares: dict[int, tuple[float, ...]]
    increase: dict[Gpu, float]


def columns(rows: Sequence[Row]) -> Work:
    """Put requests into columns."""
    return Work(*np.array([row[2:] for row in rows], np.float64).reshape(len(rows), 7).T)


def samples(history: History, metering: Metering) -> tuple[list[float], list[float | None]]:
    """Give the times and values of an energy counter, read four times a second."""
    times, values = list[float](), list[float | None]()
    total, since, until = 1000.0, metering.gap[0], sum(metering.gap)
    for tick in range(metering.begins * 4, int((history.seconds + 8) * 4)):
        time = tick / 4
        total = 0.0 if metering.resets == time else total + metering.watts[int(time) % len(metering.watts)] / 4
        if not since <= time < until:
            times.append(time)
            # Counters that are there and cannot be read say nothing.
            values.append(None if tick % 17 == 5 else total)
    return times, values


def increase(values: Sequence[float | None]) -> float:
    """Add up what a counter grew by, whatever became of it between."""
    told = [value for value in values if value is not None]
    return sum(max(0.0, after - before) for before, after in pairwise(told))


def page_rows(history: History, engine: int) -> tuple[tuple[Series, ...], list[list[float | None]]]:
    """Give what an engine's page says each second; counters begin anew at second 11."""
    page, name = history.pages[engine], KEYS[engine].name
    if page is None:
        return (), []
    series: list[Series] = [REQUESTS_RUNNING.series(EngineModel(name, "m"))]
    if page.detail > 0:
        series.append(ITERATIONS.series(Engine(name)))
    if page.detail > 1:
        series += [TOKENS.series(EngineTokens(name, "m", kind)) for kind in ("input", "cached", "output")]
    rows, counts = list[list[float | None]](), [0.0] * 4
    for second in range(int(history.seconds) + 9):
        grows = page.grows[second % len(page.grows)]
        counts = [0.0 if second == 11 else one + grows * by for one, by in zip(counts, (1, 40, 7, 3), strict=True)]
        told: list[float | None] = [float(page.running[second % len(page.running)]), *counts]
        rows.append([None if (second + place) % 23 == 3 else one for place, one in enumerate(told[: len(series)])])
    return tuple(series), rows


class Player:
    """Writes the timeline up to where it is asked for, as it would have been written by then."""

    def __init__(self, history: History) -> None:
        self.timeline = Timeline(retention=history.seconds + 60, step=0.05)
        self.increase: dict[Gpu, float] = {}
        """J that the energy counter of each GPU grew by."""
        self._rows: list[tuple[float, Source, tuple[Series, ...], list[float | None]]] = []
        for gpu, metering in zip(GPUS, history.meters, strict=False):
            self._add_gpu(history, gpu, metering)
        for engine, key in enumerate(KEYS[: len(history.pages)]):
            series, rows = page_rows(history, engine)
            for second, row in enumerate(rows):
                self._rows.append((second, Source("engines", key.name), series, row))
        self._rows.sort(key=lambda row: row[0])
        self._next = 0

    def until(self, time: float) -> None:
        """Write what was sampled by then."""
        while self._next < len(self._rows) and self._rows[self._next][0] <= time:
            when, source, series, values = self._rows[self._next]
            self.timeline.append(source, series, round(when * NS), values)
            self._next += 1

    def _add_gpu(self, history: History, gpu: Gpu, metering: Metering) -> None:
        energy, use = (ENERGY.series(gpu),), (GPU_UTILIZATION.series(GpuTask(gpu, "general")),)
        link = (GPU_NVLINK_IO.series(GpuIo(gpu, "transmit")),)
        times, values = samples(history, metering)
        self.increase[gpu] = increase(values)
        self._rows += [
            (time, Source("energy", gpu.id), energy, [value]) for time, value in zip(times, values, strict=True)
        ]
        if metering.nvlink:
            self._rows += [(time, Source("nvlink", gpu.id), link, [time * 1e9]) for time in times]
        if metering.utilization is not None:
            seconds = range(int(history.seconds) + 9)
            self._rows += [(second, Source("gpu", gpu.id), use, [metering.utilization]) for second in seconds]


def begun(history: History, timeline: Timeline) -> Ledger:
    """Make a ledger that knows of engines what the history says."""

    def calibration(key: EngineKey) -> Calibration:
        kind = history.calibrated[KEYS.index(key)]
        return Calibration(None if kind is None else sums_of(kind, len(key.gpus)))

    ledger = Ledger(timeline, 0, history.step, calibration)
    ledger.watch(GPUS[: len(history.meters)])
    return ledger


def play(history: History, order: Sequence[int] | None = None) -> Played:
    """Give a history to a ledger. `order` is that of the rows of each add(); it is closed to the end of all samples."""
    player = Player(history)
    ledger = begun(history, player.timeline)
    taken: list[Closed] = []
    numbered = [(number, history.rows[number]) for number in (range(len(history.rows)) if order is None else order)]
    ends = np.cumsum(history.closes).tolist()
    for place, end in enumerate([*ends, ends[-1] + int(8 / history.step) + 1]):
        for engine, key in enumerate(KEYS):
            come = [one for one in numbered if one[1].engine == engine and one[1].comes == place]
            if come:
                numbers = np.array([number for number, _ in come])
                taken.append(ledger.add(key, numbers, numbers % 3, columns([row for _, row in come])))
        player.until(end * history.step + history.delay)
        taken.append(ledger.close(end))
        if history.forgets is not None:
            ledger.forget(end - history.forgets)
    charges = tuple(charge for closed in taken for charge in closed.charges)
    return Played(ledger, charges, _by_number([one for closed in taken for one in closed.shares]), player.increase)


def _by_number(shares: Sequence[Shares]) -> dict[int, tuple[float, ...]]:
    """Give of each row its columns, number apart."""
    found: dict[int, tuple[float, ...]] = {}
    for one in shares:
        columns = np.stack(one[1:], axis=1)
        assert not set(one.number.tolist()) & found.keys()
        found |= zip(one.number.tolist(), map(tuple, columns.tolist()), strict=True)
    return found
