# SPDX-License-Identifier: Apache-2.0
"""What the serving engines say of themselves, in one language. Not exported by this release: the names are reserved."""

from agent.entities import Engine, EngineModel, EngineTokens, RequestCause, RequestClass
from agent.metric import Counter, Gauge, Histogram
from agent.unit import Unit

_LATENCY = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Seconds; the boundaries that OpenTelemetry advises for gen_ai.server.request.duration."""
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; the boundaries that OpenTelemetry advises for gen_ai.server.time_to_first_token."""
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""Seconds; the boundaries that OpenTelemetry advises for gen_ai.server.time_per_output_token."""

REQUESTS_RUNNING = Gauge(
    "joulespan.engine.requests.running", Unit.REQUESTS, EngineModel, "Requests in the engine's batch."
)
REQUESTS_WAITING = Gauge(
    "joulespan.engine.requests.waiting", Unit.REQUESTS, EngineModel, "Requests in the engine's queue."
)
KV_CACHE_UTILIZATION = Gauge(
    "joulespan.engine.kv_cache.utilization", Unit.RATIO, EngineModel, "Share of the KV cache in use."
)
TOKENS = Counter("joulespan.engine.tokens", Unit.TOKENS, EngineTokens, "Tokens, by what was done for them.")
ITERATIONS = Counter("joulespan.engine.iterations", Unit.ITERATIONS, Engine, "Forward passes.")
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
REQUEST_SLOW = Counter("joulespan.request.slow", Unit.REQUESTS, RequestCause, "Slow requests, by what made them slow.")
