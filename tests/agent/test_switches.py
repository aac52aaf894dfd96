# SPDX-License-Identifier: Apache-2.0
"""Switches through a running agent: an export over gRPC and a page over HTTP, and what Prometheus reads of them."""

import os
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.agent.running import RunningAgent, running
from tests.scraping.server import page, serving
from tests.switches.told import FIXTURES, export, gauge, point, request

EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
USUAL_LIMIT = 4 << 20
"""Bytes of a message that a gRPC server takes when it is not told otherwise; a full switch sends more."""


def send(agent: RunningAgent, *requests: ExportMetricsServiceRequest) -> None:
    """Send as a switch does: over gRPC, compressed."""
    with grpc.insecure_channel(agent.receiver("otlp_grpc"), compression=grpc.Compression.Gzip) as channel:
        call = channel.unary_unary(EXPORT)
        for one in requests:
            assert call(one.SerializeToString(), timeout=20) == b""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_what_a_spectrum_switch_sends_is_scraped_as_counters_in_base_units(settings: Path, tmp_path: Path) -> None:
    settings.write_text("{}\n")
    with running("run", "--config", str(settings), env=os.environ, log=tmp_path / "log") as agent:
        send(agent, export("spectrum.json"), export("spectrum-next.json"))
        labels = {"switch": "leaf-01", "switch_port": "swp1s0", "network_io_direction": "transmit"}
        scrape = agent.until(lambda now: now.values("joulespan_switch_port_io_bytes_total", **labels) == [9.03e12])
        assert "# TYPE joulespan_switch_port_io_bytes_total counter" in scrape.text
        assert scrape.value("joulespan_switch_port_transmit_wait_seconds_total", switch_port="swp1s0") == 1.75
        assert scrape.value("joulespan_switch_buffer_usage_bytes", switch_port="swp1s0") == 1010 * 192
        assert scrape.value("joulespan_switch_port_bandwidth_limit_bytes_per_second", switch_port="swp1s0") == 5e10
        assert scrape.value("joulespan_switch_queue_depth_bytes_bucket", le="863.0") == 2 * 1019165
        assert not scrape.values("joulespan_switch_queue_depth_bytes_sum")
        assert scrape.value("joulespan_switch_points_total", outcome="unknown") == 2
        openmetrics = agent.get("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"}).decode()
        assert "# TYPE joulespan_switch_port_io_bytes counter" in openmetrics


def test_an_export_larger_than_a_grpc_server_usually_takes_is_taken(settings: Path, tmp_path: Path) -> None:
    settings.write_text("collectors: { switches: { max_series: 1000 } }\n")
    label = "what an operator wrote about this interface " * 20
    points = [point(1, interface=f"swp{number}", note=label) for number in range(5000)]
    large = request(gauge("nvswitch_interface_if_out_octets", *points))
    assert large.ByteSize() > USUAL_LIMIT
    with running("run", "--config", str(settings), env=os.environ, log=tmp_path / "log") as agent:
        send(agent, large)
        scrape = agent.until(lambda now: sum(now.values("joulespan_switch_points_total")) == 5000)
        assert scrape.value("joulespan_switch_points_total", outcome="taken") == 1000


def test_a_page_of_the_configuration_is_scraped(settings: Path, tmp_path: Path) -> None:
    # The lines say when they were true, and that is long ago.
    body = (FIXTURES / "nmx.prom").read_bytes().replace(b" 1745875691233\n", b"\n")
    with serving(page(body)) as server:
        settings.write_text(f"switches:\n  - {{ name: rack, metrics_url: {server.url}, kind: nvlink, interval: 1s }}\n")
        with running("run", "--config", str(settings), env=os.environ, log=tmp_path / "log") as agent:
            labels = {"switch": "0x330aa4a4f4f01b2c", "switch_port": "1", "network_io_direction": "transmit"}
            scrape = agent.until(lambda now: now.values("joulespan_switch_port_io_bytes_total", **labels))
            assert scrape.value("joulespan_switch_port_io_bytes_total", **labels) == 4e6
            scrape = agent.until(lambda now: now.values("joulespan_switch_page_up"))
            assert scrape.value("joulespan_switch_page_up", page="rack") == 1


def test_each_nic_of_the_demo_is_known_to_be_at_a_port_of_its_switch(tmp_path: Path) -> None:
    with running("demo", env=os.environ, log=tmp_path / "log") as agent:
        scrape = agent.until(lambda now: len(now.values("joulespan_switch_link_info")) == 8, seconds=60)
        found = {(one["hw_name"], one["switch_port"]) for one in scrape.labels("joulespan_switch_link_info")}
        assert found == {(f"rdma{index}", f"swp{index + 1}s0") for index in range(8)}
        assert {one["source"] for one in scrape.labels("joulespan_switch_link_info")} == {"switch"}
