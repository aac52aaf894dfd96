# SPDX-License-Identifier: Apache-2.0
"""The engines on the page at /: where they run, how full they are, and what their requests took since the start."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

from agent.catalogue import requests
from agent.catalogue.energy import REQUEST_ENERGY
from agent.catalogue.engine import KV_CACHE_UTILIZATION, REQUESTS_RUNNING, REQUESTS_WAITING
from agent.entities import EngineModel
from agent.metric import Histogram, Metric
from agent.request_entities import EngineGpu, RequestClass, RequestTokens
from agent.snapshot import Snapshot

_HEAD = (
    "<tr><th>engine</th><th>GPUs</th><th>by</th><th>running</th><th>waiting</th><th>KV cache</th><th>requests</th>"
    "<th>TTFT ms</th><th>TPOT ms</th><th>request s</th><th>request J</th><th>prompt tok.</th>"
    "<th>output tok.</th></tr>"
)


class _Mean(NamedTuple):
    number: int = 0
    total: float = 0.0

    def __str__(self) -> str:
        if not self.number:
            return ""
        mean = self.total / self.number
        return f"{mean:,.0f}" if mean >= 100 else f"{mean:.3g}"  # noqa: PLR2004 - three digits, and no exponent


class _Load(NamedTuple):
    """Requests over all models and ranks of an engine, and how full its fullest KV cache is."""

    running: float | None = None
    waiting: float | None = None
    cache: float | None = None

    def plus(self, metric: Metric[Any], value: float) -> "_Load":
        if metric is REQUESTS_RUNNING:
            return self._replace(running=(self.running or 0) + value)
        if metric is REQUESTS_WAITING:
            return self._replace(waiting=(self.waiting or 0) + value)
        return self._replace(cache=max(self.cache or 0, value)) if metric is KV_CACHE_UTILIZATION else self

    def cells(self) -> tuple[str, str, str]:
        whole = ("" if number is None else f"{number:.0f}" for number in (self.running, self.waiting))
        return (*whole, "" if self.cache is None else f"{self.cache:.0%}")  # type: ignore[return-value] # two and one


def engines(snapshot: Snapshot, names: Mapping[str, str]) -> str:
    """Write the table; nothing when no engine is known. `names` are of GPUs, by their id."""
    gpus: defaultdict[str, set[str]] = defaultdict(set)
    sources: defaultdict[str, set[str]] = defaultdict(set)
    tokens: Counter[tuple[str, str]] = Counter()
    load: defaultdict[str, _Load] = defaultdict(_Load)
    for (metric, entity), value in snapshot.samples():
        if isinstance(entity, EngineGpu):
            gpus[entity.engine].add(names.get(entity.gpu, entity.gpu))
            sources[entity.engine].add(entity.source)
        elif isinstance(entity, RequestTokens):
            kind = "input" if entity.type == "cached" else entity.type
            tokens[entity.engine, kind] += int(value)
        elif isinstance(entity, EngineModel):
            load[entity.engine] = load[entity.engine].plus(metric, value)
    means = _means(snapshot)
    rows = [
        (
            escape(engine),
            escape(" ".join(sorted(gpus[engine]))),
            escape(" ".join(sorted(sources[engine]))),
            *load[engine].cells(),
            str(means[requests.REQUEST_DURATION, engine].number),
            str(_scaled(means[requests.TIME_TO_FIRST_TOKEN, engine])),
            str(_scaled(means[requests.TIME_PER_OUTPUT_TOKEN, engine])),
            str(means[requests.REQUEST_DURATION, engine]),
            str(means[REQUEST_ENERGY, engine]),
            f"{tokens[engine, 'input']:,}",
            f"{tokens[engine, 'output']:,}",
        )
        for engine in sorted({engine for _, engine in means} | gpus.keys() | load.keys())
    ]
    if not rows:
        return ""
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>Engines</h2>\n<table>{_HEAD}\n{body}\n</table>"


def _means(snapshot: Snapshot) -> defaultdict[tuple[Histogram[RequestClass], str], _Mean]:
    found: defaultdict[tuple[Histogram[RequestClass], str], _Mean] = defaultdict(_Mean)
    for one in snapshot.distributions():
        entity = one.series.entity
        if isinstance(entity, RequestClass) and isinstance(one.series.metric, Histogram):
            number, total = found[one.series.metric, entity.engine]
            found[one.series.metric, entity.engine] = _Mean(number + one.observations, total + (one.total or 0.0))
    return found


def _scaled(mean: _Mean) -> _Mean:
    """Turn s into ms."""
    return _Mean(mean.number, mean.total * 1000)
