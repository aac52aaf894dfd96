# SPDX-License-Identifier: Apache-2.0
"""NVIDIA Dynamo's forward-pass traces (`DYN_FPM_TRACE`): a line of JSON for each pass of a worker's engine.

Source: "Forward Pass Metrics Trace Reference" of Dynamo 1.6, schema dynamo.fpm.trace.v1. Each worker and data-parallel
rank numbers what it tells, heartbeats of an idle engine too, one a second. In `full` mode every number is written, and
one that is missing was lost. In `sampled` mode, the default, the newest is, each 5 s: the others are not known.
"""

from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from agent.dialects.dynamo_ids import decimal
from agent.dialects.values import text

_SCHEMA = "dynamo.fpm.trace.v1"
_MODES = {"full": True, "sampled": False}
_NS_OF_MS = 1_000_000
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
_Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 43)]
"""Up to the year 2248, so that ns fit 64 bits."""
_Rank: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=65_536)]
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=3600)]
"""No pass takes longer than an hour."""


class Load(NamedTuple):
    """What a pass did for the requests in one phase, or what waits for it.

    `tokens` are computed: those of the prompts, or one for each sequence that decodes. `kv_tokens` are read: of the
    context that was computed before.
    """

    requests: int = 0
    tokens: int = 0
    kv_tokens: int = 0


class Pass(NamedTuple):
    """A forward pass of a worker's rank, or a heartbeat, which did nothing. `time` is when it was over, unix ns."""

    worker: int
    rank: int
    component: str | None
    full: bool
    number: int
    time: int
    duration: float
    prefill: Load
    decode: Load
    queued_prefill: Load
    queued_decode: Load

    @property
    def idle(self) -> bool:
        """It is a heartbeat."""
        return not (self.duration or self.prefill.requests or self.decode.requests)


class _Requests(msgspec.Struct, gc=False):
    num_prefill_requests: _Count = 0
    sum_prefill_tokens: _Count = 0
    sum_prefill_kv_tokens: _Count = 0
    num_decode_requests: _Count = 0
    sum_decode_kv_tokens: _Count = 0


class _Fpm(msgspec.Struct, gc=False):
    worker_id: str | int
    counter_id: _Count
    dp_rank: _Rank = 0
    wall_time: _Seconds = 0.0
    scheduled_requests: _Requests = msgspec.field(default_factory=_Requests)
    queued_requests: _Requests = msgspec.field(default_factory=_Requests)


class _Source(msgspec.Struct, gc=False):
    component: str | None = None


class _Event(msgspec.Struct, gc=False):
    schema: str
    capture_mode: str
    observed_at_unix_ms: _Milliseconds
    fpm: _Fpm
    source: _Source = msgspec.field(default_factory=_Source)


class _Line(msgspec.Struct, gc=False):
    event: _Event


_DECODER = msgspec.json.Decoder(_Line)


def decode(line: bytes) -> Pass | None:
    """Read a line of the trace; None where it is something else, damaged, or says what cannot be."""
    try:
        event = _DECODER.decode(line).event
    # Python refuses to read integers of thousands of digits, which msgspec passes on as they are.
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    fpm, full = event.fpm, _MODES.get(event.capture_mode)
    worker = decimal(fpm.worker_id)
    if event.schema != _SCHEMA or full is None or worker is None:
        return None
    scheduled, queued = fpm.scheduled_requests, fpm.queued_requests
    return Pass(
        worker,
        fpm.dp_rank,
        text(event.source.component),
        full,
        fpm.counter_id,
        event.observed_at_unix_ms * _NS_OF_MS,
        fpm.wall_time,
        Load(scheduled.num_prefill_requests, scheduled.sum_prefill_tokens, scheduled.sum_prefill_kv_tokens),
        # Of how many tokens it made nothing is said: speculative decoding makes more than one for each sequence.
        Load(scheduled.num_decode_requests, scheduled.num_decode_requests, scheduled.sum_decode_kv_tokens),
        Load(queued.num_prefill_requests, queued.sum_prefill_tokens, 0),
        Load(queued.num_decode_requests, 0, queued.sum_decode_kv_tokens),
    )
