# SPDX-License-Identifier: Apache-2.0
"""Snapshots are replaced, never changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.gpu import ENERGY, POWER
from agent.catalogue.requests import REQUEST_DURATION
from agent.entities import Gpu
from agent.metric import Distribution
from agent.request_entities import RequestClass
from agent.snapshot import Batch, Snapshot, Snapshots, Source

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


def test_the_samples_of_some_metrics_are_found_whichever_batch_they_are_in() -> None:
    snapshots = Snapshots()
    snapshots.put_samples(ONE, [POWER(GPUS[0], 1), ENERGY(GPUS[0], 2)], 0)
    snapshots.put_samples(TWO, [ENERGY(GPUS[1], 3)], 0)
    assert list(snapshots.current.of(ENERGY)) == [ENERGY(GPUS[0], 2), ENERGY(GPUS[1], 3)]
    snapshots.put({TWO: Batch((POWER.series(GPUS[1]), ENERGY.series(GPUS[1])), [4.0, None], 1)})
    assert list(snapshots.current.of(ENERGY, POWER)) == [ENERGY(GPUS[0], 2), POWER(GPUS[0], 1), POWER(GPUS[1], 4)]
    assert list(snapshots.current.of()) == []


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


def test_another_batch_of_a_source_ends_the_series_it_no_longer_names() -> None:
    snapshots = Snapshots()
    snapshots.put_samples(ONE, [POWER(GPUS[0], 1), ENERGY(GPUS[0], 1)], 0)
    snapshots.put_samples(TWO, [POWER(GPUS[1], 2)], 0)
    snapshots.put_samples(ONE, [POWER(GPUS[0], 3)], 1)
    assert [value for _, value in snapshots.current.samples()] == [3.0, 2.0]
    snapshots.put_samples(ONE, [], 2)
    assert [value for _, value in snapshots.current.samples()] == [2.0]


def test_a_drop_that_meets_nothing_leaves_the_same_snapshot() -> None:
    snapshots = Snapshots()
    snapshots.put_samples(ONE, [POWER(GPUS[0], 1)], 0)
    held = snapshots.current
    snapshots.drop(lambda source: source == TWO)
    assert snapshots.current is held


def observed(engine: str, *counts: int) -> Distribution:
    return REQUEST_DURATION.distribution(RequestClass(engine), [*counts] + [0] * (15 - len(counts)), float(sum(counts)))


def test_samples_and_distributions_of_one_source_are_kept_apart_and_told_by_it_as_a_whole() -> None:
    snapshots = Snapshots()
    one, two = observed("a", 1), observed("b", 2, 3)
    snapshots.put_samples(ONE, [one, POWER(GPUS[0], 1), two, ENERGY(GPUS[0], 2)], 0)
    assert [value for _, value in snapshots.current.samples()] == [1.0, 2.0]
    assert list(snapshots.current.distributions()) == [one, two]
    layout = snapshots.current.batches[ONE].series
    snapshots.put_samples(ONE, [two, POWER(GPUS[0], 3), ENERGY(GPUS[0], 4)], 1)
    assert snapshots.current.batches[ONE].series is layout
    assert list(snapshots.current.distributions()) == [two]
    snapshots.drop(ONE.__eq__)
    assert not list(snapshots.current.distributions())


def test_a_histogram_counts_as_the_series_that_prometheus_makes_of_it() -> None:
    snapshots = Snapshots()
    snapshots.put_samples(ONE, [POWER(GPUS[0], 1)], 0)
    snapshots.put_samples(TWO, [observed("a"), observed("b", 1), ENERGY(GPUS[0], 1)], 0)
    assert snapshots.current.series_count() == 2 + 2 * (14 + 1 + 2)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.none() | st.floats(0, 9)), max_size=20))
def test_a_snapshot_is_the_last_word_of_each_source_and_none_held_ever_changes(
    steps: list[tuple[bool, int, float | None]],
) -> None:
    snapshots, known = Snapshots(), dict[int, float | None]()
    held: list[tuple[Snapshot, dict[int, float | None]]] = []
    for gone, number, value in steps:
        source = Source("power", str(number))
        if gone:
            snapshots.drop(source.__eq__)
            known.pop(number, None)
        else:
            snapshots.put({source: Batch((POWER.series(GPUS[number]),), [value], 0)})
            known[number] = value
        held.append((snapshots.current, dict(known)))
    for snapshot, said in held:
        present = {GPUS[number]: value for number, value in said.items() if value is not None}
        assert {series.entity: value for series, value in snapshot.samples()} == present
        assert snapshot.series_count() == len(present)
