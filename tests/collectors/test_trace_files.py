# SPDX-License-Identifier: Apache-2.0
"""Trace files of engines, from the bytes on the disk to metrics, the timeline and the requests."""

import gzip
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from agent.catalogue.engine import ITERATIONS
from agent.clock import NS, FakeClock
from agent.collectors.forward_pass import ForwardPassFiles
from agent.collectors.request_trace import RequestTraceFiles
from agent.collectors.trace_files import Feed, Follower
from agent.entities import Engine
from agent.errors import Unavailable
from agent.metric import Sample
from agent.snapshot import Source
from agent.system.tail import Read, Tails
from agent.timeline import Timeline
from tests.dialects.test_dynamo import RECORDINGS, replay
from tests.dialects.test_forward_pass import line

GOLDEN = Path(__file__).parents[1] / "golden"
STEP = NS // 10
BEGAN = 1_795_418_400
"""Unix time, s, at which the recordings begin."""


def told(samples: list[Sample]) -> dict[str, float]:
    return {
        " ".join((one.series.metric.name, *(str(field) for field in one.series.entity))): one.value for one in samples
    }


def test_a_recorded_trace_followed_as_it_is_written_gives_counters_and_a_history(tmp_path: Path) -> None:
    clock = FakeClock(epoch_ns=(BEGAN - 1_000) * NS)
    timeline = Timeline(900, 0.1)
    files = ForwardPassFiles({"dynamo": Tails([f"{tmp_path}/fpm.*.jsonl.gz"])}, timeline, clock, STEP)
    files.follower.poll()
    traces = {path.stem: path.read_bytes().splitlines() for path in RECORDINGS.glob("dynamo-aggregated/forward_pass_*")}
    for second in range(25):
        clock.advance(1)
        for name, lines in traces.items():
            upto = [one for one in lines if int(one.split(b'"observed_at_unix_ms":')[1][:10]) == BEGAN + second]
            with (tmp_path / f"fpm.{name}.000000.jsonl.gz").open("ab") as file:
                file.write(gzip.compress(b"".join(one + b"\n" for one in upto)))
        files.follower.poll()
        found = told(list(files.read()))
    recorded = sum(b'"wall_time":0.0,' not in one for lines in traces.values() for one in lines)
    assert found["joulespan.engine.iterations dynamo None"] == recorded == 778
    assert found["joulespan.file.lines forward_pass"] == sum(map(len, traces.values()))
    assert found["joulespan.file.lost forward_pass unreadable"] == 0
    times, values = timeline.window(ITERATIONS.series(Engine("dynamo")), 0, clock.now)
    assert values[-1] == pytest.approx(778)
    assert {later - time for time, later in pairwise(times)} == {STEP}
    first = next(time for time, value in zip(times, values, strict=True) if value > 0)
    assert 1_001 * NS < first < 1_005 * NS


@pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])
def test_what_a_recording_gives_is_as_written_down(mode: str, tmp_path: Path) -> None:
    traces = {path.name: path.read_bytes() for path in RECORDINGS.glob(f"dynamo-{mode}/forward_pass_*")}
    clock = FakeClock(epoch_ns=(BEGAN - 1_000) * NS)
    files = ForwardPassFiles({"dynamo": Tails([f"{tmp_path}/*.jsonl"])}, Timeline(900, 0.1), clock, STEP)
    files.follower.poll()
    for name, content in traces.items():
        (tmp_path / name).write_bytes(content)
    clock.advance(30)
    files.follower.poll()
    found = "".join(f"{name} {value:g}\n" for name, value in sorted(told(list(files.read())).items()))
    golden = GOLDEN / f"forward-pass-{mode}.txt"
    if not golden.exists():
        golden.write_text(found)
    assert found == golden.read_text()


def test_iterations_are_left_to_whoever_counts_them_too(tmp_path: Path) -> None:
    clock = FakeClock(epoch_ns=(1_782_777_600 - 1_000) * NS)
    tails = {name: Tails([f"{tmp_path}/{name}.jsonl"]) for name in ("a", "b")}
    files = ForwardPassFiles(tails, Timeline(900, 0.1), clock, STEP, elsewhere=lambda name: name == "a")
    files.follower.poll()
    for name in tails:
        (tmp_path / f"{name}.jsonl").write_bytes(line(capture_mode="full") + b"\n")
    files.follower.poll()
    found = told(list(files.read()))
    assert found["joulespan.engine.iterations b None"] == 1
    assert "joulespan.engine.iterations a None" not in found


