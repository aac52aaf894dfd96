# SPDX-License-Identifier: Apache-2.0
"""Passes become counters where a trace tells of every one, and only there."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue import trace_files as catalogue
from agent.catalogue.engine import ITERATIONS
from agent.clock import NS
from agent.dialects.forward_pass import Load, Pass, decode
from agent.dialects.forward_pass_counts import Passes
from agent.entities import Engine
from agent.source_entities import EngineWorker, WorkerPhase, WorkerRecords

RECORDINGS = Path(__file__).parents[1] / "fixtures" / "telemetry"
MS = NS // 1000
T0 = 1_000 * NS
ONE = EngineWorker("llama", "7")


def a_pass(number: int, *, full: bool = True, worker: int = 7, rank: int = 0, idle: bool = False) -> Pass:
    """A pass of 20 ms: 100 tokens of a prompt, and four sequences that read 1000 tokens."""
    work = () if idle else (Load(1, 100, 50), Load(4, 4, 1000))
    prefill, decode_load = work or (Load(), Load())
    return Pass(worker, rank, "backend", full, number, 0, 0.0 if idle else 0.02, prefill, decode_load, Load(2), Load())


def told(passes: Passes, now: int) -> dict[tuple[str, tuple[object, ...]], float]:
    return {(one.series.metric.name, one.series.entity): one.value for one in passes.samples(now)}


def fed(told: Sequence[tuple[int, Pass]]) -> Passes:
    passes = Passes("llama")
    for at, one in told:
        passes.add(one, T0 + at, T0 + at)
    return passes


def test_passes_are_counted_with_what_they_did() -> None:
    passes = fed([(0, a_pass(1)), (20 * MS, a_pass(2)), (NS, a_pass(3, idle=True))])
    found = told(passes, T0 + NS)
    assert found["joulespan.engine.iterations", Engine("llama")] == 2
    assert found["joulespan.engine.worker.iterations", ONE] == 2
    assert found["joulespan.engine.worker.pass.duration", ONE] == pytest.approx(0.04)
    assert found["joulespan.engine.worker.tokens", WorkerPhase(ONE, "prefill")] == 200
    assert found["joulespan.engine.worker.tokens", WorkerPhase(ONE, "decode")] == 8
    assert found["joulespan.engine.worker.kv_tokens", WorkerPhase(ONE, "prefill")] == 100
    assert found["joulespan.engine.worker.kv_tokens", WorkerPhase(ONE, "decode")] == 2000
    assert found["joulespan.engine.worker.trace.complete", ONE] == 1
    assert found["joulespan.engine.worker.trace.missing", ONE] == 0
    assert found["joulespan.engine.worker.trace.records", WorkerRecords(ONE, "idle")] == 1


def test_a_sampled_trace_is_no_count() -> None:
    passes = fed([(0, a_pass(1, full=False)), (5 * NS, a_pass(300, full=False))])
    names = {name for name, _ in told(passes, T0 + 5 * NS)}
    assert names == {
        "joulespan.engine.worker.trace.complete",
        "joulespan.engine.worker.trace.records",
        "joulespan.engine.worker.requests",
    }
    assert told(passes, T0 + 5 * NS)["joulespan.engine.worker.trace.complete", ONE] == 0
    assert passes.rows(T0 + 20 * NS) == []


def test_an_engine_with_one_sampled_worker_has_no_sum() -> None:
    passes = fed([(0, a_pass(1)), (0, a_pass(1, worker=8, full=False))])
    found = told(passes, T0)
    assert ("joulespan.engine.iterations", Engine("llama")) not in found
    assert found["joulespan.engine.worker.iterations", ONE] == 1


def test_what_a_complete_trace_lacks_is_counted_and_its_time_has_no_value() -> None:
    passes = fed([(100 * MS, a_pass(1)), (500 * MS, a_pass(9)), (600 * MS, a_pass(10))])
    rows = passes.rows(T0 + 4 * NS)
    assert told(passes, T0 + 4 * NS)["joulespan.engine.worker.trace.missing", ONE] == 7
    assert [None if row.values is None else row.values[0] for row in rows][:8] == [0, 1, None, None, None, None, 3, 3]


def test_numbers_that_come_again_are_not_counted_again() -> None:
    passes = fed([(0, a_pass(1)), (20 * MS, a_pass(2)), (0, a_pass(1)), (20 * MS, a_pass(2))])
    found = told(passes, T0)
    assert found["joulespan.engine.iterations", Engine("llama")] == 2
    assert found["joulespan.engine.worker.trace.records", WorkerRecords(ONE, "repeated")] == 2


def test_a_worker_that_numbers_anew_lost_nothing() -> None:
    passes = fed([(0, a_pass(500)), (NS, a_pass(1)), (2 * NS, a_pass(2))])
    found = told(passes, T0 + 2 * NS)
    assert found["joulespan.engine.worker.trace.missing", ONE] == 0
    assert found["joulespan.engine.iterations", Engine("llama")] == 3


def test_a_trace_that_becomes_complete_lost_nothing_before() -> None:
    passes = fed([(0, a_pass(1, full=False)), (5 * NS, a_pass(300)), (6 * NS, a_pass(301))])
    found = told(passes, T0 + 6 * NS)
    assert found["joulespan.engine.worker.trace.missing", ONE] == 0
    assert found["joulespan.engine.worker.iterations", ONE] == 2


def test_a_worker_that_says_nothing_is_told_nothing_of_and_the_sum_keeps_it() -> None:
    passes = fed([(0, a_pass(1)), (0, a_pass(1, worker=8))])
    passes.add(a_pass(2, worker=8), T0 + 20 * NS, T0 + 20 * NS)
    found = told(passes, T0 + 20 * NS)
    assert ("joulespan.engine.worker.iterations", ONE) not in found
    assert found["joulespan.engine.iterations", Engine("llama")] == 3


def test_silence_of_all_is_absence() -> None:
    passes = fed([(0, a_pass(1))])
    assert told(passes, T0 + 20 * NS) == {}
    assert passes.rows(T0 + 20 * NS) == []


def test_ranks_have_a_name_where_there_are_several() -> None:
    passes = fed([(0, a_pass(1, rank=0)), (0, a_pass(1, rank=1))])
    workers = {entity for name, entity in told(passes, T0) if name == "joulespan.engine.worker.iterations"}
    assert workers == {EngineWorker("llama", "7", "0"), EngineWorker("llama", "7", "1")}


def test_what_comes_late_is_counted_and_not_put_into_the_past() -> None:
    passes = fed([(0, a_pass(1))])
    passes.rows(T0 + 60 * NS)
    passes.add(a_pass(2), T0 + NS, T0 + 60 * NS)
    found = told(passes, T0 + 60 * NS)
    assert found["joulespan.engine.iterations", Engine("llama")] == 2
    assert found["joulespan.engine.worker.trace.records", WorkerRecords(ONE, "late")] == 1


def test_workers_are_bounded() -> None:
    passes = Passes("llama", workers=3)
    for worker in range(10):
        passes.add(a_pass(1, worker=worker), T0, T0)
    assert passes.forgotten == 7
    assert sum(name == "joulespan.engine.worker.iterations" for name, _ in told(passes, T0)) == 3


def test_where_another_source_counts_iterations_they_are_left_to_it() -> None:
    passes = fed([(0, a_pass(1))])
    assert ITERATIONS.series(Engine("llama")) not in {one.series for one in passes.samples(T0, iterations=False)}


@pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])
def test_the_rows_of_a_recording_end_with_all_that_was_recorded(mode: str) -> None:
    lines = [
        line for path in RECORDINGS.glob(f"dynamo-{mode}/forward_pass_*") for line in path.read_bytes().splitlines()
    ]
    recorded = sorted((one for line in lines if (one := decode(line))), key=lambda one: one.time)
    passes = Passes("dynamo")
    for one in recorded:
        passes.add(one, one.time, one.time)
    end = recorded[-1].time + 4 * NS
    rows = passes.rows(end)
    assert rows[-1].values == pytest.approx(
        (
            sum(not one.idle for one in recorded),
            sum(one.duration for one in recorded),
            sum(one.prefill.tokens for one in recorded),
            sum(one.decode.tokens for one in recorded),
            sum(one.prefill.kv_tokens for one in recorded),
            sum(one.decode.kv_tokens for one in recorded),
        )
    )
    assert None not in {row.values for row in rows}
    expected = {"aggregated": (778, 1537, 1268), "disaggregated": (771, 1169, 1316)}[mode]
    assert rows[-1].values is not None
    assert tuple(round(rows[-1].values[at]) for at in (0, 2, 3)) == expected
    found = told(passes, end)
    assert {value for (name, _), value in found.items() if name == catalogue.TRACE_MISSING.name} == {0}


@given(st.permutations(range(1, 12)), st.sets(st.integers(1, 11)))
def test_no_pass_counts_twice_in_whatever_order_lines_come(order: list[int], again: set[int]) -> None:
    passes = Passes("llama")
    for number in (*order, *again):
        passes.add(a_pass(number), T0 + number * NS, T0 + 12 * NS)
    found = told(passes, T0 + 12 * NS)
    records = {entity[1]: value for (name, entity), value in found.items() if name == catalogue.TRACE_RECORDS.name}
    assert found["joulespan.engine.iterations", Engine("llama")] <= 11
    assert sum(records.values()) == 11 + len(again)
