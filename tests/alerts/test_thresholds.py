# SPDX-License-Identifier: Apache-2.0
"""Thresholds are read from a file, and what cannot be is refused with what to do."""

from typing import Any

import pytest

from agent.catalogue.gpu import POWER
from agent.promql import of
from alerts import thresholds as to
from alerts.alert import Alert
from alerts.thresholds import ThresholdError, Thresholds, thresholds


def test_names_may_have_dots_or_be_maps_in_maps() -> None:
    read = thresholds({"gpu": {"temperature": {"margin": 8}}, "gpu.remembered": "12h", "gpu.ecc": {"recent": "2h"}})
    assert read.limit(to.MARGIN) == 8
    assert read.period(to.GPU_REMEMBERED) == "12h"
    assert read.period(to.ECC_RECENT) == "2h"
    assert read.limit(to.KV_CACHE) == to.KV_CACHE.default


def test_an_empty_file_changes_nothing() -> None:
    assert thresholds(None) == Thresholds()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"gpu.temperature.margn": 8},
            "gpu.temperature.margn: there is no such threshold; the nearest is gpu.temperature.margin",
        ),
        ({"gpu": {"remembered": 5}}, "gpu.remembered: 5 is no period such as 1d"),
        ({"gpu.remembered": "a day"}, "gpu.remembered: 'a day' is no period such as 1d"),
        ({"gpu.temperature.margin": "8"}, "gpu.temperature.margin: '8' is no number such as 5"),
        ({"gpu.temperature.margin": True}, "gpu.temperature.margin: True is no number such as 5"),
        ([1], "a file of thresholds maps names to values"),
    ],
)
def test_what_cannot_be_is_refused_by_name(document: Any, message: str) -> None:
    with pytest.raises(ThresholdError) as refused:
        thresholds(document)
    assert str(refused.value) == message


@pytest.mark.parametrize("objective", [0.5, 1.0, 1.5])
def test_an_objective_whose_burn_could_not_be_seen_is_refused(objective: float) -> None:
    with pytest.raises(ThresholdError, match=r"slo\.time_to_first_token\.objective: .* is not between 0\.931 and 1"):
        Thresholds({to.FIRST_TOKEN_OBJECTIVE.name: objective}).budget(to.FIRST_TOKEN_OBJECTIVE)


def test_a_text_that_names_what_its_series_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="One: no attribute `xid` here"):
        Alert(name="One", severity="info", expr=of(POWER), meaning=".", summary="{xid}", description=".")


def test_a_text_is_written_as_a_template() -> None:
    alert = Alert(
        name="One",
        severity="info",
        expr=of(POWER),
        meaning=".",
        summary="{hw.name}: {value}, {value:percent}",
        description=".",
    )
    assert (
        alert.text(alert.summary) == "{{ $labels.hw_name }}: {{ $value | humanize }}, {{ $value | humanizePercentage }}"
    )
    assert alert.text("{value:duration}", "$values.A.Value") == "{{ $values.A.Value | humanizeDuration }}"
