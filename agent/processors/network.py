# SPDX-License-Identifier: Apache-2.0
"""What a request's span is told about the network: the NICs nearest to its GPUs, and what they did while it ran.

Nothing tells whose packets they were: as with NVLink, it is what these NICs moved for whomever. Which NICs are near is
said by `joulespan.gpu.nic.info` in the timeline; see docs/network.md.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from agent.catalogue.affinity import GPU_NIC_INFO
from agent.catalogue.nic import ECN_RECEIVED, NETWORK_IO, NIC_RDMA_IO
from agent.catalogue.rdma import RDMA_CNP, RDMA_ECN_MARKED, RDMA_INFO, RDMA_IO, RDMA_RETRANSMITS
from agent.entities import Gpu
from agent.metric import Metric, Series
from agent.network_entities import GpuNic, Nic, NicIo, RdmaInfo, RdmaIo, RdmaNotification, RdmaPort, RdmaReason
from agent.otlp.values import span_attribute, span_int
from agent.processors.usage import Edges, Numbers, moved
from agent.timeline import Timeline

_IDS = "joulespan.network.ids"
_COUNTS = ("joulespan.network.bytes", "joulespan.network.congestion", "joulespan.network.retransmits")
ATTRIBUTES = (_IDS, *_COUNTS)
"""The names of what is told."""
_ENCODERS = [span_int(name) for name in _COUNTS]


def annotate(timeline: Timeline, gpus: Sequence[Gpu], edges: Edges) -> list[bytes]:
    """Encode what there is to say of each interval; nothing where no NIC is known."""
    nics = nearest(timeline, gpus)
    if not nics:
        return [b""] * len(edges[0])
    named = span_attribute(_IDS, list(nics))
    counts = [_encoded(*one) for one in zip(moved(timeline, _counters(timeline, nics), edges), _ENCODERS, strict=True)]
    return [named + b"".join(parts) for parts in zip(*counts, strict=True)]


def nearest(timeline: Timeline, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """List the NICs that are nearest to any of some GPUs, by hw.id."""
    wanted = {gpu.id for gpu in gpus}
    pairs = [one.entity for one in timeline.series_of(GPU_NIC_INFO) if isinstance(one.entity, GpuNic)]
    return tuple(dict.fromkeys(pair.nic for pair in pairs if pair.gpu.id in wanted and pair.nearest == "true"))


def _counters(timeline: Timeline, nics: Sequence[str]) -> tuple[Sequence[Sequence[Series]], ...]:
    """Find the counters of these NICs for each field of Moved, those that are read at the same time together."""
    wanted = set(nics)

    def of(metric: Metric[Any]) -> list[Series]:
        return [one for one in timeline.series_of(metric) if _device(one) in wanted]

    rdma = of(RDMA_IO)
    # Of InfiniBand the interface's packets are among the port's; of RoCE they are not.
    whole = {_device(one) for one in of(RDMA_INFO) if isinstance(one.entity, RdmaInfo) and _infiniband(one.entity)}
    kernel = [one for one in of(NETWORK_IO) if _device(one) not in whole]
    # Where the RDMA devices are not to be seen, as in a container, the driver's statistics still tell their bytes.
    ported = {_device(one) for one in rdma}
    driver = [one for one in of(NIC_RDMA_IO) if _device(one) not in ported]
    slowed = [
        one for one in of(RDMA_CNP) if isinstance(one.entity, RdmaNotification) and one.entity.outcome == "handled"
    ]
    return (kernel, rdma, driver), (of(RDMA_ECN_MARKED), slowed, of(ECN_RECEIVED)), (of(RDMA_RETRANSMITS),)


def _infiniband(info: RdmaInfo) -> bool:
    return info.layer == "InfiniBand"


def _device(series: Series) -> str | None:
    entity = series.entity
    if isinstance(entity, Nic | RdmaPort):
        return entity.id
    if isinstance(entity, NicIo):
        return entity.nic.id
    return entity.rdma.id if isinstance(entity, RdmaInfo | RdmaIo | RdmaNotification | RdmaReason) else None


def _encoded(found: Numbers, encode: Callable[[int], bytes]) -> Iterator[bytes]:
    # Most counts of a batch are the same few: none, as a rule.
    known: dict[float, bytes] = {}
    for value, there in zip(found.tolist(), (~np.isnan(found)).tolist(), strict=True):
        if not there:
            yield b""
            continue
        attribute = known.get(value)
        if attribute is None:
            attribute = known[value] = encode(round(value))
        yield attribute
