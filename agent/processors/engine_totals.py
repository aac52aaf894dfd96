# SPDX-License-Identifier: Apache-2.0
"""What the ledger reads of an engine: its requests, tokens and iterations, over all its data-parallel ranks."""

from collections.abc import Sequence
from typing import Any

from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, REQUESTS_WAITING, TOKENS
from agent.metric import Metric, Series

_MOST = 256
"""Series of one engine that are kept: a handful for each model."""
LEDGER: frozenset[Metric[Any]] = frozenset((REQUESTS_RUNNING, REQUESTS_WAITING, TOKENS, ITERATIONS))


class EngineTotals:
    """Adds up ranks. Keeps the place of a series once it was there, so that a history goes on while one is absent."""

    def __init__(self) -> None:
        """Start with no series."""
        self.dropped = 0
        """Series that found no room."""
        self._whole: dict[Series, Series] = {}
        self._series: tuple[Series, ...] = ()
        self._layout: tuple[Series, ...] | None = None
        self._parts: list[tuple[int, int]] = []
        """Of each value that counts its place in the layout, and that of its total."""

    def row(
        self, series: tuple[Series, ...], values: Sequence[float | None]
    ) -> tuple[tuple[Series, ...], list[float | None]]:
        """Give the totals of these series: which, the same object as long as they are the same, and a value or None.

        `series` is the same object as long as the engine names the same.
        """
        if series is not self._layout:
            self._layout = series
            whole = [(place, self._whole.get(one) or self._add(one)) for place, one in enumerate(series) if _read(one)]
            self._parts = [(place, self._series.index(one)) for place, one in whole if one is not None]
        totals: list[float | None] = [None] * len(self._series)
        for place, total in self._parts:
            value = values[place]
            if value is not None:
                totals[total] = (totals[total] or 0.0) + value
        return self._series, totals

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


def _read(series: Series) -> bool:
    return series.metric in LEDGER
