# SPDX-License-Identifier: Apache-2.0
"""Snapshots are replaced, never changed."""

import pytest

from agent.catalogue.gpu import ENERGY, POWER
from agent.entities import Gpu
from agent.snapshot import Batch, Snapshots, Source

GPUS = [Gpu(f"GPU-{number}", f"gpu{number}") for number in range(3)]
ONE, TWO = Source("power", "GPU-0"), Source("power", "GPU-1")


def test_who_holds_a_snapshot_keeps_what_it_said() -> None:
    snapshots = Snapshots()
    snapshots.put_samples(ONE, [POWER(GPUS[0], 1)], 0)
    held = snapshots.current
    snapshots.put_samples(ONE, [POWER(GPUS[0], 2)], 1)
    snapshots.drop(lambda _: True)
    assert [value for _, value in held.samples()] == [1.0]
    assert snapshots.current.series_count() == 0
    with pytest.raises(TypeError):
        held.batches[TWO] = held.batches[ONE]  # type: ignore[index]


def test_the_layout_is_the_same_object_while_the_names_are_the_same() -> None:
    snapshots = Snapshots()
    snapshots.put_samples(ONE, [POWER(GPUS[0], 1), ENERGY(GPUS[0], 1)], 0)
    first = snapshots.current.batches[ONE].series
    snapshots.put_samples(ONE, [POWER(GPUS[0], 2), ENERGY(GPUS[0], 2)], 1)
    assert snapshots.current.batches[ONE].series is first
    snapshots.put_samples(ONE, [POWER(GPUS[0], 2)], 2)
    assert snapshots.current.batches[ONE].series is not first


def test_dropping_takes_what_is_asked_for_and_nothing_else() -> None:
    snapshots = Snapshots()
    snapshots.put_samples(ONE, [POWER(GPUS[0], 1)], 0)
    snapshots.put_samples(TWO, [POWER(GPUS[1], 1)], 0)
    snapshots.drop(lambda source: source.device == "GPU-0")
    assert list(snapshots.current.batches) == [TWO]


def test_what_has_no_value_is_no_sample() -> None:
    batch = Batch((POWER.series(GPUS[0]), ENERGY.series(GPUS[0])), [None, 2.0], 0)
    snapshots = Snapshots()
    snapshots.put({ONE: batch})
    assert [(series.metric.name, value) for series, value in snapshots.current.samples()] == [("hw.energy", 2.0)]
    assert snapshots.current.series_count() == 1
