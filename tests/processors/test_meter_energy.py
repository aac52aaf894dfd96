# SPDX-License-Identifier: Apache-2.0
"""Energy of meters: whatever wraps, stands still or is silent, joules are those that were drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS
from agent.processors.meter_energy import Growth, IntegratedPower, WrappingCounter

WATTS = st.lists(st.integers(0, 900), min_size=2, max_size=40)


@given(WATTS, st.integers(1_000_000_000, 3_000_000_000))
def test_a_counter_that_wraps_counts_every_joule(watts: list[int], wraps_at: int) -> None:
    counter = WrappingCounter(wraps_at, 1e6)
    drawn = 0
    counter.take(0, 0)
    for second, power in enumerate(watts, 1):
        drawn += power
        counter.take(drawn * 1_000_000 % wraps_at, second * NS)
        assert counter.joules == pytest.approx(drawn)
        assert counter.watts == pytest.approx(power)


@given(WATTS, st.integers(1, 2))
def test_power_added_up_lies_between_its_least_and_its_most(watts: list[int], seconds: int) -> None:
    total = IntegratedPower()
    for number, power in enumerate(watts):
        total.take(power, number * seconds * NS)
    passed = (len(watts) - 1) * seconds
    assert min(watts) * passed - 1e-6 <= total.joules <= max(watts) * passed + 1e-6


def test_two_readings_at_one_time_are_one() -> None:
    counter, total = WrappingCounter(1000, 1.0), IntegratedPower()
    for value in (5, 9):
        counter.take(value, NS)
        total.take(value, NS)
    assert (counter.joules, counter.watts, total.joules) == (0, None, 0)


def test_what_was_not_there_counts_from_when_it_came() -> None:
    growth = Growth()
    for values in ({"a": 100.0}, {"a": 110.0, "b": 5000.0}, {"b": 5001.0}, {"a": 900.0, "b": 5001.0}, {"a": 901.0}):
        growth.take(values)
    assert growth.total == 10 + 1 + 1
