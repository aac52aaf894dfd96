# SPDX-License-Identifier: Apache-2.0
"""The metrics of a recording, as far as the ledger needs them: read into a timeline whose clock is unix time."""

from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.catalogue import FAMILIES
from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, TOKENS
from agent.catalogue.gpu import ENERGY, GPU_UTILIZATION, SM_ACTIVE
from agent.catalogue.links import GPU_NVLINK_IO, PCIE_IO
from agent.catalogue.own import BUILD_INFO
from agent.catalogue.requests import ENGINE_GPU
from agent.clock import NS
from agent.entities import Engine, EngineModel, EngineTokens, Gpu, GpuIo, GpuTask
from agent.entity import Entity
from agent.metric import Metric, Series
from agent.snapshot import Source
from agent.timeline import Timeline

Attributes: TypeAlias = Mapping[str, str]
_MOST = 65_536
"""Series that are read, and others that are looked at: more are no recording of a node."""
_DELTA = (1, "AGGREGATION_TEMPORALITY_DELTA")
_LAST = 1 << 62
_NULL = b"null"
_ABSENT, _EMPTY = msgspec.Raw(_NULL), msgspec.Raw(b"[]")


class _Value(msgspec.Struct):
    text: str | None = msgspec.field(name="stringValue", default=None)


class _Pair(msgspec.Struct):
    key: str = ""
    value: _Value = msgspec.field(default_factory=_Value)


class _Point(msgspec.Struct):
    attributes: msgspec.Raw = _EMPTY
    time: int | str = msgspec.field(name="timeUnixNano", default=0)
    double: float | str | None = msgspec.field(name="asDouble", default=None)
    whole: int | str | None = msgspec.field(name="asInt", default=None)


class _Data(msgspec.Struct):
    points: list[_Point] = msgspec.field(name="dataPoints", default_factory=list)
    temporality: int | str = msgspec.field(name="aggregationTemporality", default=0)


class _Metric(msgspec.Struct):
    name: str = ""
    unit: str = ""
    sum: msgspec.Raw = _ABSENT
    gauge: msgspec.Raw = _ABSENT


class _Scope(msgspec.Struct):
    metrics: list[_Metric] = msgspec.field(default_factory=list)


class _Resource(msgspec.Struct):
    scopes: list[_Scope] = msgspec.field(name="scopeMetrics", default_factory=list)


_RESOURCE = msgspec.json.Decoder(_Resource)
_DATA = msgspec.json.Decoder(_Data)
_PAIRS = msgspec.json.Decoder(list[_Pair])


class _Kept(NamedTuple):
    """The points of a series: unix ns, and values."""

    times: "array[int]"
    values: "array[float]"
    delta: bool


class Read(NamedTuple):
    """What the metrics of a recording tell.

    The timeline; the GPUs that have an energy counter, in the order of their names; from when to when it was read,
    unix ns; the ids of the GPUs of each engine that is known to run on some; and whether all of it was simulated.
    """

    timeline: Timeline
    gpus: list[Gpu]
    first: int
    last: int
    engines: dict[str, list[str]]
    demo: bool


_OTHERS = {one[1] for metric in FAMILIES[ENERGY.name] for one in metric.attributes if one.name == "hw.type"} - {"gpu"}
"""What else than GPUs has energy, and is rightly in a recording."""


