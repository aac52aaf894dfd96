# SPDX-License-Identifier: Apache-2.0
"""The sizing of a fleet is proportional to what is on a page, and the files of a fleet are ones that tools accept."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.fleet import sizing

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "deploy" / "fleet"
PAGE = """# TYPE hw_power_watts gauge
hw_power_watts{hw_id="A",hw_name="gpu0"} 1
hw_power_watts{hw_id="B",hw_name="gpu1"} 1
joulespan_nvlink_io_bytes_total{hw_id="A",link="0",network_io_direction="receive"} 1
joulespan_nvlink_io_bytes_total{hw_id="A",link="0",network_io_direction="transmit"} 1
joulespan_nvlink_io_bytes_total{hw_id="A",link="1",network_io_direction="receive"} 1
joulespan_nvlink_io_bytes_total{hw_id="A",link="1",network_io_direction="transmit"} 1
joulespan_engine_up{engine="a, \\"b\\" {c}"} 1 # {trace_id="x"} 2
joulespan_request_energy_joules_bucket{engine="a, \\"b\\" {c}",tenant="t",le="1"} 1 # {trace_id="x"} 2
joulespan_request_energy_joules_count{engine="a, \\"b\\" {c}",tenant="t"} 1
hw_errors_total{hw_id="eth0",hw_type="network"} 1
hw_status{hw_id="cpu0",hw_type="cpu"} 1
joulespan_switch_up{switch="leaf"} 1
joulespan_node_gpus 2
"""


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FLEET / name).read_text())
    return found


def test_series_are_counted_by_what_there_is_one_of() -> None:
    assert sizing.cardinality(PAGE) == sizing.Cardinality(node=2, gpu=1, link=2, nic=1, switch=1, engine=1, tenant=2)


def test_the_node_that_was_counted_has_as_many_series_as_its_page() -> None:
    fleet = sizing.counted(PAGE, nodes=1, interval=1)
    got = sizing.size(fleet, sizing.cardinality(PAGE), sizing.Rates())
    lines = sum(not line.startswith("#") for line in PAGE.splitlines())
    assert got.series == got.samples == lines + sizing.SCRAPE_SERIES


def test_twice_the_nodes_take_twice_of_everything() -> None:
    one, rates, prices = sizing.cardinality(PAGE), sizing.Rates(), sizing.Prices()
    small, large = (sizing.size(sizing.Fleet(nodes), one, rates) for nodes in (7, 14))
    assert [2 * value for value in small] == pytest.approx(list(large))
    costs = [sizing.cost(got, sizing.needs(sizing.Fleet(1), got, rates), prices) for got in (small, large)]
    assert 2 * costs[0] == pytest.approx(costs[1])


def test_it_prints_a_column_for_each_fleet(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text(PAGE)
    command = [sys.executable, str(FLEET / "sizing.py"), str(page), "--nodes", "10", "1000", "--tenants", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[0] == ["nodes", "10", "1 000"]
    assert all(len(row) == 3 for row in rows)


def test_the_page_in_the_docs_is_what_is_printed_with_the_rates_of_now() -> None:
    said = re.search(r"Series of one: (.*)", (ROOT / "docs" / "fleet.md").read_text())
    assert said
    one = sizing.Cardinality(**{name: float(number) for name, number in re.findall(r"(\w+) (\d+)", said[1])})
    table = sizing.table([sizing.Fleet(nodes) for nodes in (10, 1000, 10000)], one, sizing.Rates(), sizing.Prices())
    text = (ROOT / "docs" / "fleet.md").read_text()
    # Counts were rounded when they were printed: what follows from them can differ in its last digit.
    assert [line.split(" | ")[0] for line in table.splitlines()] == [
        line.split(" | ")[0] for line in text[text.index("| nodes |") :].split("\n\n")[0].splitlines()
    ]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_takes_the_configuration_of_a_cluster(tmp_path: Path) -> None:
    text = (FLEET / "prometheus.yaml").read_text()
    # Debian's Prometheus is built without discovery in Kubernetes.
    text, found = re.subn(r"kubernetes_sd_configs: .*", 'static_configs: [{ targets: ["x:1"] }]', text)
    assert found == 1
    (tmp_path / "prometheus.yml").write_text(text)
    subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)


def test_what_is_kept_for_the_fleet_are_the_recorded_series() -> None:
    (write,) = read("prometheus.yaml")["remote_write"]
    (rule,) = write["write_relabel_configs"]
    groups = [yaml.safe_load(path.read_text())["groups"] for path in (ROOT / "alerts" / "rules").glob("*.yaml")]
    recorded = {rule["record"] for one in groups for group in one for rule in group["rules"] if "record" in rule}
    assert recorded
    assert all(re.fullmatch(rule["regex"], name) for name in recorded)
    assert not re.fullmatch(rule["regex"], "hw_power_watts")


@pytest.mark.parametrize("name", ["gateway-route.yaml", "gateway-store.yaml"])
def test_every_part_of_a_pipeline_is_configured_and_every_configured_part_is_in_one(name: str) -> None:
    found = read(name)
    pipelines = found["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert {part for pipeline in pipelines for part in pipeline[kind]} == found[kind].keys()
    assert set(found["service"]["extensions"]) == found["extensions"].keys()


def test_a_trace_meets_itself_and_the_first_row_finds_the_second() -> None:
    route, store = read("gateway-route.yaml"), read("gateway-store.yaml")
    assert route["exporters"]["loadbalancing"]["routing_key"] == "traceID"
    (port,) = route["exporters"]["loadbalancing"]["resolver"]["k8s"]["ports"]
    assert store["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(f":{port}")
    table = store["exporters"]["clickhouse"]["traces_table_name"]
    database = store["exporters"]["clickhouse"]["database"]
    assert f"{database}.{table} (" in (FLEET / "clickhouse.sql").read_text()
