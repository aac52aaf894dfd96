# SPDX-License-Identifier: Apache-2.0
"""Cases of alerts as values: what is stored, when it is looked at, and who fires then."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agent.metric import Histogram, Metric, label_name
from agent.promql import SCRAPE, Scope
from alerts.recording import Rule

JOB = "joulespan"
Told = Mapping[str, str | int]


class Input(NamedTuple):
    """A series and its values, in promtool's notation."""

    series: str
    values: str


class Case(NamedTuple):
    """At a time, an alert fires for these, told apart by their attributes, and for nobody else."""

    alert: str
    says: str
    at: str
    inputs: tuple[Input, ...]
    who: tuple[Told, ...]
    interval: str


def fires(alert: str, says: str, at: str, *inputs: Input, who: Sequence[Told] = ({},), interval: str = "1m") -> Case:
    return Case(alert, says, at, inputs, tuple(who), interval)


def silent(alert: str, says: str, at: str, *inputs: Input, interval: str = "1m") -> Case:
    return Case(alert, says, at, inputs, (), interval)


def stored(metric: Metric[Any], values: str, told: Told | None = None, *, node: str = "n1", part: str = "") -> Input:
    """Store a metric of a node; attributes that it does not have are refused."""
    told = told or {}
    known = SCRAPE | {attribute.name for attribute in metric.attributes}
    assert set(told) <= known, f"{metric.name} has no {set(told) - known}"
    assert bool(part) == isinstance(metric, Histogram)
    return _input(f"{metric.prometheus}{part}", {"job": JOB, "instance": node, **told}, values)


def of_gpu(metric: Metric[Any], values: str, told: Told | None = None, *, gpu: str = "A", node: str = "n1") -> Input:
    """Store a metric of a GPU."""
    return stored(metric, values, {"hw.id": gpu, "hw.type": "gpu", "hw.name": "gpu0", **(told or {})}, node=node)


def up(values: str, *, node: str = "n1", job: str = JOB) -> Input:
    """Store what Prometheus says of a target."""
    return _input(str(Scope().up()), {"job": job, "instance": node}, values)


def recorded(rule: Rule, values: str, told: Told) -> Input:
    """Store a recorded series, as if its rule had made it."""
    assert set(told) <= rule.expr.attributes
    return _input(rule.record, told, values)


def labels(told: Told) -> str:
    return ",".join(f'{label_name(name)}="{value}"' for name, value in told.items())


def _input(name: str, told: Told, values: str) -> Input:
    return Input(f"{name}{{{labels(told)}}}", values)
