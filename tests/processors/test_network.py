# SPDX-License-Identifier: Apache-2.0
"""A request's span is told what the NICs nearest to its GPUs moved while it ran, and of no other."""

import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.catalogue.affinity import GPU_NIC_INFO
from agent.catalogue.nic import ECN_RECEIVED, NETWORK_IO, NIC_RDMA_IO
from agent.catalogue.rdma import RDMA_CNP, RDMA_ECN_MARKED, RDMA_INFO, RDMA_IO, RDMA_RETRANSMITS
from agent.clock import NS
from agent.entities import Gpu
from agent.network_entities import GpuNic, Nic, NicIo, RdmaInfo, RdmaIo, RdmaNotification, RdmaPort, RdmaReason
from agent.otlp.values import attributes
from agent.processors.network import annotate, nearest
from agent.processors.usage import Edges
from agent.snapshot import Source
from agent.timeline import Timeline

NEAR, FAR = Gpu("GPU-0", "gpu0"), Gpu("GPU-1", "gpu1")
START = 1000 * NS
WAYS = ("transmit", "receive")


def rows(timeline: Timeline, source: str, device: str, series: tuple[object, ...], per_second: list[float]) -> None:
    """Let counters grow for twenty seconds."""
    for second in range(21):
        values = [second * rate for rate in per_second]
        timeline.append(Source(source, device), series, START + second * NS, values)  # type: ignore[arg-type]


def made(layer: str = "Ethernet", *, rdma: bool = True) -> Timeline:
    """Two NICs; of the first 100 B/s of the kernel's and 1000 B/s of RDMA each way, ten times that of the second."""
    timeline = Timeline(900, 1)
    for index, gpu in enumerate((NEAR, FAR)):
        told = [
            GpuNic(gpu, f"nic{other}", path="PIX" if index == other else "SYS", nearest=str(index == other).lower())
            for other in range(2)
        ]
        series = tuple(GPU_NIC_INFO.series(one) for one in told)
        timeline.append(Source("affinity", gpu.id), series, START, [1.0, 1.0])
        times = 10.0**index
        nic, port = Nic(f"nic{index}", f"eth{index}"), RdmaPort(f"nic{index}", f"mlx5_{index}", 1)
        kernel = tuple(NETWORK_IO.series(NicIo(nic, way)) for way in WAYS)
        rows(timeline, "nic", nic.id, kernel, [100 * times] * 2)
        driver = (*(NIC_RDMA_IO.series(NicIo(nic, way)) for way in WAYS), ECN_RECEIVED.series(nic))
        rows(timeline, "ethtool", nic.id, driver, [999 * times, 999 * times, 1 * times])
        if rdma:
            series = (
                RDMA_INFO.series(RdmaInfo(port, layer=layer)),
                *(RDMA_IO.series(RdmaIo(port, way)) for way in WAYS),
                RDMA_ECN_MARKED.series(port),
                *(RDMA_CNP.series(RdmaNotification(port, outcome)) for outcome in ("handled", "sent")),
                *(RDMA_RETRANSMITS.series(RdmaReason(port, reason)) for reason in ("packet_sequence", "ack_timeout")),
            )
            rows(timeline, "rdma", port.id, series, [0, 1000 * times, 1000 * times, 5 * times, 3 * times, 7, 2, 1])
    return timeline


def told(timeline: Timeline, *gpus: Gpu, since: float = 2, until: float = 12) -> dict[str, object]:
    edges: Edges = (np.array([START + int(since * NS)]), np.array([START + int(until * NS)]))
    (encoded,) = annotate(timeline, gpus, edges)
    return dict(attributes(SpanMessage.FromString(encoded).attributes))


def test_the_nearest_nic_is_the_gpus_own() -> None:
    timeline = made()
    assert nearest(timeline, [NEAR]) == ("nic0",)
    assert nearest(timeline, [NEAR, FAR]) == ("nic0", "nic1")
    assert nearest(timeline, [Gpu("GPU-9", "gpu9")]) == ()


def test_a_request_is_told_bytes_congestion_and_retransmits_of_its_time() -> None:
    assert told(made(), NEAR) == {
        "joulespan.network.ids": ["nic0"],
        "joulespan.network.bytes": 10 * (2 * 100 + 2 * 1000),
        "joulespan.network.congestion": 10 * (5 + 3 + 1),
        "joulespan.network.retransmits": 10 * (2 + 1),
    }


def test_a_request_on_several_gpus_is_told_of_all_their_nics() -> None:
    found = told(made(), NEAR, FAR)
    assert found["joulespan.network.ids"] == ["nic0", "nic1"]
    assert found["joulespan.network.bytes"] == 11 * 10 * 2200


def test_on_infiniband_the_interfaces_bytes_are_among_the_ports() -> None:
    assert told(made("InfiniBand"), NEAR)["joulespan.network.bytes"] == 10 * 2000


def test_where_no_rdma_device_is_seen_the_driver_tells_its_bytes() -> None:
    found = told(made(rdma=False), NEAR)
    assert found["joulespan.network.bytes"] == 10 * (2 * 100 + 2 * 999)
    assert "joulespan.network.retransmits" not in found
    assert found["joulespan.network.congestion"] == 10


@pytest.mark.parametrize(("since", "until"), [(100, 110), (5, 4)])
def test_what_was_not_measured_is_left_out(since: float, until: float) -> None:
    assert told(made(), NEAR, since=since, until=until) == {"joulespan.network.ids": ["nic0"]}


def test_without_a_nic_nothing_is_said() -> None:
    assert told(Timeline(900, 1), NEAR) == {}
