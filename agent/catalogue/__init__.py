# SPDX-License-Identifier: Apache-2.0
"""Every metric there is, by name. What is not here is not exported.

Names, units and attributes are OpenTelemetry's hardware conventions v1.44 where they have one
(`hw.*`, all of them in development there) and `joulespan.*` in the same grammar where they have none.
"""

from types import ModuleType
from typing import Any

from agent.catalogue import (
    affinity,
    deployment,
    energy,
    engine,
    gpu,
    groq,
    health,
    links,
    neuron,
    nic,
    own,
    owners,
    rdma,
    requests,
    trace_files,
)
from agent.metric import Metric

SECTIONS: tuple[ModuleType, ...] = (
    gpu, health, links, nic, rdma, affinity, engine, deployment, trace_files, requests, neuron, groq, energy, owners,
    own,
)  # fmt: skip
"""The subjects, in the order of docs/metrics.md; a section's docstring is its introduction there."""


def metrics(section: ModuleType) -> list[Metric[Any]]:
    """List the metrics of a section, in the order they are defined."""
    return [value for value in vars(section).values() if isinstance(value, Metric)]


METRICS: dict[str, Metric[Any]] = {metric.name: metric for section in SECTIONS for metric in metrics(section)}
