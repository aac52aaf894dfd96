# SPDX-License-Identifier: Apache-2.0
"""What the serving engines say of themselves, in one language: reserved names, of which none is exported yet."""

from agent.entities import Engine, EngineModel, EngineTokens, RequestCause
from agent.metric import Counter, Gauge
from agent.unit import Unit

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
REQUEST_SLOW = Counter("joulespan.request.slow", Unit.REQUESTS, RequestCause, "Slow requests, by what made them slow.")
