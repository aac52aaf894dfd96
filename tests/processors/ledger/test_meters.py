# SPDX-License-Identifier: Apache-2.0
"""Nothing that a counter grew by is lost, wherever it could not be read."""

from collections.abc import Iterable

import pytest

from agent.catalogue.gpu import ENERGY, GPU_UTILIZATION, SM_ACTIVE
from agent.catalogue.links import GPU_NVLINK_IO, PCIE_IO
from agent.clock import NS
from agent.entities import Gpu, GpuIo, GpuTask
from agent.metric import Series
from agent.processors.ledger.meters import Meter
from agent.processors.ledger.steps import Steps
from agent.snapshot import Source
from agent.timeline import Timeline

GPU = Gpu("GPU-0", "gpu0")
ORIGIN = 1000 * NS
JOULES = ENERGY.series(GPU)
USE = GPU_UTILIZATION.series(GpuTask(GPU, "general"))


def timeline(*columns: tuple[Series, Iterable[tuple[float, float | None]]]) -> Timeline:
    found = Timeline(900, 0.1)
    for series, samples in columns:
        write(found, series, samples)
    return found


def write(found: Timeline, series: Series, samples: Iterable[tuple[float, float | None]]) -> None:
    for time, value in samples:
        found.append(Source(series.metric.name, str(series.entity)), (series,), ORIGIN + round(time * NS), [value])


def test_energy_between_two_samples_is_spread_evenly() -> None:
    meter = Meter(timeline((JOULES, [(0, 100), (1, 110), (2, 150)])), GPU, ORIGIN)
    found = meter.read(Steps(0, 4, 0.5))
    assert found.joules.tolist() == pytest.approx([5, 5, 20, 20])
    assert found.missed == 0


def test_before_the_first_sample_and_after_the_last_nothing_is_known() -> None:
    meter = Meter(timeline((JOULES, [(1, 100), (2, 150)])), GPU, ORIGIN)
    assert meter.read(Steps(0, 8, 0.5)).joules.tolist() == pytest.approx([0, 0, 25, 25, 0, 0, 0, 0])


def test_what_came_after_a_flat_end_is_missed_and_not_lost() -> None:
    seen = timeline((JOULES, [(0, 0), (1, 10)]))
    meter = Meter(seen, GPU, ORIGIN)
    assert meter.read(Steps(0, 4, 0.5)).joules.sum() == pytest.approx(10)
    write(seen, JOULES, [(3, 90)])
    found = meter.read(Steps(4, 6, 0.5))
    assert found.missed == pytest.approx(40)
    assert found.joules.tolist() == pytest.approx([20, 20])


def test_a_gap_longer_than_samples_are_looked_for_is_missed() -> None:
    meter = Meter(timeline((JOULES, [(0, 0), (1, 10), (20, 200), (21, 210)])), GPU, ORIGIN)
    parts = [meter.read(Steps(first, first + 2, 0.5)) for first in range(0, 44, 2)]
    assert sum(part.joules.sum() for part in parts) == pytest.approx(20)
    assert sum(part.missed for part in parts) == pytest.approx(190)


def test_a_counter_that_falls_has_begun_anew() -> None:
    meter = Meter(timeline((JOULES, [(0, 100), (1, 110), (2, 4), (3, 10)])), GPU, ORIGIN)
    found = meter.read(Steps(0, 3, 1.0))
    assert found.joules.tolist() == pytest.approx([10, 0, 6])


def test_a_counter_that_fell_within_a_gap_counts_from_where_it_is_seen() -> None:
    meter = Meter(timeline((JOULES, [(0, 100), (1, 110), (20, 4), (21, 10)])), GPU, ORIGIN)
    parts = [meter.read(Steps(first, first + 1, 1.0)) for first in range(24)]
    assert sum(part.joules.sum() + part.missed for part in parts) == pytest.approx(16)


def test_readings_without_a_value_are_left_out() -> None:
    meter = Meter(timeline((JOULES, [(0, 0), (1, None), (2, 20)])), GPU, ORIGIN)
    assert meter.read(Steps(0, 2, 1.0)).joules.tolist() == pytest.approx([10, 10])


def test_reading_in_pieces_is_reading_at_once() -> None:
    samples = [(tick * 0.3, tick * tick * 0.7) for tick in range(60)]
    once = Meter(timeline((JOULES, samples)), GPU, ORIGIN).read(Steps(0, 150, 0.1)).joules
    meter = Meter(timeline((JOULES, samples)), GPU, ORIGIN)
    parts = [meter.read(Steps(first, first + 15, 0.1)) for first in range(0, 150, 15)]
    assert [joule for part in parts for joule in part.joules] == pytest.approx(once.tolist())
    assert sum(part.missed for part in parts) == pytest.approx(0, abs=1e-9)


def test_a_gpu_without_samples_has_nothing() -> None:
    found = Meter(timeline(), GPU, ORIGIN).read(Steps(0, 2, 1.0))
    assert found.joules.tolist() == [0, 0]
    assert found[2:] == (None, None, None, None)


def test_links_are_added_up_over_both_ways() -> None:
    seen = timeline(
        (GPU_NVLINK_IO.series(GpuIo(GPU, "transmit")), [(0, 0), (2, 200)]),
        (GPU_NVLINK_IO.series(GpuIo(GPU, "receive")), [(0, 0), (2, 20)]),
        (PCIE_IO.series(GpuIo(GPU, "receive")), [(0, 5), (2, 9)]),
    )
    found = Meter(seen, GPU, ORIGIN).read(Steps(0, 2, 1.0))
    assert found.nvlink is not None
    assert found.nvlink.tolist() == pytest.approx([110, 110])
    assert found.pcie is not None
    assert found.pcie.tolist() == pytest.approx([2, 2])


def test_a_gauge_is_a_line_between_its_samples() -> None:
    found = Meter(timeline((USE, [(0, 0.0), (2, 1.0), (4, 1.0)])), GPU, ORIGIN).read(Steps(0, 4, 1.0))
    assert found.utilization is not None
    assert found.utilization.tolist() == pytest.approx([0.25, 0.75, 1, 1])
    assert found.busy is not None
    assert found.busy.tolist() == pytest.approx([0.25, 0.75, 1, 1])


def test_busy_time_is_that_of_the_multiprocessors_where_it_is_measured() -> None:
    active = (SM_ACTIVE.series(GPU), [(0, 0.5), (4, 0.5)])
    found = Meter(timeline((USE, [(0, 1.0), (4, 1.0)]), active), GPU, ORIGIN).read(Steps(0, 2, 2.0))
    assert found.busy is not None
    assert found.busy.tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("samples", [[(0.0, 0.5)], [(0.0, 0.5), (6.0, 0.5)], [(0.0, 0.5), (1.0, 0.5)]])
def test_a_gauge_that_is_not_there_all_along_says_nothing(samples: list[tuple[float, float]]) -> None:
    found = Meter(timeline((USE, samples)), GPU, ORIGIN).read(Steps(0, 6, 1.0))
    assert found.utilization is None
    assert found.busy is None
