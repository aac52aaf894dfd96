# SPDX-License-Identifier: Apache-2.0
"""What Groq says of an organization's requests to its service: rates over five minutes, computed there."""

from agent.metric import Gauge
from agent.source_entities import GroqCache, GroqLatency, GroqRequests, GroqTokens
from agent.unit import Unit

REQUESTS = Gauge("joulespan.groq.requests", Unit.REQUESTS_PER_SECOND, GroqRequests, "Requests, by HTTP status.")
TOKENS = Gauge("joulespan.groq.tokens", Unit.TOKENS_PER_SECOND, GroqTokens, "Tokens of requests.")
PROMPT_CACHE = Gauge(
    "joulespan.groq.prompt_cache", Unit.REQUESTS_PER_SECOND, GroqCache, "Prompts, by whether the cache had them."
)
LATENCY = Gauge("joulespan.groq.latency", Unit.SECONDS, GroqLatency, "Latency of requests, as quantiles.")
