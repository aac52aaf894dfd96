# SPDX-License-Identifier: Apache-2.0
"""What a request's span is told about its GPUs, as encoded attributes that are appended to it.

| attribute | type, unit | what |
|---|---|---|
| joulespan.gpu.ids | string array | NVML UUIDs of the GPUs or MIG instances that served it |
| joulespan.gpu.utilization, .prefill, .decode | double, 1 | mean utilization of these GPUs while it ran, by phase |
| joulespan.gpu.power, .prefill, .decode | double, W | mean power of one of them, whatever else ran on it |
| joulespan.gpu.clock, .prefill, .decode | double, Hz | mean SM clock |
| joulespan.gpu.throttle.duration | double, s | time for which clocks were held down, of the GPU that was longest |
| joulespan.nvlink.bytes | int, By | what these GPUs moved over NVLink while it ran, for whomever |

Of a MIG instance only the id is said: the rest is measured of the whole GPU, which others use too.
"""

from collections.abc import Iterator, Sequence
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from agent.entities import Gpu, MigInstance
from agent.otlp.values import span_attribute, span_int
from agent.processors.usage import Edges, Numbers, means, measure
from agent.requests import Request
from agent.timeline import Timeline

GPU_IDS = "joulespan.gpu.ids"
_DOUBLE = Struct("<d").pack


class _Key:
    """A double attribute, of which all but the value is encoded once."""

    def __init__(self, key: str) -> None:
        self._begin = span_attribute(key, 0.0)[: -len(_DOUBLE(0.0))]

    def __call__(self, value: float) -> bytes:
        return self._begin + _DOUBLE(value) if value == value else b""  # noqa: PLR0124 - NaN is not itself


_MEANS = tuple(
    tuple(f"joulespan.gpu.{quantity}{phase}" for quantity in ("utilization", "power", "clock"))
    for phase in ("", ".prefill", ".decode")
)
_THROTTLED = "joulespan.gpu.throttle.duration"
_NVLINK = "joulespan.nvlink.bytes"
ATTRIBUTES = (GPU_IDS, *(key for keys in _MEANS for key in keys), _THROTTLED, _NVLINK)
"""The names of all of them."""
_BYTES = span_int(_NVLINK)
_KEYS = {key: _Key(key) for key in ATTRIBUTES}


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
    return [named + b"".join(parts) for parts in zip(*_measured(timeline, whole, requests, offset), strict=True)]


def _measured(
    timeline: Timeline, gpus: Sequence[Gpu], requests: Sequence[Request], offset: int
) -> Iterator[list[bytes]]:
    """Give one column of attributes after the other."""
    whole, prefill, decode = _edges(requests, offset)
    use = measure(timeline, gpus, whole)
    told = ((use.utilization, use.power, use.clock), means(timeline, gpus, prefill), means(timeline, gpus, decode))
    for keys, columns in zip(_MEANS, told, strict=True):
        for key, column in zip(keys, columns, strict=True):
            yield _column(key, column)
    # The ledger's attributes, joulespan.energy and the rest of the contract, take their place here.
    yield _column(_THROTTLED, use.throttled)
    yield [_BYTES(round(moved)) if moved == moved else b"" for moved in use.nvlink.tolist()]  # noqa: PLR0124


def _column(name: str, values: Numbers) -> list[bytes]:
    key = _KEYS[name]
    return [key(value) for value in values.tolist()]


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
    most = 1 << 62
    return np.array([min(max(one - offset, -most), most) for one in unix], np.int64)
