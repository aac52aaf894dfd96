# SPDX-License-Identifier: Apache-2.0
"""Reads the pages of metrics of serving engines, whichever engine wrote them, in the names of the catalogue."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan
from operator import itemgetter, sub

from agent.dialects import (
    dynamo_metrics,
    llama_cpp_metrics,
    lmdeploy_metrics,
    sglang_metrics,
    tensorrt_llm_metrics,
    tgi_metrics,
    triton_metrics,
    vllm_metrics,
)
from agent.dialects.layout import Buckets, Fixed, Layout, Number, layout
from agent.dialects.rules import PageDialect
from agent.exposition import Key, Page, Seen
from agent.exposition.told import Places, every
from agent.metric import Distribution, Exemplar, Sample, Series

DIALECTS: Mapping[str, PageDialect] = {
    dialect.name: dialect
    for dialect in (
        dynamo_metrics.DIALECT,
        triton_metrics.DIALECT,
        vllm_metrics.DIALECT,
        sglang_metrics.DIALECT,
        tensorrt_llm_metrics.DIALECT,
        tgi_metrics.DIALECT,
        llama_cpp_metrics.DIALECT,
        lmdeploy_metrics.DIALECT,
    )
}
"""By name, in the order in which they are asked: those on whose pages others' names can be come first."""
_SERIES = 4096
"""Series of one engine."""
_TRACE_ID, _SPAN_ID = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")


def recognise(page: Page) -> str | None:
    """Tell which kind of engine wrote a page, by the names on it; None where it is of no kind that is known."""
    names = {key.name for key in page.keys}
    for dialect in DIALECTS.values():
        if any(name.startswith(dialect.prefixes) for name in names):
            return dialect.name
    return None


class Translator:
    """Translates the pages of one engine. Not to be shared between threads.

    What is not a number is absent, and so is a histogram whose buckets contradict each other. Counters are passed on as
    they are, and fall when the engine starts again. A distribution is the same object as long as nothing was observed.
    """

    def __init__(self, engine: str, kind: str) -> None:
        """Translate for the engine of this name on the node, which is of this kind; see recognise."""
        dialect = DIALECTS[kind]
        self._engine = engine
        self._dialects = [dialect, *(DIALECTS[name] for name in dialect.hosts)]
        self._keys: Sequence[Key] | None = None
        self._layout = Layout((), (), (), (), 0)
        self._histograms: list[_Histogram] = []
        self._series: tuple[Series, ...] = ()
        self._wanted = Places(())
        """The places on the page that numbers are made of; in what follows, places are among these."""
        self._places: list[int] = []
        """Of each number the place where it is, or one of those that it is made of."""
        self._fixed: Sequence[Fixed] = ()
        self._made: list[tuple[int, Number]] = []
        """Numbers that are no value of the page as it stands."""
        self._differences: dict[Series, _Difference] = {}

    @property
    def unknown(self) -> Sequence[str]:
        """Names on the last page that are neither translated nor left out on purpose."""
        return self._layout.unknown

    @property
    def dropped(self) -> int:
        """How many series of the last page there was no room for."""
        return self._layout.dropped

    def translate(self, page: Page) -> list[Sample | Distribution]:
        """Give what the page says, as far as the catalogue has names for it."""
        series, values = self.numbers(page)
        told = zip(series, values, strict=True)
        return [*(Sample(one, value) for one, value in told if value is not None), *self.distributions(page)()]

    def distributions(self, page: Page) -> Callable[[], list[Distribution]]:
        """Give what makes the distributions of a page, later, when they are asked for, and not in two threads at once.

        They are most of the work, and a page that is read each second is passed on less often than that.
        """
        self._lay_out(page)
        histograms = self._histograms

        def make() -> list[Distribution]:
            values = every(page.values)
            told = (one.read(values, page.exemplars) for one in histograms)
            return [one for one in told if one is not None]

        return make

    def numbers(self, page: Page) -> tuple[tuple[Series, ...], Sequence[float | None]]:
        """Give what the page says that is no distribution: series, the same object per layout, and their values.

        What is not a number is None.
        """
        self._lay_out(page)
        values = self._wanted.of(page.values)
        numbers: list[float] = [values[place] for place in self._places]
        for place, one in self._made:
            numbers[place] = self._number(one, values)
        numbers += [_fixed_value(one, values) for one in self._fixed]
        # One that is not finite makes a sum that is not.
        return self._series, numbers if isfinite(sum(numbers)) else [n if isfinite(n) else None for n in numbers]

    def _lay_out(self, page: Page) -> None:
        """Find out anew what the page says where, when it names other series than the last one."""
        if page.keys is not self._keys:
            self._keys = page.keys
            self._layout = layout(page.keys, self._engine, self._dialects, _SERIES)
            self._histograms = [_Histogram(one) for one in self._layout.histograms]
            self._wanted, numbers, self._fixed = _wanted(self._layout)
            self._series = (*(one.series for one in numbers), *(one.series for one in self._layout.fixed))
            self._places = [one.places[0] for one in numbers]
            self._made = [(number, one) for number, one in enumerate(numbers) if not one.plain]
            kept = {one.series for one in self._layout.numbers}
            self._differences = {series: one for series, one in self._differences.items() if series in kept}

    def _number(self, one: Number, values: Sequence[float]) -> float:
        places = one.places
        if len(places) == 1:
            value = values[places[0]]
        else:
            told = [values[place] for place in places]
            value = max(told) if one.greatest else sum(told)
        if one.less:
            value = self._differences.setdefault(one.series, _Difference()).read(
                value, sum([values[place] for place in one.less])
            )
        return value * one.times / one.divide


