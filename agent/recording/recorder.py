# SPDX-License-Identifier: Apache-2.0
"""Writes what the agent sees into a recording, in a thread of its own.

Whoever gives it something only puts it into a queue, which is bounded in bytes; what finds no room is dropped and
counted. Once a second the thread writes what is there. When it cannot, it says so once and the recording ends there;
the agent goes on.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.catalogue import own, requests
from agent.catalogue.gpu import GPU_INFO
from agent.clock import NS, Clock
from agent.entities import Queue
from agent.errors import RecordingError
from agent.metric import Sample, Series
from agent.otlp.envelope import count, join
from agent.otlp.json_form import request_to_json
from agent.receivers.otlp import Consumer, Messages, ReceivedTraces
from agent.recording import METRICS, TRACES
from agent.recording.files import Files
from agent.recording.points import Points, Row
from agent.snapshot import Snapshot, Source
from agent.timeline import Timeline

LOG = logging.getLogger("joulespan.recording")
_EVERY = 1.0
_INFO_EVERY = 10 * NS
_CAPACITY = 64 << 20
_ROW, _VALUE = 200, 32
"""Bytes that a row and each of its values take in memory, about."""
_UNCUT = 1 << 62
_INFO = frozenset({GPU_INFO, requests.ENGINE_GPU, own.BUILD_INFO})
"""What says which GPUs there are, which engine runs where, and whether it is a demo."""


class Recorder:
    """A recording under way. put_row() and put_spans() can be called from any thread, and never block."""

    def __init__(self, files: Files, clock: Clock, resource: Mapping[str, str], capacity: int = _CAPACITY) -> None:
        """Write into these files. `resource` says whose metrics they are; `capacity` is of what waits, in bytes."""
        self.points = self.spans = self.dropped = 0
        """Written to the files; and what was not: rows and trace requests that found no room or no disk."""
        self.failure: str | None = None
        """Why the recording ended early."""
        self.snapshot: Callable[[], Snapshot] | None = None
        """Gives the snapshot of now, for what does not go into the timeline."""
        self._files = files
        self._clock = clock
        self._encode = Points(resource)
        self._capacity = capacity
        self._guard = threading.Lock()
        self._rows: list[Row] = []
        self._bodies: deque[bytes] = deque()
        self._weight = 0
        self._told = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Write what waits, within the grace, and close the files."""
        self._stopping.set()
        self._thread.join(grace_seconds)
        if not self._thread.is_alive():
            self._write(last=True)
            self._files.close()

    def put_row(self, row: Row) -> None:
        """Take a row of the timeline."""
        weight = _ROW + _VALUE * len(row.values)
        with self._guard:
            if self._room(weight):
                self._rows.append(row)

    def put_spans(self, body: bytes) -> None:
        """Take an encoded ExportTraceServiceRequest."""
        with self._guard:
            if self._room(len(body)):
                self._bodies.append(body)

    def samples(self) -> Iterator[Sample]:
        """Say how full the queue is and what was dropped."""
        yield own.QUEUE_FILL(Queue("recording"), self._weight / self._capacity)
        yield own.QUEUE_DROPPED(Queue("recording"), self.dropped)

    def summary(self) -> str:
        """Say in one line what was written."""
        size = sum(self._files.written.values()) / (1 << 20)
        lost = f"; {self.dropped} rows and trace requests were dropped" if self.dropped else ""
        return f"{self._files.folder}: {self.points} points and {self.spans} spans, {size:.1f} MiB{lost}"

    def _room(self, weight: int) -> bool:
        """Make room in the queue, or count what finds none."""
        if self.failure or self._weight + weight > self._capacity:
            self.dropped += 1
            return False
        self._weight += weight
        return True

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY):
            self._write()

    def _write(self, *, last: bool = False) -> None:
        with self._guard:
            rows, bodies = self._rows, self._bodies
            self._rows, self._bodies, self._weight = [], deque(), 0
        now = self._clock.monotonic_ns()
        if last or now - self._told >= _INFO_EVERY:
            self._told = now
            rows += self._info(now)
        if self.failure is None and (rows or bodies):
            try:
                self._append(rows, bodies, self._clock.unix_ns(now) - now)
            except RecordingError as error:
                self._fail(str(error), len(rows) + len(bodies))

    def _append(self, rows: list[Row], bodies: deque[bytes], offset: int) -> None:
        line, points = self._encode.line(rows, offset)
        if points:
            self._files.append(METRICS, line + b"\n")
            self.points += points
        rows.clear()
        while bodies:
            line, spans = _spans(bodies[0])
            self._files.append(TRACES, line)
            self.spans += spans
            self.dropped += not spans
            bodies.popleft()

    def _fail(self, why: str, lost: int) -> None:
        with self._guard:
            self.failure = why
            self.dropped += lost
        LOG.error("%s; the recording ends here, and the agent goes on", why)

    def _info(self, now: int) -> list[Row]:
        if self.snapshot is None:
            return []
        told = [(series, value) for series, value in self.snapshot().samples() if series.metric in _INFO]
        return [Row(tuple(series for series, _ in told), now, [value for _, value in told])] if told else []


class RecordedTimeline(Timeline):
    """A timeline whose rows are recorded too."""

    def __init__(
        self, retention: float, step: float, recorder: Recorder, guard: AbstractContextManager[object] | None = None
    ) -> None:
        """See Timeline."""
        super().__init__(retention, step, guard=guard)
        self._recorder = recorder

    def append(self, source: Source, series: tuple[Series, ...], time: int, values: Sequence[float | None]) -> None:
        """See Timeline."""
        super().append(source, series, time, values)
        self._recorder.put_row(Row(series, time, values))


class RecordedConsumer:
    """Records the spans that come in, as they came, and gives them on."""

    def __init__(self, consumer: Consumer, recorder: Recorder) -> None:
        """Give them on to `consumer`."""
        self._consumer = consumer
        self._recorder = recorder

    def wait(self, size: int) -> float | None:
        """See Consumer."""
        return self._consumer.wait(size)

    def traces(self, traces: ReceivedTraces) -> None:
        """See Consumer."""
        if count(traces.envelope):
            # Before they go on: then they are annotated.
            for body, _ in join(traces.envelope, _UNCUT):
                self._recorder.put_spans(body)
        self._consumer.traces(traces)

    def messages(self, messages: Messages) -> None:
        """See Consumer."""
        self._consumer.messages(messages)


def _spans(body: bytes) -> tuple[bytes, int]:
    """Write a request as a line, and count its spans; nothing where it cannot be written."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
        line = request_to_json(request) + b"\n"
    except Exception as error:  # A request that cannot be written costs itself alone.
        LOG.debug("a request that is no JSON", exc_info=error)
        return b"", 0
    return line, sum(len(scope.spans) for one in request.resource_spans for scope in one.scope_spans)
