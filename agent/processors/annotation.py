# SPDX-License-Identifier: Apache-2.0
"""What a request's span is told about its GPUs, as encoded attributes that are appended to it.

| attribute | type, unit | what |
|---|---|---|
| joulespan.gpu.ids | string array | NVML UUIDs of the GPUs or MIG instances that served it |
| joulespan.gpu.utilization, .prefill, .decode | double, 1 | mean utilization of these GPUs while it ran, by phase |
| joulespan.gpu.power, .prefill, .decode | double, W | mean power of one of them, whatever else ran on it |
| joulespan.gpu.clock, .prefill, .decode | double, Hz | mean SM clock |
| joulespan.gpu.throttle.duration | double, s | time for which clocks were held down, of the GPU that was longest |
| joulespan.gpu.nvlink.bytes | int, By | what these GPUs moved over NVLink while it ran, for whomever |
| joulespan.network.ids | string array | hw.id of the NICs nearest to these GPUs |
| joulespan.network.bytes | int, By | what these NICs moved while it ran, both ways, RDMA included, for whomever |
| joulespan.network.congestion | int | packets that came in marked, and notifications that slowed this node down |
| joulespan.network.retransmits | int | signs of loss on RDMA connections |

Of a MIG instance only the id is said: the rest is measured of the whole GPU, which others use too.
"""

from collections.abc import Sequence
from math import isnan
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from agent.entities import Gpu, MigInstance
from agent.otlp.values import span_attribute, span_int
from agent.processors import network
from agent.processors.usage import Edges, means, measure
from agent.requests import Request
from agent.timeline import Timeline

GPU_IDS = "joulespan.gpu.ids"
_DOUBLE = Struct("<d").pack


_MEANS = tuple(
    f"joulespan.gpu.{quantity}{phase}"
    for phase in ("", ".prefill", ".decode")
    for quantity in ("utilization", "power", "clock")
)
_DOUBLES = (*_MEANS, "joulespan.gpu.throttle.duration")
_NVLINK = "joulespan.gpu.nvlink.bytes"
# The ledger's attributes, joulespan.energy and the rest of the contract, will stand beside these.
ATTRIBUTES = (GPU_IDS, *_DOUBLES, _NVLINK, *network.ATTRIBUTES)
"""The names of all of them."""
_BYTES = span_int(_NVLINK)
_BEGINNINGS = [span_attribute(name, 0.0)[: -len(_DOUBLE(0.0))] for name in _DOUBLES]
"""Of each double attribute, all but the value, which is the end of it."""
_WHOLE = Struct("<" + "".join(f"{len(begin)}sd" for begin in _BEGINNINGS)).pack


def annotate(
    timeline: Timeline, gpus: Sequence[Gpu | MigInstance], requests: Sequence[Request], offset: int
) -> list[bytes]:
    """Encode what there is to say about each of some requests that these GPUs served, in the order of `requests`.

    `offset` is unix time minus monotonic time, ns. What was not measured is left out.
    """
    named = span_attribute(GPU_IDS, [gpu.id for gpu in gpus])
    whole = [gpu for gpu in gpus if isinstance(gpu, Gpu)]
    if not whole or len(whole) < len(gpus):
        return [named] * len(requests)
    whole_time, prefill, decode = _edges(requests, offset)
    use = measure(timeline, whole, whole_time)
    columns = (
        *(use.utilization, use.power, use.clock),
        *means(timeline, whole, prefill),
        *means(timeline, whole, decode),
        use.throttled,
    )
    rows = np.stack(columns, axis=1)
    complete = np.logical_not(np.isnan(rows).any(axis=1))
    moved = use.nvlink
    nics = network.annotate(timeline, whole, whole_time)
    return [
        named + nic + (_all_of(row) if full else _some_of(row)) + (_BYTES(round(link)) if measured else b"")
        for row, full, link, measured, nic in zip(
            rows.tolist(), complete.tolist(), moved.tolist(), (~np.isnan(moved)).tolist(), nics, strict=True
        )
    ]


def _all_of(row: Sequence[float]) -> bytes:
    """Encode the double attributes at once: ten calls would take three times as long."""
    words: list[bytes | float] = [b""] * (2 * len(_BEGINNINGS))
    words[0::2] = _BEGINNINGS
    words[1::2] = row
    return _WHOLE(*words)


def _some_of(row: Sequence[float]) -> bytes:
    """Encode those that were measured."""
    return b"".join(begin + _DOUBLE(value) for begin, value in zip(_BEGINNINGS, row, strict=True) if not isnan(value))


def _edges(requests: Sequence[Request], offset: int) -> tuple[Edges, Edges, Edges]:
    """Give the intervals of the requests, of their prefills and of their decodes; an unknown one ends before it begins.

    Where the end of the queue is not known, prefill is what lies before the first token.
    """
    arrival = _times([one.arrival for one in requests], offset)
    end = np.maximum(_times([one.end for one in requests], offset), arrival)
    began = _times([one.arrival if one.prefill_start is None else one.prefill_start for one in requests], offset)
    first = _times([one.first_token or 0 for one in requests], offset)
    known = np.array([one.first_token is not None for one in requests])
    none = began - 1
    return (
        (arrival, end),
        (began, np.where(known, first, none)),
        (np.where(known, first, end + 1), end),
    )


def _times(unix: list[int], offset: int) -> NDArray[np.int64]:
    """Turn unix times into those of the monotonic clock; what no clock says is cut to what int64 holds."""
    try:
        return np.array(unix, np.int64) - offset
    except OverflowError:
        most = 1 << 62
        return np.array([min(max(one - offset, -most), most) for one in unix], np.int64)
