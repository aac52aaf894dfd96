# SPDX-License-Identifier: Apache-2.0
"""A request's span gains what its GPUs did, after everything it had, and nothing that was not measured."""

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.catalogue.gpu import CLOCK, GPU_UTILIZATION, POWER, THROTTLE_DURATION
from agent.catalogue.links import GPU_NVLINK_IO
from agent.clock import NS
from agent.entities import Gpu, GpuClock, GpuIo, GpuReason, GpuTask, MigInstance
from agent.otlp.values import attributes
from agent.processors import network
from agent.processors.annotation import ATTRIBUTES, annotate
from agent.requests import Request
from agent.snapshot import Source as Collector
from agent.spans import Source, Span
from agent.timeline import Timeline

GPU = Gpu("GPU-0", "gpu0")
OFFSET = 1_700_000_000 * NS
START = 1000 * NS


def request(arrival: float, first: float | None, end: float) -> Request:
    """A request at seconds after the start of the history."""
    at = [None if one is None else OFFSET + START + round(one * NS) for one in (arrival, first, end)]
    message = SpanMessage(trace_id=b"t" * 16, span_id=b"s" * 8, name="llm_request")
    assert at[0] is not None
    assert at[2] is not None
    return Request(span=Span(message, Source({}), "vllm"), dialect="vllm", arrival=at[0], first_token=at[1], end=at[2])


@pytest.fixture
def timeline() -> Timeline:
    """Ten seconds: 400 W and busy in the first five, 200 W and half busy after; 1 GB/s each way."""
    found = Timeline(900, 0.1)
    series = (
        POWER.series(GPU),
        GPU_UTILIZATION.series(GpuTask(GPU, "general")),
        CLOCK.series(GpuClock(GPU, "sm")),
        GPU_NVLINK_IO.series(GpuIo(GPU, "transmit")),
        GPU_NVLINK_IO.series(GpuIo(GPU, "receive")),
        THROTTLE_DURATION.series(GpuReason(GPU, "power_cap")),
        THROTTLE_DURATION.series(GpuReason(GPU, "low_utilization")),
    )
    for step in range(101):
        early = step <= 50
        row = (400.0 if early else 200.0, 1.0 if early else 0.5, 1.5e9, 1e8 * step, 1e8 * step, 0.05 * step, 0.1 * step)
        found.append(Collector("gpu_energy", GPU.id), series, START + step * NS // 10, row)
    return found


def read(encoded: bytes) -> dict[str, object]:
    """Decode what was appended, as a receiver of the whole span would."""
    before = SpanMessage(name="llm_request")
    before.attributes.add(key="gen_ai.request.id").value.string_value = "x"
    after = SpanMessage.FromString(before.SerializeToString() + encoded)
    assert after.attributes[0].key == "gen_ai.request.id"
    return dict(attributes(after.attributes[1:]))


def test_a_request_gains_what_its_gpus_did_in_each_phase(timeline: Timeline) -> None:
    (encoded,) = annotate(timeline, [GPU], [request(3.0, 4.0, 8.0)], OFFSET)
    found = read(encoded)
    assert set(found) == set(ATTRIBUTES) - set(network.ATTRIBUTES)
    assert found["joulespan.gpu.ids"] == ["GPU-0"]
    assert found["joulespan.gpu.power"] == pytest.approx(281, abs=1)
    assert found["joulespan.gpu.power.prefill"] == pytest.approx(400)
    assert found["joulespan.gpu.power.decode"] == pytest.approx(252.5, abs=1)
    assert found["joulespan.gpu.utilization.decode"] == pytest.approx(0.631, abs=0.01)
    assert found["joulespan.gpu.clock"] == pytest.approx(1.5e9)
    assert found["joulespan.gpu.throttle.duration"] == pytest.approx(2.5)
    assert found["joulespan.gpu.nvlink.bytes"] == 10_000_000_000
    assert isinstance(found["joulespan.gpu.nvlink.bytes"], int)


def test_what_was_not_measured_is_left_out(timeline: Timeline) -> None:
    encoded = annotate(timeline, [GPU], [request(3.0, None, 8.0), request(50.0, 51.0, 60.0)], OFFSET)
    assert {key for key in read(encoded[0]) if key.endswith(("prefill", "decode"))} == set()
    assert read(encoded[1]) == {"joulespan.gpu.ids": ["GPU-0"]}


def test_of_a_mig_instance_only_its_id_is_said(timeline: Timeline) -> None:
    mig = MigInstance("MIG-1", "gpu0/1g.10gb", "GPU-0")
    assert [read(one) for one in annotate(timeline, [mig], [request(3.0, 4.0, 8.0)], OFFSET)] == [
        {"joulespan.gpu.ids": ["MIG-1"]}
    ]


@pytest.mark.parametrize("nonsense", [(8.0, 4.0, 3.0), (3.0, 9.0, 4.0), (-1e9, 0.0, 1e9)])
def test_times_in_no_order_say_nothing_wrong(timeline: Timeline, nonsense: tuple[float, float, float]) -> None:
    (encoded,) = annotate(timeline, [GPU], [request(*nonsense)], OFFSET)
    for key, value in read(encoded).items():
        assert key == "joulespan.gpu.ids" or (isinstance(value, int | float) and value >= 0)
