# SPDX-License-Identifier: Apache-2.0
"""Whatever is sent, a receiver takes it or refuses it, and what it takes is what was sent."""

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.clock import NS, FakeClock
from agent.dialects.reading import Reader
from agent.otlp.envelope import Envelope, join, split
from agent.otlp.json_form import to_protobuf
from agent.otlp.protobuf import Malformed
from agent.receivers.compression import decompress
from agent.receivers.kept import KeptMetrics
from agent.receivers.otlp import Messages, OtlpReceiver, ReceivedTraces, Refused, Signal
from agent.requests import Request
from agent.spans import Peer
from tests.fuzz.mutate import Mutator

MOST = 4 << 20
KINDS: Mapping[Signal, type[Message]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
_RECORDINGS = Path(__file__).parents[1] / "fixtures" / "telemetry"
_PEER = Peer("127.0.0.1", 40000, 4317)


def corpus() -> dict[Signal, list[bytes]]:
    """Give the requests to begin with: what real engines sent, and logs, which they did not."""
    found: dict[Signal, list[bytes]] = {signal: [] for signal in Signal}
    for path in sorted(_RECORDINGS.glob("*/*.pb")):
        signal = Signal.METRICS if path.name.startswith("otlpmetrics") else Signal.TRACES
        found[signal].append(path.read_bytes())
    logs = ExportLogsServiceRequest()
    one = logs.resource_logs.add(schema_url="https://opentelemetry.io/schemas/1.38.0")
    one.resource.attributes.add(key="service.name").value.string_value = "engine"
    record = one.scope_logs.add().log_records.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, time_unix_nano=1 << 60)
    record.body.kvlist_value.values.add(key="a").value.array_value.values.add(int_value=-1)
    found[Signal.LOGS].append(logs.SerializeToString())
    return found


class Readers:
    """A consumer that does what the pipeline does first, and holds a request to its promises."""

    def __init__(self) -> None:
        self.body = b""
        self.spans = 0
        self._reader = Reader(("tenant", "user.id"))
        self._clock = FakeClock()
        self._kept = KeptMetrics(threading.Lock(), 100, 1 << 20)

    def wait(self, size: int) -> float | None:
        """Always have room."""
        assert size <= MOST
        return None

    def traces(self, traces: ReceivedTraces) -> None:
        """Check the spans and read them."""
        try:
            self._check(traces)
        # The receiver would take these for its sender's.
        except (Malformed, DecodeError) as error:
            raise AssertionError("what was accepted is no message to others") from error

    def _check(self, traces: ReceivedTraces) -> None:
        spans = [placed.span for placed in traces.placed]
        raw = [placed.spans[placed.at] for placed in traces.placed]
        assert all(one in self.body for one in raw), "a span that was not sent"
        assert raw == _spans(traces.envelope), "a span that was not accepted is sent on"
        for most in (1 << 30, 1000):
            parts = [body for body, _ in join(traces.envelope, most)]
            assert [span for body in parts for span in _spans(split(body))] == raw, "joined, they are others"
            for body in parts:
                ExportTraceServiceRequest.FromString(body)
        for span in spans:
            reading = self._reader.read(span)
            if isinstance(reading, Request) and self._reader.joins(reading):
                self._reader.complete(reading, spans[:20])
        self.spans += len(spans)

    def messages(self, messages: Messages) -> None:
        """Keep metrics."""
        assert messages.body == self.body
        if messages.signal is Signal.METRICS:
            self._clock.advance(1)
            self._kept.put(messages.decoded, self._clock.monotonic_ns())
            assert sum(1 for _ in self._kept.metrics(self._clock.monotonic_ns() + NS)) <= 100


def _spans(envelope: Envelope) -> list[bytes]:
    return [span for resource in envelope.resources for scope in resource.scopes for span in scope.spans]


class Taking:
    """Sends bodies straight to the receiver, as each way in would."""

    def __init__(self, random: Random, bodies: Mapping[Signal, Sequence[bytes]]) -> None:
        """Begin with these requests."""
        self._random = random
        self._mutator = Mutator(random, bodies)
        self._texts = {signal: [_text(KINDS[signal], body) for body in some[:20]] for signal, some in bodies.items()}
        self.consumer = Readers()
        self.receiver = OtlpReceiver(self.consumer, MOST, threading.Lock)
        self.taken = self.refused = 0

    def case(self) -> dict[str, Any]:
        """Make a case: what is sent, and how."""
        way = self._random.random()
        if way < 0.15:
            signal = self._random.choice(list(Signal))
            text = self._mutator.text(self._random.choice(self._texts[signal]))
            body, encoding = text.encode("utf-8", "surrogatepass"), "identity"
            return {"signal": signal.name, "form": "json", "encoding": encoding, "body": body.hex()}
        signal, body = self._mutator.body()
        encoding = "identity"
        if way < 0.3:
            encoding, body = self._mutator.packed(body)
        return {"signal": signal.name, "form": "protobuf", "encoding": encoding, "body": body.hex()}

    def settle(self) -> None:
        """Keep nothing between rounds."""

    def run(self, case: Mapping[str, Any]) -> None:
        """Send it. Everything but a refusal is an error."""
        signal = Signal[case["signal"]]
        try:
            body = decompress(bytes.fromhex(case["body"]), case["encoding"], MOST)
            if case["form"] == "json":
                body = to_protobuf(KINDS[signal], body)
            self.consumer.body = body
            self.receiver.take("otlp_http", signal, body, _PEER)
        except (Refused, Malformed):
            self.refused += 1
        else:
            self.taken += 1


def _text(kind: type[Message], body: bytes) -> str:
    """Write a request as JSON. Its ids are base64, which the mutations begin with as well as with any."""
    tree = json_format.MessageToDict(kind.FromString(body), use_integers_for_enums=True)
    return json.dumps(tree).replace("==", "")[:20_000]
