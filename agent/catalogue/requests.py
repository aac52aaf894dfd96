# SPDX-License-Identifier: Apache-2.0
"""What requests took, from the spans of the engines: each counts once, by the span that tells it whole."""

from agent.metric import Counter, Histogram, Info
from agent.request_entities import (
    EngineGpu,
    RequestClass,
    RequestEngine,
    RequestFinish,
    RequestGap,
    RequestName,
    RequestTokens,
)
from agent.unit import Unit

_LATENCY = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Seconds; the boundaries that OpenTelemetry advises for gen_ai.server.request.duration."""
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; the boundaries that OpenTelemetry advises for gen_ai.server.time_to_first_token."""
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""Seconds; the boundaries that OpenTelemetry advises for gen_ai.server.time_per_output_token."""
_QUEUE = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds; a queue is empty, or takes as long as requests do."""

REQUEST_DURATION = Histogram(
    "gen_ai.server.request.duration", Unit.SECONDS, RequestClass, "Time from arrival to the last token.", _LATENCY
)
TIME_TO_FIRST_TOKEN = Histogram(
    "gen_ai.server.time_to_first_token",
    Unit.SECONDS,
    RequestClass,
    "Time from arrival to the first token.",
    _FIRST_TOKEN,
)
TIME_PER_OUTPUT_TOKEN = Histogram(
    "gen_ai.server.time_per_output_token",
    Unit.SECONDS,
    RequestClass,
    "Time for each token after the first.",
    _PER_TOKEN,
)
QUEUE_DURATION = Histogram(
    "joulespan.request.queue.duration",
    Unit.SECONDS,
    RequestClass,
    "Time that requests waited before the engine began with them.",
    _QUEUE,
)
PREFILL_DURATION = Histogram(
    "joulespan.request.prefill.duration",
    Unit.SECONDS,
    RequestClass,
    "Time that requests spent in prefill.",
    _FIRST_TOKEN,
)
DECODE_DURATION = Histogram(
    "joulespan.request.decode.duration", Unit.SECONDS, RequestClass, "Time that requests spent in decode.", _LATENCY
)
REQUEST_TOKENS = Counter(
    "joulespan.request.tokens",
    Unit.TOKENS,
    RequestTokens,
    "Tokens of finished requests. Input and cached add up to the prompt; reasoning is part of output, not beside it.",
)
REQUEST_FINISHED = Counter(
    "joulespan.request.finished",
    Unit.REQUESTS,
    RequestFinish,
    "Finished requests, by why they ended; without the attribute where the engine does not say.",
)
REQUEST_UNMAPPED = Counter(
    "joulespan.request.unmapped", Unit.REQUESTS, RequestGap, "Finished requests whose GPUs are not known."
)
REQUEST_REPEATED = Counter(
    "joulespan.request.repeated", Unit.SPANS, RequestEngine, "Spans of requests that were sent again; each counts once."
)
NAMES_DROPPED = Counter(
    "joulespan.request.names.dropped",
    Unit.REQUESTS,
    RequestName,
    "Requests counted under the name `other`, because there are more names than have room.",
)
ENGINE_GPU = Info("joulespan.engine.gpu.info", EngineGpu, "The GPUs and MIG instances of an engine.")
