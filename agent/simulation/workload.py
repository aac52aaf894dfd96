# SPDX-License-Identifier: Apache-2.0
"""Who asks a simulated engine, when, and for what: the same requests for the same seed.

Arrivals are a Gamma process, burstier than Poisson's, whose rate swings slowly; now and then an agent sends a dozen at
once in one trace. Lengths are log-normal. Part of the requests are further turns of a conversation, whose history
the prefix cache mostly still has.
"""

import math
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from agent.simulation.deployment import Traffic

_SHAPE = 0.6
"""Of the Gamma distribution of the gaps: their deviation is 1 / sqrt(shape) of their mean."""
_BURST_SHARE, _BURST_LEAST, _BURST_MOST = 0.015, 4, 12
_BURST_PER_SECOND = 25.0
_PROMPT_SIGMA, _OUTPUT_SIGMA = 0.9, 0.8
_TURN_MEDIAN = 90.0
_LONGEST_PROMPT, _LONGEST_OUTPUT = 8192, 1500
_SESSIONS, _PAUSE = 64, 12.0
"""Conversations that may go on, and the seconds before their next turn at the earliest."""
_FURTHER, _STILL_CACHED, _GREETED = 0.35, 0.85, 0.5
_SEVERAL, _TRACED = 0.04, 0.3
BLOCK = 16
"""Tokens in a block of the KV cache: only whole blocks are found again."""


class _Tenant(NamedTuple):
    name: str
    weight: float
    system_prompt: int
    temperature: float
    top_p: float
    max_tokens: int


_TENANTS = (
    _Tenant("acme", 0.42, 288, 0.7, 0.95, 1024),
    _Tenant("globex", 0.26, 128, 0.2, 1.0, 512),
    _Tenant("initech", 0.17, 64, 0.0, 1.0, 256),
    _Tenant("hooli", 0.1, 448, 1.0, 0.9, 2048),
    _Tenant("umbrella", 0.05, 0, 0.6, 0.95, 1024),
)
_WEIGHTS = tuple(tenant.weight for tenant in _TENANTS)


class ClientRequest(NamedTuple):
    """A request as a client sends it, with what only the simulation knows: how it will be answered.

    `arrival` is in s since the start. `outputs` holds the tokens of each of the n answers. `cached_tokens` of the
    prompt are in the prefix cache. `traceparent` is the header of W3C Trace Context, where the client sent one.
    """

    arrival: float
    request_id: str
    tenant: str
    prompt_tokens: int
    cached_tokens: int
    outputs: tuple[int, ...]
    max_tokens: int
    temperature: float
    top_p: float
    traceparent: str | None


class _Session(NamedTuple):
    tenant: _Tenant
    tokens: int
    since: float


class _Prompt(NamedTuple):
    tenant: _Tenant
    tokens: int
    cached: int


class Workload(Iterator[ClientRequest]):
    """The requests to one engine in the order of their arrival, without an end."""

    def __init__(self, traffic: Traffic, seed: int) -> None:
        """Begin at time 0."""
        self._traffic = traffic
        self._random = Random(seed)  # noqa: S311 - to be the same each time is the point
        self._time = 0.0
        self._left_of_burst = 0
        self._trace: str | None = None
        self._sessions: deque[_Session] = deque(maxlen=_SESSIONS)
        mean_burst = (_BURST_LEAST + _BURST_MOST) / 2
        self._usual = traffic.requests_per_second / (1 + _BURST_SHARE * mean_burst)

    def __next__(self) -> ClientRequest:
        """Give the next one."""
        self._time += self._gap()
        prompt = self._prompt()
        outputs = self._outputs(prompt.tenant)
        self._sessions.append(_Session(prompt.tenant, prompt.tokens + outputs[0], self._time))
        return ClientRequest(
            arrival=self._time,
            request_id=f"chatcmpl-{self._random.getrandbits(64):016x}",
            tenant=prompt.tenant.name,
            prompt_tokens=prompt.tokens,
            cached_tokens=prompt.cached,
            outputs=outputs,
            max_tokens=prompt.tenant.max_tokens,
            temperature=prompt.tenant.temperature,
            top_p=prompt.tenant.top_p,
            traceparent=self._traceparent(),
        )

    def _gap(self) -> float:
        if self._left_of_burst:
            self._left_of_burst -= 1
            return self._random.expovariate(_BURST_PER_SECOND)
        self._trace = None
        if self._random.random() < _BURST_SHARE:
            self._left_of_burst = self._random.randint(_BURST_LEAST, _BURST_MOST)
            self._trace = self._new_trace()
        wave = math.sin(2 * math.pi * self._time / self._traffic.period)
        rate = self._usual * (1 + self._traffic.swing * wave) * self._traffic.surge.at(self._time)
        return self._random.gammavariate(_SHAPE, 1 / (_SHAPE * rate))

    def _prompt(self) -> _Prompt:
        session = self._resumed() if self._random.random() < _FURTHER else None
        if session is not None:
            tokens = min(session.tokens + self._length(_TURN_MEDIAN, _LONGEST_PROMPT), _LONGEST_PROMPT)
            found = self._random.random() < _STILL_CACHED
            return _Prompt(session.tenant, tokens, _blocks(session.tokens, tokens) if found else 0)
        (tenant,) = self._random.choices(_TENANTS, _WEIGHTS)
        own = self._length(self._traffic.prompt_median, _LONGEST_PROMPT - tenant.system_prompt)
        tokens = tenant.system_prompt + own
        found = self._random.random() < _GREETED
        return _Prompt(tenant, tokens, _blocks(tenant.system_prompt, tokens) if found else 0)

    def _resumed(self) -> _Session | None:
        """Take up a conversation whose last answer has been read."""
        waiting = [
            session
            for session in self._sessions
            if session.since + _PAUSE < self._time and session.tokens < _LONGEST_PROMPT
        ]
        if not waiting:
            return None
        session = self._random.choice(waiting)
        self._sessions.remove(session)
        return session

    def _outputs(self, tenant: _Tenant) -> tuple[int, ...]:
        most = min(tenant.max_tokens, _LONGEST_OUTPUT)
        count = 2 if self._random.random() < _SEVERAL else 1
        return tuple(self._length(self._traffic.output_median, most, _OUTPUT_SIGMA) for _ in range(count))

    def _length(self, median: float, most: int, sigma: float = _PROMPT_SIGMA) -> int:
        return max(1, min(most, round(self._random.lognormvariate(math.log(median), sigma))))

    def _traceparent(self) -> str | None:
        if self._trace is None and self._random.random() >= _TRACED:
            return None
        return f"00-{self._trace or self._new_trace()}-{self._random.getrandbits(64) | 1:016x}-01"

    def _new_trace(self) -> str:
        return f"{self._random.getrandbits(128) | 1:032x}"


def _blocks(common: int, prompt: int) -> int:
    """Tokens found in the prefix cache: whole blocks of what is in common, and never the last token."""
    return min(common, prompt - 1) // BLOCK * BLOCK
