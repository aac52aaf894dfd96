# SPDX-License-Identifier: Apache-2.0
"""XIDs are counted once though two witnesses report them."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS
from agent.reader import xids
from agent.reader.xids import WINDOW, XidCount, Xids

TIMES = st.lists(st.integers(0, 3600), max_size=30).map(sorted)


@given(TIMES)
def test_a_witness_alone_counts_every_report(times: list[int]) -> None:
    counts = Xids()
    for time in times:
        assert counts.report("nvml", "GPU-1", 79, time * NS)
    assert counts.counts == ({("GPU-1", 79): XidCount(len(times), times[-1] * NS)} if times else {})


@given(TIMES, st.lists(st.integers(0, WINDOW // 2), min_size=30, max_size=30))
def test_two_complete_witnesses_count_every_event_once(times: list[int], delays: list[int]) -> None:
    """The second is late by up to half a window, and reports in the order of the events, as a log does."""
    counts = Xids()
    late = [time * NS + delay for time, delay in zip(times, delays, strict=False)]
    late = [max(late[: place + 1]) for place in range(len(late))]
    reports = [(time * NS, "kernel") for time in times] + [(time, "nvml") for time in late]
    for time, witness in sorted(reports):
        counts.report(witness, "GPU-1", 79, time)
    assert sum(count.events for count in counts.counts.values()) == len(times)


@st.composite
def told_by_two(draw: st.DrawFn) -> tuple[int, list[tuple[str, int]]]:
    """Count some events, and give the reports of two witnesses who saw them all, in whatever order they come in.

    Each stamps the events in their order, less than a window from the other, who may be earlier or later.
    """
    events = [time * NS for time in draw(TIMES)]
    delays = st.lists(st.integers(0, WINDOW - 1), min_size=len(events), max_size=len(events))
    stamps = {
        witness: list(accumulate(map(sum, zip(events, draw(delays), strict=True)), max))
        for witness in ("nvml", "kernel")
    }
    turns = draw(st.permutations([witness for witness in stamps for _ in events]))
    queues = {witness: iter(times) for witness, times in stamps.items()}
    return len(events), [(witness, next(queues[witness])) for witness in turns]


@given(told_by_two())
def test_two_complete_witnesses_agree_in_whatever_order_their_reports_are_read(
    told: tuple[int, list[tuple[str, int]]],
) -> None:
    events, reports = told
    counts = Xids()
    new = sum(counts.report(witness, "GPU-1", 79, time) for witness, time in reports)
    assert new == events
    assert sum(count.events for count in counts.counts.values()) == events


def test_other_gpus_and_other_codes_are_other_events() -> None:
    counts = Xids()
    for witness, gpu, code in (("nvml", "GPU-1", 79), ("kernel", "GPU-2", 79), ("kernel", "GPU-1", 31)):
        assert counts.report(witness, gpu, code, NS)
    assert not counts.report("kernel", "GPU-1", 79, 2 * NS)


def test_reports_far_apart_are_two_events() -> None:
    counts = Xids()
    assert counts.report("nvml", "GPU-1", 79, 0)
    assert counts.report("kernel", "GPU-1", 79, WINDOW + 1)


def test_the_table_of_codes_is_bounded_and_what_finds_no_room_is_counted() -> None:
    counts = Xids()
    for code in range(xids._MAX_CODES + 5):
        counts.report("nvml", "GPU-1", code, code)
    assert len(counts.counts) == xids._MAX_CODES
    assert counts.dropped == 5
    assert counts.report("nvml", "GPU-1", 0, NS), "a code that has a place goes on counting"


def test_the_last_time_is_the_latest_stamp_of_a_counted_event() -> None:
    counts = Xids()
    for witness, time in (("nvml", 500 * NS), ("kernel", 501 * NS), ("nvml", 400 * NS)):
        counts.report(witness, "GPU-1", 79, time)
    assert counts.counts == {("GPU-1", 79): XidCount(2, 500 * NS)}
