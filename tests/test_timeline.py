# SPDX-License-Identifier: Apache-2.0
"""The timeline is what a list of all rows would be, as far as it reaches back."""

from math import isnan

from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.gpu import ENERGY, POWER
from agent.entities import Gpu
from agent.metric import Series
from agent.snapshot import Source
from agent.timeline import Timeline

GPU = Gpu("GPU-1", "gpu0")
SOURCE = Source("gpu_energy", GPU.id)
SERIES: tuple[Series, ...] = (ENERGY.series(GPU), POWER.series(GPU))
ROWS = st.lists(st.tuples(st.integers(0, 200), st.none() | st.floats(0, 1e6), st.floats(0, 1e6)), max_size=120)


@given(ROWS, st.integers(2, 40), st.integers(-5, 205), st.integers(-5, 205))
def test_a_window_is_a_slice_of_the_last_rows(
    rows: list[tuple[int, float | None, float]], capacity: int, since: int, until: int
) -> None:
    timeline = Timeline(capacity, 1)
    taken: list[tuple[int, float | None, float]] = []
    for row in rows:
        timeline.append(SOURCE, SERIES, row[0], row[1:])
        if not taken or row[0] > taken[-1][0]:
            taken.append(row)
    expected = [row for row in taken[-capacity:] if since <= row[0] <= until]
    for column, series in enumerate(SERIES):
        times, values = timeline.window(series, since, until)
        assert list(times) == [row[0] for row in expected]
        for value, row in zip(values, expected, strict=True):
            wanted = row[column + 1]
            assert isnan(value) if wanted is None else value == wanted
    assert timeline.refused == len(rows) - len(taken)
    assert timeline.fill() == len(taken[-capacity:]) / capacity


def test_another_layout_of_a_source_starts_anew() -> None:
    timeline = Timeline(10, 1)
    timeline.append(SOURCE, SERIES, 1, [1.0, 2.0])
    timeline.append(SOURCE, SERIES[:1], 2, [3.0])
    assert list(timeline.window(SERIES[0], 0, 9)[0]) == [2]
    assert list(timeline.window(SERIES[1], 0, 9)[0]) == []


def test_the_number_of_sources_is_bounded() -> None:
    timeline = Timeline(10, 1, max_sources=2)
    for number in range(5):
        timeline.append(Source("gpu_energy", str(number)), SERIES, 1, [1.0, 2.0])
    assert timeline.refused == 3


def test_the_memory_of_a_ring_does_not_grow() -> None:
    timeline = Timeline(50, 1)
    for time in range(10_000):
        timeline.append(SOURCE, SERIES, time, [1.0, 2.0])
    (ring,) = timeline._rings.values()
    assert len(ring._times) < 100
    assert ring.overwritten == 10_000 - 50


def test_a_series_nobody_told_of_has_an_empty_history() -> None:
    timeline = Timeline(10, 1)
    times, values = timeline.window(SERIES[0], 0, 9)
    assert (list(times), list(values), timeline.fill()) == ([], [], 0.0)


def test_the_same_names_in_another_tuple_keep_their_history() -> None:
    timeline = Timeline(10, 1)
    timeline.append(SOURCE, SERIES, 1, [1.0, 2.0])
    timeline.append(SOURCE, (SERIES[0], SERIES[1]), 2, [3.0, 4.0])
    assert list(timeline.window(SERIES[0], 0, 9)[1]) == [1.0, 3.0]


def test_a_source_that_changes_its_layout_costs_no_other_source_its_history() -> None:
    timeline = Timeline(10, 1, max_sources=2)
    other = Gpu("GPU-2", "gpu1")
    timeline.append(SOURCE, SERIES, 1, [1.0, 2.0])
    timeline.append(Source("gpu_energy", other.id), (ENERGY.series(other),), 1, [5.0])
    timeline.append(SOURCE, SERIES[1:], 2, [6.0])
    assert list(timeline.window(ENERGY.series(other), 0, 9)[1]) == [5.0]
    assert list(timeline.window(SERIES[1], 0, 9)[1]) == [6.0]
    assert timeline.refused == 0


def test_a_window_is_a_copy_that_later_rows_do_not_change() -> None:
    timeline = Timeline(2, 1)
    timeline.append(SOURCE, SERIES, 1, [1.0, 2.0])
    held = timeline.window(SERIES[0], 0, 99)
    for time in range(2, 90):
        timeline.append(SOURCE, SERIES, time, [9.0, 9.0])
    assert [list(column) for column in held] == [[1], [1.0]]