def test_iterations_that_the_engine_itself_counts_are_its_own_for_good(tmp_path: Path) -> None:
    clock, timeline, page = FakeClock(epoch_ns=(1_782_777_600 - 1_000) * NS), Timeline(900, 0.1), [False]
    series = ITERATIONS.series(Engine("a"))
    tails = {"a": Tails([f"{tmp_path}/a.jsonl"])}
    files = ForwardPassFiles(tails, timeline, clock, STEP, elsewhere=lambda _: page[0])
    files.follower.poll()
    (tmp_path / "a.jsonl").write_bytes(line(capture_mode="full") + b"\n")
    files.follower.poll()
    assert "joulespan.engine.iterations a None" in told(list(files.read()))
    for page[0] in (True, False, True):
        clock.advance(4)
        files.follower.poll()
        if page[0]:
            timeline.append(Source("engines", "a"), (series,), clock.now, (1000.0,))
        assert "joulespan.engine.iterations a None" not in told(list(files.read()))
    _, values = timeline.window(series, 0, clock.now)
    assert list(values) == [1000.0, 1000.0]


def test_lines_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    files = ForwardPassFiles({"a": Tails([f"{tmp_path}/a.jsonl"])}, Timeline(900, 0.1), FakeClock(), STEP)
    files.follower.poll()
    (tmp_path / "a.jsonl").write_bytes(b"nonsense\n" + line() + b"\n{}\n")
    files.follower.poll()
    assert told(list(files.read()))["joulespan.file.lost forward_pass unreadable"] == 2


def test_a_recorded_request_trace_is_there_for_its_spans(tmp_path: Path) -> None:
    files = RequestTraceFiles(Tails([f"{tmp_path}/*.jsonl"]), FakeClock())
    files.follower.poll()
    (tmp_path / "trace.jsonl").write_bytes((RECORDINGS / "dynamo-aggregated" / "request_trace.jsonl").read_bytes())
    files.follower.poll()
    joined = [files.records.join(one) for one in replay("aggregated").requests]
    assert sum(one.cached_tokens is not None for one in joined) == 94
    found = told(list(files.read()))
    assert found["joulespan.request.trace.records joined"] == 47
    assert found["joulespan.file.lost request_trace unreadable"] == 0


class Broken(Tails):
    def read(self) -> Iterator[Read]:
        raise PermissionError("not for you")


def test_what_fails_is_told() -> None:
    follower = Follower("forward_pass", [Feed(Broken([]), lambda _lines, _now: 0)], FakeClock())
    follower.poll()
    with pytest.raises(Unavailable, match="not for you"):
        list(follower.samples())


def test_a_reading_that_hangs_is_told_after_ten_seconds() -> None:
    clock, hanging, entered = FakeClock(), threading.Event(), threading.Event()

    class Hanging(Tails):
        def read(self) -> Iterator[Read]:
            entered.set()
            hanging.wait()
            return iter(())

    follower = Follower("forward_pass", [Feed(Hanging([]), lambda _lines, _now: 0)], clock)
    follower.start()
    assert entered.wait(30)
    assert list(follower.samples()) == []
    clock.advance(11)
    with pytest.raises(Unavailable, match="longer than 10 s"):
        list(follower.samples())
    follower.stop(0)
    hanging.set()
    follower.stop(30)


def test_the_thread_reads_and_ends(tmp_path: Path) -> None:
    got = threading.Event()

    def take(lines: object, now: int) -> int:
        got.set()
        return 0

    tails = Tails([f"{tmp_path}/*.jsonl"])
    list(tails.read())
    (tmp_path / "a.jsonl").write_bytes(b"line\n")
    follower = Follower("forward_pass", [Feed(tails, take)], FakeClock())
    follower.start()
    assert got.wait(30)
    follower.stop(30)
    assert tails.followed == 0
