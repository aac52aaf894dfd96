# SPDX-License-Identifier: Apache-2.0
"""What a real Prometheus and a real OTLP receiver get from a running agent."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.system.nvml import waves
from tests.agent.conftest import GPUS, LINKS, complete
from tests.agent.prometheus import Prometheus, scraping
from tests.agent.running import RunningAgent, running
from tests.exporters.receivers import Rotel, free_port, until
from tests.mock_nvml.control import MockNvml


@pytest.fixture
def prometheus(agent: RunningAgent, tmp_path: Path) -> Iterator[Prometheus]:
    """Give a Prometheus that has scraped the agent."""
    with scraping(agent, tmp_path) as found:
        yield found


def test_prometheus_scrapes_it_and_answers_queries_about_it(prometheus: Prometheus) -> None:
    assert [value for _, value in prometheus.query("count(hw_power_watts{hw_type='gpu'})")] == [GPUS]
    assert [value for _, value in prometheus.query("count(joulespan_nvlink_io_bytes_total)")] == [GPUS * LINKS * 2]
    assert [value for _, value in prometheus.query('up{job="joulespan"}')] == [1]
    types = prometheus.types()
    # The format is OpenMetrics here, where a counter's family has no _total.
    assert types["hw_energy_joules"] == "counter"
    assert types["hw_power_watts"] == "gauge"


def test_the_rate_of_energy_is_the_mean_power(prometheus: Prometheus) -> None:
    time.sleep(10)
    ended = time.monotonic()
    for labels, watts in prometheus.query("rate(hw_energy_joules_total{hw_type='gpu'}[8s])"):
        index = int(labels["hw_name"][3:])
        mean = (waves.energy(index, ended) - waves.energy(index, ended - 8)) / 8
        # The window lies somewhere in the last seconds; the wave has a period of 20 s.
        assert watts == pytest.approx(mean, abs=90)


def test_an_info_metric_joins_by_the_id_of_the_gpu(prometheus: Prometheus) -> None:
    joined = prometheus.query("hw_power_watts * on (hw_id) group_left (hw_model) joulespan_gpu_info")
    assert {labels["hw_model"] for labels, _ in joined} == {"NVIDIA H100 80GB HBM3"}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_otlp_receiver_gets_what_a_scrape_gets(protocol: str, mock_nvml: MockNvml, tmp_path: Path) -> None:
    with Rotel(tmp_path).running() as rotel:
        settings = [
            "--set", f"exporters.otlp.endpoint={rotel.endpoints[protocol]}",
            "--set", f"exporters.otlp.protocol={protocol}",
            "--set", "exporters.otlp.interval=1s",
        ]  # fmt: skip
        with running("run", *settings, env=mock_nvml.env(keys={"gpus": 2}), log=tmp_path / "log") as agent:
            agent.until(
                lambda scrape: scrape.value("joulespan_exporter_points_total", exporter="otlp", outcome="exported")
            )
            agent.until(lambda scrape: scrape.values("joulespan_gpu_sm_active_ratio"))
            time.sleep(1.5)
            snapshot = json.loads(agent.get("/api/v1/snapshot"))
            until(lambda: len(rotel.pushes()) > 4)
            agent.stop()
    last = rotel.pushes()[-2]
    pushed = {(point.name, frozenset(point.attributes.items())): point for point in last.points}
    scraped = {
        (metric["name"], frozenset(point["attributes"].items())): (metric, point)
        for metric in snapshot["metrics"]
        for point in metric["points"]
        if metric["name"].startswith(("hw.", "joulespan.gpu", "joulespan.nvlink"))
    }
    assert len(scraped) > 400
    assert scraped.keys() <= pushed.keys()
    for key, (metric, point) in scraped.items():
        assert pushed[key].unit == metric["unit"]
        if metric["name"] in ("hw.gpu.memory.limit", "joulespan.gpu.power.limit", "joulespan.gpu.info", "hw.status"):
            assert pushed[key].value == point["value"]
    assert last.resource["service.name"] == "joulespan"


def test_a_back_end_that_is_away_costs_nothing_but_its_points(mock_nvml: MockNvml, tmp_path: Path) -> None:
    settings = [
        "--set",
        f"exporters.otlp.endpoint=http://127.0.0.1:{free_port()}",
        "--set",
        "exporters.otlp.interval=1s",
    ]
    with running("run", *settings, env=mock_nvml.env(), log=tmp_path / "log") as agent:
        agent.until(complete)
        agent.until(lambda scrape: scrape.value("joulespan_queue_utilization_ratio", queue="otlp") > 0)
        assert agent.stop() < 5
