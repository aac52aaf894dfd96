# SPDX-License-Identifier: Apache-2.0
"""The recorder writes what it is given as OTLP/JSON, bounded, and a failing disk ends the recording alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.catalogue.gpu import ENERGY, GPU_INFO, POWER
from agent.clock import NS, FakeClock
from agent.entities import Gpu, GpuInfo
from agent.errors import ConfigError, RecordingError
from agent.otlp.json_form import request_to_json, to_protobuf
from agent.receivers.otlp import OtlpReceiver, ReceivedTraces, Signal
from agent.recording.files import Files
from agent.recording.points import Row
from agent.recording.recorder import RecordedConsumer, RecordedTimeline, Recorder
from agent.snapshot import Snapshots, Source
from tests.receivers.serving import recordings

GPU = Gpu("GPU-0", "gpu0")
SERIES = (ENERGY.series(GPU), POWER.series(GPU))


class FullDisk(Files):
    """Takes so many lines, and then none."""

    def __init__(self, folder: Path, lines: int) -> None:
        super().__init__(folder)
        self.left = lines

    def append(self, name: str, data: bytes) -> None:
        if not self.left:
            raise RecordingError(f"{self.folder / name}: cannot be written to: No space left on device")
        self.left -= 1
        super().append(name, data)


class Behind:
    """A consumer that annotates, as the pipeline does."""

    def __init__(self) -> None:
        self.taken: list[ReceivedTraces] = []

    def wait(self, _size: int) -> float | None:
        return None

    def traces(self, traces: ReceivedTraces) -> None:
        for placed in traces.placed:
            placed.spans[placed.at] += b"\x4a\x05\x0a\x03abc"
        self.taken.append(traces)

    def messages(self, messages: Any) -> None:
        raise AssertionError(messages)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """Give a new recording."""
    found = Files(tmp_path)
    yield found
    found.close()


def recorder(files: Files, **settings: Any) -> tuple[Recorder, FakeClock]:
    clock = FakeClock()
    return Recorder(files, clock, {"host.name": "node-1"}, **settings), clock


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_become_one_line_of_points_in_unix_time(files: Files, tmp_path: Path) -> None:
    found, clock = recorder(files)
    timeline = RecordedTimeline(60, 0.1, found)
    for tenth in range(3):
        timeline.append(Source("gpu_energy"), SERIES, clock.now + tenth * NS // 10, [30.5 * tenth, None])
    assert len(timeline.window(SERIES[0], 0, 1 << 62)[0]) == 3
    found._write()
    (line,) = lines(tmp_path / "metrics.jsonl")
    json_format.ParseDict(line, ExportMetricsServiceRequest())
    (metric,) = line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert (metric["name"], metric["unit"], metric["sum"]["isMonotonic"]) == ("hw.energy", "J", True)
    assert [point["asDouble"] for point in metric["sum"]["dataPoints"]] == [0, 30.5, 61]
    assert int(metric["sum"]["dataPoints"][1]["timeUnixNano"]) == clock.epoch + clock.now + NS // 10
    assert metric["sum"]["dataPoints"][0]["attributes"][0] == {"key": "hw.id", "value": {"stringValue": "GPU-0"}}
    assert line["resourceMetrics"][0]["resource"]["attributes"][0]["value"] == {"stringValue": "node-1"}


def test_which_gpus_there_are_is_told_now_and_then(files: Files, tmp_path: Path) -> None:
    found, clock = recorder(files)
    snapshots = Snapshots()
    snapshots.put_samples(Source("identity"), [GPU_INFO(GpuInfo(GPU, model="H100"), 1), POWER(GPU, 300)], clock.now)
    found.snapshot = lambda: snapshots.current
    for _ in range(25):
        clock.advance(1)
        found._write()
    told = lines(tmp_path / "metrics.jsonl")
    assert len(told) == 3
    names = {one["name"] for line in told for one in line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    assert names == {"joulespan.gpu.info"}


def test_spans_are_recorded_as_they_came_with_their_ids_in_hex(files: Files, tmp_path: Path) -> None:
    found, _ = recorder(files)
    behind = Behind()
    receiver = OtlpReceiver(RecordedConsumer(behind, found), 1 << 20, _Guard)
    bodies = list(recordings(Signal.TRACES).values())
    for body in bodies:
        receiver.take("otlp_grpc", Signal.TRACES, body, None)
    found._write()
    written = (tmp_path / "traces.jsonl").read_bytes().splitlines()
    assert len(written) == len(bodies) == len(behind.taken)
    for line, body in zip(written, bodies, strict=True):
        again = ExportTraceServiceRequest.FromString(to_protobuf(ExportTraceServiceRequest, line))
        assert again == ExportTraceServiceRequest.FromString(body)
    assert found.spans == sum(len(one.placed) for one in behind.taken)


def test_what_finds_no_room_is_dropped_and_counted(files: Files) -> None:
    found, _ = recorder(files, capacity=1000)
    for time in range(10):
        found.put_row(Row(SERIES, time, [1.0, 2.0]))
    found.put_spans(bytes(2000))
    assert {one.series.metric.name: one.value for one in found.samples()}["joulespan.queue.dropped"] == 8
    found._write()
    assert found.points == 6
    assert found.summary().endswith("; 8 rows and trace requests were dropped")
    found.put_row(Row(SERIES, 11, [1.0, 2.0]))
    found._write()
    assert found.points == 8


def test_a_full_disk_ends_the_recording_with_one_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = FullDisk(tmp_path, 2)
    found, _ = recorder(disk)
    for time in range(5):
        found.put_row(Row(SERIES, time, [1.0, 2.0]))
        found._write()
    (said,) = [one.getMessage() for one in caplog.records]
    assert said == (
        f"{tmp_path}/metrics.jsonl: cannot be written to: No space left on device; the recording ends here, and the "
        "agent goes on"
    )
    disk.close()
    assert (found.points, found.dropped) == (4, 3)
    assert len(lines(tmp_path / "metrics.jsonl")) == 2


def test_a_request_that_cannot_be_written_costs_itself_alone(files: Files, tmp_path: Path) -> None:
    found, _ = recorder(files)
    good = next(iter(recordings(Signal.TRACES).values()))
    for body in (b"\xff", good):
        found.put_spans(body)
    found._write()
    assert found.dropped == 1
    assert (tmp_path / "traces.jsonl").read_bytes() == request_to_json(
        ExportTraceServiceRequest.FromString(good)
    ) + b"\n"


def test_a_folder_that_has_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match="is not empty; name a folder that is empty or does not exist"):
        Files(tmp_path)


def test_a_recording_in_which_nothing_was_written_leaves_its_folder_empty(tmp_path: Path) -> None:
    found, _ = recorder(Files(tmp_path / "a" / "b"))
    found.start()
    found.stop(10)
    assert not list((tmp_path / "a" / "b").iterdir())


class _Guard:
    """A lock that nobody else wants."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
