# SPDX-License-Identifier: Apache-2.0
"""What a switch's OTLP metrics say, point by point. The types of OTLP decide nothing; see the tables."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from agent.dialects.switches.reading import Attributes, Buckets, Malformed, Number, SwitchReader
from agent.dialects.switches.spectrum import PREFIX
from agent.dialects.switches.state import Outcome
from agent.otlp.values import Value, value

_NAMES = ("net.host.name", "host.name", "service.instance.id")
"""Attributes of a resource that name a switch; the first is what Cumulus Linux sends."""
_DELTA, _CUMULATIVE = 1, 2
_NO_VALUE = 1
"""Flag of a point that says only that there is no value any more."""
_LONGEST_NAME = 256


def switch_name(resource: Mapping[str, Value]) -> str | None:
    """Say which switch a resource is; None where it says nothing."""
    for attribute in _NAMES:
        told = resource.get(attribute)
        if isinstance(told, str) and (name := " ".join(told.split())):
            return name[:_LONGEST_NAME]
    return None


def from_switch(resource_metrics: Any) -> bool:
    """Tell whether a part of a request is of a Spectrum switch, by the names of its metrics."""
    return any(metric.name.startswith(PREFIX) for scope in resource_metrics.scope_metrics for metric in scope.metrics)


def points(
    reader: SwitchReader, metric: Any, arrived: int, outcomes: Counter[Outcome]
) -> Iterator[tuple[Number | Buckets, ...]]:
    """Give what each point of a metric says; those that say nothing are counted in `outcomes`.

    `arrived` is unix ns: the time of points that have none.
    """
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind) if kind else None
    rows = data.data_points if data is not None else ()
    table = reader.table
    if metric.name == table.cell_size:
        for row in rows:
            reader.cell_size(_number(row))
        outcomes[Outcome.TAKEN] += len(rows)
        return
    found = table.find(metric.name)
    if not found:
        outcomes[Outcome.LEFT_OUT if table.leaves_out(metric.name) else Outcome.UNKNOWN] += len(rows)
        return
    name = metric.name
    wanted = {label for one in found for label in (*one.rule.labels.values(), *table.labels.values())}
    temporality = getattr(data, "aggregation_temporality", 0)
    # Where a switch says nothing of it, its histograms are deltas, as they are by default, and its sums are not.
    delta = temporality != _CUMULATIVE if kind == "histogram" else temporality == _DELTA
    for row in rows:
        if row.flags & _NO_VALUE:
            outcomes[Outcome.LEFT_OUT] += 1
            continue
        try:
            told = _point(reader, name, kind, row, wanted, row.time_unix_nano or arrived, delta=delta)
        except Malformed:
            outcomes[Outcome.MALFORMED] += 1
            continue
        if told:
            yield told
        else:
            outcomes[Outcome.LEFT_OUT] += 1


def _point(
    reader: SwitchReader, name: str, kind: str, row: Any, wanted: set[str], time: int, *, delta: bool
) -> tuple[Number | Buckets, ...]:
    attributes = _attributes(row, wanted)
    if kind in {"gauge", "sum"}:
        return reader.numbers(name, attributes, _number(row), time, delta=delta)
    if kind == "histogram":
        total = row.sum if row.HasField("sum") else None
        counts, bounds = row.bucket_counts, row.explicit_bounds
        return tuple(reader.buckets(name, attributes, counts, bounds, total, time, delta=delta))
    raise Malformed("neither number nor buckets")


def _number(row: Any) -> float:
    return float(row.as_int if row.WhichOneof("value") == "as_int" else row.as_double)


def _attributes(row: Any, wanted: set[str]) -> Attributes:
    """Read the attributes that are wanted, as text: 3 and "3" are the same."""
    pairs = [(pair.key, pair.value) for pair in row.attributes]
    return tuple([(key, told.string_value or _text(told)) for key, told in pairs if key in wanted])


def _text(told: Any) -> str:
    one = value(told)
    if isinstance(one, float) and one.is_integer():
        one = int(one)
    return "" if one is None else str(one)
