# SPDX-License-Identifier: Apache-2.0
"""What a back end made of an OTLP request, in the same words for gRPC and HTTP."""

from enum import Enum
from typing import NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from exporters.otlp_settings import Signal

_MOST_WORDS = 400
"""Characters of an answer, or of the reason that there is none, that are worth a place in a log line."""


class Verdict(Enum):
    """What is to be done with a request that was sent."""

    TAKEN = "taken"
    AWAY = "away"
    """Not now: send the same again."""
    REFUSED = "refused"
    """Never: something in it is wrong, or it is too large."""
    BARRED = "barred"
    """Never, and nothing else from us either: the address, the rights or the service are wrong."""


class Outcome(NamedTuple):
    """What became of a request. `pause` are the seconds for which the server asked, None when it did not.

    `rejected` counts the spans, points or records that a server which took the rest threw away.
    """

    verdict: Verdict
    cause: str = ""
    pause: float | None = None
    rejected: int = 0


def accepted(signal: Signal, answer: bytes) -> Outcome:
    """Read the answer of a server that took a request. One that cannot be read says nothing more than that."""
    try:
        rejected, words = _partial_success(signal, answer)
    except DecodeError:
        return Outcome(Verdict.TAKEN)
    return Outcome(Verdict.TAKEN, line(words), rejected=max(0, rejected))


def line(text: str) -> str:
    """Put the words of a server on one line that is not too long."""
    return " ".join(text.split())[:_MOST_WORDS]


def _partial_success(signal: Signal, answer: bytes) -> tuple[int, str]:
    if signal == "traces":
        spans = ExportTraceServiceResponse.FromString(answer).partial_success
        return spans.rejected_spans, spans.error_message
    if signal == "metrics":
        points = ExportMetricsServiceResponse.FromString(answer).partial_success
        return points.rejected_data_points, points.error_message
    records = ExportLogsServiceResponse.FromString(answer).partial_success
    return records.rejected_log_records, records.error_message
