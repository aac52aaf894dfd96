# SPDX-License-Identifier: Apache-2.0
"""The table of dcgm-exporter's names gives what the aliases give."""

from typing import Any

import pytest

from agent.catalogue import gpu, health
from agent.catalogue.dcgm import ALIASES, Alias
from agent.commands.dcgm_table import dcgm_table, query
from agent.metric import Metric, label_name


@pytest.mark.parametrize(
    ("alias", "metric", "text"),
    [
        (Alias("a", ("sm",), 1e-6), gpu.CLOCK, 'joulespan_gpu_clock_frequency_hertz{clock="sm"} / 1000000'),
        (Alias("a", (), 1 / (1 << 20)), gpu.MEMORY_USAGE, "hw_gpu_memory_usage_bytes / 1048576"),
        (Alias("a", (), 1000.0), gpu.ENERGY, 'hw_energy_joules_total{hw_type="gpu"} * 1000'),
        (Alias("a", ("corrected",)), health.HW_ERRORS, 'hw_errors_total{hw_type="gpu", error_type="corrected"}'),
    ],
)
def test_an_alias_is_a_query(alias: Alias, metric: Metric[Any], text: str) -> None:
    assert query(metric, alias) == text


def test_every_alias_has_a_row_whose_labels_the_metric_has() -> None:
    table = dcgm_table()
    for metric, aliases in ALIASES.items():
        labels = {label_name(attribute.name) for attribute in metric.attributes}
        for alias in aliases:
            (row,) = [line for line in table.splitlines() if line.startswith(f"| `{alias.name}` ")]
            assert metric.prometheus in row
            matchers = query(metric, alias).partition("{")[2].partition("}")[0]
            assert {one.partition("=")[0] for one in matchers.split(", ") if one} <= labels