class Counters:
    """Takes in lines; read() then says what was in them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.ignored: Counter[str] = Counter()
        """Points that were not used, by why."""
        self._gpus: dict[str, Gpu] = {}
        self._engines: dict[str, list[str]] = {}
        self._demo = False
        self._kept: dict[Series, _Kept] = {}
        self._known: dict[tuple[str, bytes], _Kept | None] = {}

    def take(self, resources: list[msgspec.Raw]) -> None:
        """Take in ResourceMetrics. Raises ValueError where they are none."""
        try:
            for resource in resources:
                for scope in _RESOURCE.decode(resource).scopes:
                    for metric in scope.metrics:
                        self._metric(metric)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(" ".join(str(error).split())) from error

    def read(self) -> Read | None:
        """Say what was in them; None where no GPU has an energy counter."""
        energies = {
            Gpu(*series.entity): kept.times
            for series, kept in self._kept.items()
            if series.metric is ENERGY and kept.times
        }
        if not energies:
            return None
        first, last = min(map(min, energies.values())), max(map(max, energies.values()))
        gpus = sorted(energies, key=lambda gpu: (len(gpu.name), gpu.name, gpu.id))
        return Read(self._timeline(), gpus, first, last, self._engines, self._demo)

    def _timeline(self) -> Timeline:
        kept = {series: _ordered(one) for series, one in self._kept.items() if one.times}
        first = min(int(times[0]) for times, _ in kept.values())
        last = max(int(times[-1]) for times, _ in kept.values())
        rows = max(len(times) for times, _ in kept.values())
        retention = (last - first) / NS + 1
        found = Timeline(retention, retention / (rows + 2), max_sources=len(kept))
        for number, (series, (times, values)) in enumerate(kept.items()):
            source, alone = Source("recording", str(number)), (series,)
            for time, value in zip(times.tolist(), values.tolist(), strict=True):
                found.append(source, alone, time, (value,))
        return found

    def _metric(self, metric: _Metric) -> None:
        read = _READ.get(metric.name)
        told = metric.gauge if bytes(metric.sum) == _NULL else metric.sum
        if read is None or bytes(told) == _NULL:
            return
        data = _DATA.decode(told)
        if _other_unit(metric.unit, read.metric.unit.ucum):
            self.ignored[f"{metric.name} in {metric.unit}, not in {read.metric.unit.ucum}"] += len(data.points)
            return
        delta = read.metric.monotonic and data.temporality in _DELTA
        for point in data.points:
            key = (metric.name, bytes(point.attributes))
            kept = self._known[key] if key in self._known else self._remember(key, read, delta)
            if kept is not None:
                self._put(kept, point)

    def _put(self, kept: _Kept, point: _Point) -> None:
        told = point.whole if point.double is None else point.double
        try:
            time, value = int(point.time), float("nan" if told is None else told)
        except (ValueError, OverflowError):
            time, value = 0, 0.0
        if 0 < time < _LAST and isfinite(value):
            kept.times.append(time)
            kept.values.append(value)
        else:
            self.ignored["a point without a time or a number"] += 1

    def _remember(self, key: tuple[str, bytes], read: "_Wanted", delta: bool) -> _Kept | None:
        """Say where the points of these attributes go."""
        if len(self._known) >= _MOST:
            self.ignored["a series beyond the most there can be"] += 1
            return None
        name, raw = key
        pairs = {pair.key: pair.value.text for pair in _PAIRS.decode(raw) if pair.value.text is not None}
        if read.metric is ENGINE_GPU:
            self._place(pairs)
        self._demo |= read.metric is BUILD_INFO and pairs.get("mode") == "demo"
        entity = read.entity(self, pairs)
        kept = None
        if entity is not None:
            kept = self._kept.setdefault(read.metric.series(entity), _Kept(array("q"), array("d"), delta))
        elif read.metric is ENERGY and pairs.get("hw.type") not in _OTHERS:
            self.ignored[f"{name} of what is no GPU"] += 1
        self._known[key] = kept
        return kept

    def _place(self, told: Attributes) -> None:
        if "engine" in told and "hw.id" in told:
            gpus = self._engines.setdefault(told["engine"], [])
            if told["hw.id"] not in gpus:
                gpus.append(told["hw.id"])

    def gpu(self, told: Attributes) -> Gpu | None:
        """Give the GPU of these attributes; by its id, whatever else is said about it."""
        uuid = told.get("hw.id")
        if not uuid or told.get("hw.type", "gpu") != "gpu":
            return None
        return self._gpus.setdefault(uuid, Gpu(uuid, told.get("hw.name") or uuid))


def _other_unit(told: str, wanted: str) -> bool:
    """Tell a unit that changes what a number means; one in braces, {token}, only names what is counted."""
    return bool(told) and bool(wanted) and not wanted.startswith("{") and told != wanted


def _ordered(kept: _Kept) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Put points in the order of their times, once each; what was told as increases is added up."""
    times, values = np.frombuffer(kept.times, np.int64), np.frombuffer(kept.values, np.float64)
    times, place = np.unique(times, return_index=True)
    values = values[place]
    return times, np.cumsum(values) if kept.delta else values


class _Wanted(NamedTuple):
    """A metric that is read, and how its attributes become an entity; None where they are of no use."""

    metric: Metric[Any]
    entity: Callable[[Counters, Attributes], Entity | None]


def _io(counters: Counters, told: Attributes) -> Entity | None:
    gpu, way = counters.gpu(told), told.get("network.io.direction")
    return GpuIo(gpu, way) if gpu and way else None


def _task(counters: Counters, told: Attributes) -> Entity | None:
    gpu = counters.gpu(told)
    return GpuTask(gpu, told.get("hw.gpu.task", "general")) if gpu else None


def _model(_: Counters, told: Attributes) -> Entity | None:
    return EngineModel(told["engine"], told.get("gen_ai.request.model")) if "engine" in told else None


def _engine(_: Counters, told: Attributes) -> Entity | None:
    return Engine(told["engine"]) if "engine" in told else None


def _tokens(_: Counters, told: Attributes) -> Entity | None:
    kind = told.get("gen_ai.token.type")
    return EngineTokens(told["engine"], told.get("gen_ai.request.model"), kind) if kind and "engine" in told else None


def _nothing(_: Counters, __: Attributes) -> Entity | None:
    return None


_READ = {
    metric.name: _Wanted(metric, entity)
    for metric, entity in (
        (ENERGY, Counters.gpu),
        (SM_ACTIVE, Counters.gpu),
        (GPU_UTILIZATION, _task),
        (GPU_NVLINK_IO, _io),
        (PCIE_IO, _io),
        (REQUESTS_RUNNING, _model),
        (ITERATIONS, _engine),
        (TOKENS, _tokens),
        (ENGINE_GPU, _nothing),
        (BUILD_INFO, _nothing),
    )
}
