# SPDX-License-Identifier: Apache-2.0
"""What GPUs did over an interval is what summing up their samples by hand gives."""

from collections.abc import Sequence
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.gpu import CLOCK, GPU_UTILIZATION, POWER, THROTTLE_DURATION
from agent.catalogue.links import GPU_NVLINK_IO
from agent.clock import NS
from agent.entities import Gpu, GpuClock, GpuIo, GpuReason, GpuTask
from agent.processors.usage import means, measure
from agent.snapshot import Source
from agent.timeline import Timeline

GPUS = (Gpu("GPU-0", "gpu0"), Gpu("GPU-1", "gpu1"))
START = 1000 * NS
STEP = NS // 10


def history(rows: Sequence[Sequence[float | None]], gpu: Gpu = GPUS[0], timeline: Timeline | None = None) -> Timeline:
    """Rows of power, utilization, clock, NVLink out, in and throttled seconds, one each 100 ms."""
    timeline = timeline or Timeline(900, 0.1)
    series = (
        POWER.series(gpu),
        GPU_UTILIZATION.series(GpuTask(gpu, "general")),
        CLOCK.series(GpuClock(gpu, "sm")),
        GPU_NVLINK_IO.series(GpuIo(gpu, "transmit")),
        GPU_NVLINK_IO.series(GpuIo(gpu, "receive")),
        THROTTLE_DURATION.series(GpuReason(gpu, "power_cap")),
    )
    for number, row in enumerate(rows):
        timeline.append(Source("gpu_energy", gpu.id), series, START + number * STEP, row)
    return timeline


def edges(*pairs: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Intervals in seconds after the start."""
    since, until = zip(*pairs, strict=True)
    return tuple(np.array([START + round(one * NS) for one in side], np.int64) for side in (since, until))  # type: ignore[return-value]


def test_a_constant_gauge_has_itself_as_mean_and_a_counter_grows_by_its_rate() -> None:
    timeline = history([(300.0, 0.5, 1.7e9, 100.0 * n, 50.0 * n, 0.01 * n) for n in range(100)])
    use = measure(timeline, GPUS[:1], edges((1.0, 3.0), (2.5, 2.5)))
    assert use.power.tolist() == pytest.approx([300, 300])
    assert use.utilization.tolist() == pytest.approx([0.5, 0.5])
    assert use.clock.tolist() == pytest.approx([1.7e9, 1.7e9])
    assert use.nvlink.tolist() == pytest.approx([3000, 0])
    assert use.throttled.tolist() == pytest.approx([0.2, 0])


@given(
    st.lists(st.floats(0, 1000), min_size=20, max_size=60),
    st.integers(0, 1500),
    st.integers(0, 1500),
)
def test_the_mean_is_the_area_under_straight_lines_between_the_samples(
    watts: list[float], first: int, second: int
) -> None:
    since, until = sorted(min(one, 100 * (len(watts) - 1)) / 1000 for one in (first, second))
    timeline = history([(w, None, None, None, None, None) for w in watts])
    found = means(timeline, GPUS[:1], edges((since, until)))[1][0]
    grid = np.linspace(since, until, 4001)
    curve = np.interp(grid, np.arange(len(watts)) * 0.1, watts)
    expected = float(np.trapezoid(curve, grid) / (until - since) if until > since else curve[0])
    assert found == pytest.approx(expected, rel=2e-3, abs=0.5)


def test_gpus_of_an_engine_are_averaged_and_their_bytes_added() -> None:
    timeline = history([(300.0, 0.5, 1e9, 10.0 * n, 0.0, 0.0) for n in range(50)])
    history([(500.0, 0.9, 2e9, 30.0 * n, 0.0, 0.1 * n) for n in range(50)], GPUS[1], timeline)
    use = measure(timeline, GPUS, edges((1.0, 2.0)))
    assert use.power[0] == pytest.approx(400)
    assert use.utilization[0] == pytest.approx(0.7)
    assert use.nvlink[0] == pytest.approx(400)
    assert use.throttled[0] == pytest.approx(1.0)


def test_what_no_sample_covers_has_no_value() -> None:
    timeline = history([(300.0, 0.5, 1e9, 0.0, 0.0, 0.0)] * 50)
    use = measure(timeline, GPUS[:1], edges((-5.0, 2.0), (1.0, 20.0), (100.0, 101.0), (3.0, 2.0)))
    assert all(isnan(value) for column in use for value in column)


def test_a_gpu_that_was_not_measured_leaves_no_mean() -> None:
    timeline = history([(300.0, 0.5, 1e9, 0.0, 0.0, 0.0)] * 50)
    use = measure(timeline, GPUS, edges((1.0, 2.0)))
    assert isnan(use.power[0])


def test_a_gap_in_the_samples_hides_what_was_in_it() -> None:
    rows: list[Sequence[float | None]] = [(300.0, None, None, None, None, None)] * 20
    rows += [(None, None, None, None, None, None)] * 100
    rows += [(300.0, None, None, None, None, None)] * 20
    found = means(history(rows), GPUS[:1], edges((1.0, 13.0), (0.5, 1.5), (12.5, 13.5)))[1]
    assert isnan(found[0])
    assert found[1:].tolist() == pytest.approx([300, 300])


def test_a_counter_that_starts_again_does_not_shrink() -> None:
    rows = [(None, None, None, value, None, None) for value in (0.0, 100.0, 200.0, 0.0, 100.0, 200.0)]
    use = measure(history(rows), GPUS[:1], edges((0.0, 0.5)))
    assert use.nvlink[0] == pytest.approx(400)
