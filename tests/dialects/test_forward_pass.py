# SPDX-License-Identifier: Apache-2.0
"""Dynamo's forward-pass traces as recorded, and what can be wrong with a line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialects.forward_pass import Load, decode

RECORDINGS = Path(__file__).parents[1] / "fixtures" / "telemetry"
TRACES = sorted(RECORDINGS.glob("*/forward_pass_*.jsonl"))
MS = 1_000_000


def line(**told: Any) -> bytes:
    """A line of a trace: one pass of a prompt of 256 tokens beside three sequences that decode."""
    scheduled = {
        "num_prefill_requests": 2,
        "sum_prefill_tokens": 256,
        "sum_prefill_kv_tokens": 64,
        "num_decode_requests": 3,
        "sum_decode_kv_tokens": 1024,
    }
    fpm = {"version": 1, "worker_id": "4192", "dp_rank": 0, "counter_id": 42, "wall_time": 0.025}
    event = {
        "schema": "dynamo.fpm.trace.v1",
        "source": {"namespace": "default", "component": "backend", "producer_id": "4192"},
        "capture_mode": "sampled",
        "observed_at_unix_ms": 1_782_777_601_250,
    }
    event.update({key: value for key, value in told.items() if key in event})
    scheduled.update({key: value for key, value in told.items() if key in scheduled})
    fpm.update({key: value for key, value in told.items() if key in fpm})
    queued = {"num_prefill_requests": 1, "sum_prefill_tokens": 128, "num_decode_requests": 0, "sum_decode_kv_tokens": 0}
    event["fpm"] = {**fpm, "scheduled_requests": scheduled, "queued_requests": queued}
    return json.dumps({"timestamp": 1250, "event": event}).encode()


def test_the_line_of_the_documentation_is_read() -> None:
    found = decode(line())
    assert found is not None
    assert (found.worker, found.rank, found.component, found.full, found.number) == (4192, 0, "backend", False, 42)
    assert (found.time, found.duration) == (1_782_777_601_250 * MS, 0.025)
    assert found.prefill == Load(2, 256, 64)
    assert found.decode == Load(3, 3, 1024)
    assert found.queued_prefill == Load(1, 128, 0)
    assert not found.idle


@pytest.mark.parametrize("path", TRACES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_recorded_line_is_a_pass_or_a_heartbeat(path: Path) -> None:
    lines = path.read_bytes().splitlines()
    passes = [found for one in lines if (found := decode(one)) is not None]
    assert len(passes) == len(lines)
    assert [one.number for one in passes] == list(range(1, len(lines) + 1))
    raw = [json.loads(one)["event"]["fpm"] for one in lines]
    assert {str(one.worker) for one in passes} == {one["worker_id"] for one in raw}
    assert [one.idle for one in passes] == [one["wall_time"] == 0 for one in raw]
    for phase in ("prefill", "decode"):
        told = [one["scheduled_requests"] for one in raw]
        assert [getattr(one, phase).requests for one in passes] == [one[f"num_{phase}_requests"] for one in told]
        assert [getattr(one, phase).kv_tokens for one in passes] == [one[f"sum_{phase}_kv_tokens"] for one in told]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        line()[:-1],
        line(schema="dynamo.fpm.trace.v2"),
        line(capture_mode="everything"),
        line(worker_id=str(1 << 64)),
        line(worker_id="-1"),
        line(worker_id="0x1f"),
        line(worker_id=1.5),
        line(counter_id=-1),
        line(counter_id=1 << 60),
        line(dp_rank=-1),
        line(dp_rank=1 << 20),
        line(wall_time=-0.1),
        line(wall_time=1e9),
        line(observed_at_unix_ms=-1),
        line(observed_at_unix_ms=1 << 60),
        line(sum_prefill_tokens=-1),
        line(num_decode_requests=1 << 60),
        line(num_decode_requests="3"),
        line().replace(b"256", b"9" * 5000),
        line().replace(b"0.025", b"NaN"),
        line().replace(b"0.025", b"1e999"),
    ],
)
def test_what_is_no_line_of_a_trace_or_cannot_be_is_none(bad: bytes) -> None:
    assert decode(bad) is None


@pytest.mark.parametrize("worker", ["10647866911724719348", 10647866911724719348])
def test_ids_of_workers_keep_every_digit(worker: object) -> None:
    found = decode(line(worker_id=worker))
    assert found is not None
    assert found.worker == 10_647_866_911_724_719_348


@given(st.binary(max_size=200), st.integers(0, 700), st.integers(0, 20))
def test_a_damaged_line_raises_nothing(noise: bytes, at: int, cut: int) -> None:
    good = line()
    decode(good[:at] + noise + good[at + cut :])
