# SPDX-License-Identifier: Apache-2.0
"""Every metric there is, by name. What is not here is not exported.

Names, units and attributes are OpenTelemetry's hardware conventions v1.44 where they have one
(`hw.*`, all of them in development there) and `joulespan.*` in the same grammar where they have none.
"""

from types import ModuleType
from typing import Any

from agent.catalogue import (
    affinity,
    cpu_power,
    deployment,
    energy,
    engine,
    engine_processes,
    gpu,
    groq,
    health,
    host,
    links,
    neuron,
    nic,
    own,
    owners,
    rack,
    rdma,
    requests,
    switch,
    tcp,
    trace_files,
)
from agent.metric import Metric

SECTIONS: tuple[ModuleType, ...] = (
    gpu, health, links, nic, rdma, affinity, switch, rack, engine, deployment, trace_files, requests, neuron, groq,
    energy, owners, host, tcp, engine_processes, cpu_power, own,
)  # fmt: skip
"""The subjects, in the order of docs/metrics.md; a section's docstring is its introduction there."""


def metrics(section: ModuleType) -> list[Metric[Any]]:
    """List the metrics of a section, in the order they are defined."""
    return [value for value in vars(section).values() if isinstance(value, Metric)]


def _families() -> dict[str, tuple[Metric[Any], ...]]:
    found: dict[str, tuple[Metric[Any], ...]] = {}
    for section in SECTIONS:
        for metric in metrics(section):
            found[metric.name] = (*found.get(metric.name, ()), metric)
    return found


FAMILIES: dict[str, tuple[Metric[Any], ...]] = _families()
"""The metrics of each name. Several share one that OpenTelemetry has for hardware of every kind: hw.type tells them
apart, and a query of one of them selects its hw.type."""
METRICS: dict[str, Metric[Any]] = {name: family[0] for name, family in FAMILIES.items()}
"""The first metric of each name, which is the GPUs' where GPUs have it."""


def brief_of(name: str) -> str:
    """Say what the metrics of a name are."""
    return " ".join(dict.fromkeys(metric.brief for metric in FAMILIES[name]))
