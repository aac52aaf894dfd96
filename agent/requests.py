# SPDX-License-Identifier: Apache-2.0
"""Requests: what one span says about one request, whatever engine sent it."""

from enum import Enum
from typing import NamedTuple

import msgspec

from agent.spans import Span


class Role(Enum):
    """Whose view of a request a span gives."""

    SERVER = "server"
    """The engine's, or that of the front end of a deployment: the whole request. Counted in the request metrics."""
    WORKER = "worker"
    """That of one worker of a deployment: its part of a request that a SERVER span tells as a whole."""
    CLIENT = "client"
    """That of who asked."""


class Phase(Enum):
    """Which part of the work was done here. A SERVER of which it is DECODE has its prefill elsewhere."""

    WHOLE = "whole"
    PREFILL = "prefill"
    DECODE = "decode"


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request. Times are unix ns by the sender's clock, durations seconds; what the span does not say is None.

    `arrival` ≤ `prefill_start` (it left the queue) ≤ `first_token` ≤ `end`, where they are known. `input_tokens`
    are all of the prompt, `cached_tokens` those of them that were not computed; `reasoning_tokens` are part of
    `output_tokens`. `finish` is the engine's word: stop, length, abort, … `pids` are process or thread ids that the
    spans name, in the pid namespace of their sender; `gpus` are ids of GPUs that they name.
    """

    span: Span
    dialect: str
    role: Role = Role.SERVER
    phase: Phase = Phase.WHOLE
    request_id: str | None = None
    model: str | None = None
    arrival: int
    prefill_start: int | None = None
    first_token: int | None = None
    end: int
    queue: float | None = None
    prefill: float | None = None
    decode: float | None = None
    time_to_first_token: float | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    finish: str | None = None
    error: str | None = None
    session: str | None = None
    agent: str | None = None
    tenant: str | None = None
    pids: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Seconds from arrival to the end."""
        return max(0, self.end - self.arrival) / 1e9

    @property
    def time_per_output_token(self) -> float | None:
        """Seconds per token after the first: (end - first token) / (tokens - 1); None where it cannot be told."""
        if self.output_tokens is None or self.output_tokens < 2:  # noqa: PLR2004 - there is none after the first
            return None
        if self.decode is not None:
            return self.decode / (self.output_tokens - 1)
        if self.first_token is None:
            return None
        return max(0, self.end - self.first_token) / 1e9 / (self.output_tokens - 1)


class Part(NamedTuple):
    """A span that is no request and tells more about one of the same trace: a stage, a routing decision, a worker."""

    span: Span
    dialect: str
