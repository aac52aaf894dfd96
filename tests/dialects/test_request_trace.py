# SPDX-License-Identifier: Apache-2.0
"""Dynamo's request traces as recorded, joined with the spans of the same requests."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.clock import NS
from agent.dialects.request_trace import Record, decode, join
from agent.dialects.request_trace_store import Records
from agent.requests import Phase, Request, Role
from tests.dialects.made import T0, span
from tests.dialects.test_dynamo import RECORDINGS, both, replay

WORKER = 10_647_866_911_724_719_348
NOW = 1_000 * NS
RECORD = Record("r-1", "m", 254, 240, 24, "length", "run-42", WORKER)


def recorded(mode: str) -> list[Record]:
    lines = (RECORDINGS / f"dynamo-{mode}" / "request_trace.jsonl").read_bytes().splitlines()
    return [record for line in lines if (record := decode(line)) is not None]


def request(role: Role = Role.SERVER, phase: Phase = Phase.WHOLE, instance: int = WORKER, **told: Any) -> Request:
    own = span("handle_payload", {"instance_id": str(instance)})
    fields: dict[str, Any] = {"request_id": "r-1", **told}
    return Request(span=own, dialect="dynamo", role=role, phase=phase, arrival=T0, end=T0 + NS, **fields)


def counts(records: Records, now: int = NOW) -> dict[str, float]:
    return {str(one.series.entity[0]): one.value for one in records.samples(now)}


@both
def test_every_request_that_ended_is_read_and_nothing_of_its_prompt(mode: str) -> None:
    found = recorded(mode)
    assert len(found) == 47
    rows = {row["request_id"]: row for row in replay(mode).ends.values()}
    for record in found:
        row = rows[record.request_id]
        told = (record.input_tokens, record.cached_tokens, record.output_tokens, record.prefill_worker)
        assert told == (
            row["input_tokens"],
            row["cached_tokens"],
            row["output_tokens"],
            row["worker"]["prefill_worker_id"],
        )
    assert sum(record.session is not None for record in found) == 6


@both
def test_a_trace_joined_with_its_spans_tells_cached_tokens_and_contradicts_none_of_them(mode: str) -> None:
    records = {record.request_id: record for record in recorded(mode)}
    store = Records()
    for record in records.values():
        store.put(record, NOW)
    requests = replay(mode).requests
    joined = [store.join(one) for one in requests]
    servers = [one for one in joined if one.role is Role.SERVER and one.request_id in records]
    assert len(servers) == 47
    for one in servers:
        record = records[str(one.request_id)]
        assert (one.input_tokens, one.output_tokens) == (record.input_tokens, record.output_tokens)
        assert one.cached_tokens == record.cached_tokens
        assert one.session == record.session or record.session is None
    workers = [one for one in joined if one.role is Role.WORKER and one.cached_tokens is not None]
    assert len(workers) == 47
    assert {one.phase for one in workers} == {Phase.WHOLE if mode == "aggregated" else Phase.PREFILL}
    assert counts(store) == {"joined": 47, "unmatched": 0, "dropped": 0}


def test_what_a_span_says_stays() -> None:
    told = request(model="n", input_tokens=254, output_tokens=20, finish="stop", session="mine")
    joined = join(told, RECORD)
    assert joined == replace(told, cached_tokens=240)


def test_cached_tokens_of_another_prompt_are_not_told() -> None:
    assert join(request(input_tokens=300), RECORD).cached_tokens is None


def test_only_the_worker_that_read_the_prompt_gets_its_tokens() -> None:
    assert join(request(Role.WORKER), RECORD).cached_tokens == 240
    assert join(request(Role.WORKER, Phase.PREFILL), RECORD).input_tokens == 254
    other = join(request(Role.WORKER, instance=WORKER - 1), RECORD)
    assert (other.cached_tokens, other.input_tokens, other.session) == (None, None, "run-42")
    assert join(request(Role.WORKER, Phase.DECODE), RECORD).cached_tokens is None


def test_requests_of_other_engines_and_other_ids_are_left_alone() -> None:
    for one in (request(request_id="r-2"), replace(request(), dialect="vllm"), request(request_id=None)):
        store = Records()
        store.put(RECORD, NOW)
        assert store.join(one) is one
        assert counts(store)["joined"] == 0


def test_a_record_that_finds_no_span_in_time_is_counted_and_forgotten() -> None:
    store = Records()
    store.put(RECORD, NOW)
    assert counts(store, NOW + 30 * NS)["unmatched"] == 0
    assert counts(store, NOW + 61 * NS)["unmatched"] == 1
    assert store.join(request()).cached_tokens is None


def test_a_record_is_joined_with_every_span_and_counted_once() -> None:
    store = Records()
    store.put(RECORD, NOW)
    assert store.join(request()).cached_tokens == store.join(request(Role.WORKER)).cached_tokens == 240
    assert counts(store, NOW + 61 * NS) == {"joined": 1, "unmatched": 0, "dropped": 0}


def test_records_are_bounded_and_the_oldest_go_first() -> None:
    store = Records(capacity=2)
    for number in range(5):
        store.put(Record(f"r-{number}"), NOW + number)
    assert counts(store)["dropped"] == 3
    assert store.fill == 1


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b'{"event":{}}',
        b'{"event":{"schema":"other","event_type":"request_end"}}',
        b'{"event":{"schema":"dynamo.request.trace.v1","event_type":"request_end","request":{"request_id":1}}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_line_of_a_trace_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"line|schema"):
        decode(line)


def test_payloads_tools_and_requests_without_an_id_are_of_no_interest() -> None:
    for told in (
        {"event_type": "request_payload", "payload": {"request_id": "r-1"}},
        {"event_type": "tool_end", "tool": {}},
        {"event_type": "request_end", "request": {"request_id": ""}},
        {"event_type": "request_end"},
    ):
        assert decode(json.dumps({"event": {"schema": "dynamo.request.trace.v1", **told}}).encode()) is None


def test_numbers_that_cannot_be_are_not_told() -> None:
    event = {
        "schema": "dynamo.request.trace.v1",
        "event_type": "request_end",
        "request": {"request_id": "r-1", "input_tokens": 10, "cached_tokens": 11, "output_tokens": -1},
    }
    assert decode(json.dumps({"event": event}).encode()) == Record("r-1", input_tokens=10)


@given(st.binary(max_size=200), st.integers(0, 900), st.integers(0, 20))
def test_a_damaged_line_is_read_or_a_value_error(noise: bytes, at: int, cut: int) -> None:
    good = Path(RECORDINGS / "dynamo-disaggregated" / "request_trace.jsonl").read_bytes().splitlines()[0]
    with suppress(ValueError):
        decode(good[:at] + noise + good[at + cut :])