class _Difference:
    """A counter that is the difference of two, which were not written at the same instant."""

    def __init__(self) -> None:
        self._whole = self._last = 0.0

    def read(self, whole: float, part: float) -> float:
        """Give what is left of the whole. It falls only when the whole does: a counter that falls started again."""
        if not isfinite(whole - part):
            return nan
        left = max(0.0, whole - part)
        self._last = left if whole < self._whole else max(self._last, left)
        self._whole = whole
        return self._last


def _wanted(layout: Layout) -> tuple[Places, Sequence[Number], Sequence[Fixed]]:
    """Give the places that numbers are made of, and numbers that say where among these they are."""
    told = [place for one in layout.numbers for place in (*one.places, *one.less)]
    told += [place for one in layout.fixed for place in one.values]
    wanted = sorted(set(told))
    at = {place: number for number, place in enumerate(wanted)}
    numbers = [
        one._replace(places=tuple(at[place] for place in one.places), less=tuple(at[place] for place in one.less))
        for one in layout.numbers
    ]
    fixed = [one._replace(values={at[place]: value for place, value in one.values.items()}) for one in layout.fixed]
    return Places(wanted), numbers, fixed


def _fixed_value(one: Fixed, values: Sequence[float]) -> float:
    if len(one.values) == 1:
        return next(iter(one.values.values()))
    return one.values[max(one.values, key=values.__getitem__)]


class _Histogram:
    """A series of a histogram, and what it was on the last page."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._get = itemgetter(*(place for part in buckets.parts for place in part))
        self._values: tuple[float, ...] = ()
        self._seen: list[Seen | None] = []
        self._made: Distribution | None = None

    def read(self, page: Sequence[float], exemplars: Mapping[int, Seen]) -> Distribution | None:
        """Give what was observed; None where that makes no sense."""
        values = self._get(page)
        seen = self._newest(exemplars) if exemplars else []
        if values != self._values or seen != self._seen:
            self._values, self._seen = values, seen
            self._made = self._make(values, seen)
        return self._made

    def _make(self, values: tuple[float, ...], seen: Sequence[Seen | None]) -> Distribution | None:
        series, bounds, parts, times, divide = self._buckets
        width = len(bounds) + 2
        rows = [values[start : start + width] for start in range(0, len(values), width)]
        sums = values if len(parts) == 1 else [sum(column) for column in zip(*rows, strict=True)]
        up_to = sums[:-1]
        differences = list(map(sub, up_to, (0.0, *up_to)))
        try:
            counts = list(map(round, differences))
        except (ValueError, OverflowError):  # Not a number, or infinite.
            return None
        if min(differences) < 0:
            return None
        told = [one and _exemplar(one, times, divide) for one in seen] or [None] * len(counts)
        total = sums[-1] * times / divide
        return Distribution(series, counts, total, told, bounds) if isfinite(total) else None

    def _newest(self, exemplars: Mapping[int, Seen]) -> list[Seen | None]:
        """Give an exemplar for each bucket, of several parts the newest."""
        columns = zip(*(part[:-1] for part in self._buckets.parts), strict=True)
        found = [[one for place in column if (one := exemplars.get(place))] for column in columns]
        newest = [max(several, key=lambda one: one.time or 0, default=None) for several in found]
        return newest if any(newest) else []


def _exemplar(seen: Seen, times: float, divide: float) -> Exemplar | None:
    told = dict(seen.labels)
    trace_id, span_id = told.get("trace_id", "").lower(), told.get("span_id", "").lower()
    if not _TRACE_ID.fullmatch(trace_id) or not isfinite(seen.value):
        return None
    return Exemplar(
        seen.value * times / divide, trace_id, span_id if _SPAN_ID.fullmatch(span_id) else "", seen.time or 0
    )
