# SPDX-License-Identifier: Apache-2.0
"""What the ledger reads of an engine: its requests, tokens and iterations, over all its data-parallel ranks."""

from collections.abc import Iterable
from typing import Any

from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, REQUESTS_WAITING, TOKENS
from agent.metric import Distribution, Metric, Sample, Series

_MOST = 256
"""Series of one engine that are kept: a handful for each model."""
LEDGER: frozenset[Metric[Any]] = frozenset((REQUESTS_RUNNING, REQUESTS_WAITING, TOKENS, ITERATIONS))


class EngineTotals:
    """Adds up ranks. Keeps the place of a series once it was there, so that a history goes on while one is absent."""

    def __init__(self) -> None:
        """Start with no series."""
        self.dropped = 0
        """Values that found no room."""
        self._whole: dict[Series, Series] = {}
        self._series: tuple[Series, ...] = ()

    def row(self, samples: Iterable[Sample | Distribution]) -> tuple[tuple[Series, ...], list[float | None]]:
        """Give the series, the same object as long as they are the same, and a value or None for each."""
        totals: dict[Series, float] = {}
        for one in samples:
            if not isinstance(one, Sample) or one.series.metric not in LEDGER:
                continue
            if series := self._whole.get(one.series) or self._add(one.series):
                totals[series] = totals.get(series, 0.0) + one.value
        return self._series, [totals.get(series) for series in self._series]

    def _add(self, series: Series) -> Series | None:
        if len(self._whole) >= _MOST:
            self.dropped += 1
            return None
        metric, entity = series
        whole = series
        if getattr(entity, "rank", None) is not None:
            whole = metric.series(entity._replace(rank=None))  # type: ignore[attr-defined] # of named tuples
        self._whole[series] = whole
        if whole not in self._series:
            self._series = (*self._series, whole)
        return whole
