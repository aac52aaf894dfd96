# SPDX-License-Identifier: Apache-2.0
"""Owners in a running agent: the queries of the documentation, and what requests are told."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agent.otlp.values import Value, attributes
from tests.agent.collector import Collector
from tests.agent.prometheus import Prometheus, scraping
from tests.agent.running import Scrape, running
from tests.exporters.receivers import until

DOCS = Path(__file__).parents[2] / "docs"
POD = "llama-3-3-70b-6b9d4f5c87-x2k4z"
OTHER = ("llama-3-3-70b", "qwen3-32b")
FAST = ["--set", "collectors.owners.interval=1s", "--set", "collectors.gpu.processes_interval=1s"]


def queries(page: str) -> list[str]:
    """The queries of a page, without their comments."""
    blocks = re.findall(r"^```promql\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [re.sub(r"^#.*\n", "", one, flags=re.MULTILINE) for block in blocks for one in block.split("\n\n")]


def attributed(scrape: Scrape) -> bool:
    """Whether requests of a pod have taken energy."""
    return bool(scrape.values("joulespan_energy_attributed_joules_total", k8s_pod_name=POD)) and bool(
        scrape.values("joulespan_owner_energy_joules_total")
    )


def test_the_queries_of_the_documentation_give_what_they_say(tmp_path: Path) -> None:
    with running("demo", *FAST, "--set", "attribution.lateness=2s", env=os.environ, log=tmp_path / "log") as agent:
        agent.until(attributed, seconds=60)
        with scraping(agent, tmp_path) as prometheus:
            wanted = queries("owners.md")
            assert len(wanted) == 5
            # A rate takes two scrapes of a series, and the second engine has fewer requests.
            until(lambda: all(map(prometheus.query, wanted)) and len(prometheus.query(wanted[-1])) == len(OTHER), 60)
            every = {query: prometheus.query(query) for query in wanted}
            power, memory, processes, unused, energy = every.values()
            assert (dict(power[0][0]) | dict(power[1][0]))["k8s_namespace_name"] == "inference"
            assert [labels for labels, _ in memory] == [{"k8s_namespace_name": "inference"}]
            assert {labels["owner"].split("/")[2] for labels, _ in processes} == {POD, POD.replace(*OTHER)}
            assert {labels["owner"] for labels, _ in unused} == {"slurm/4711"}
            assert {labels["k8s_deployment_name"] for labels, _ in energy} == {"llama-3-3-70b", "qwen3-32b"}
            assert_whole(prometheus)


def assert_whole(prometheus: Prometheus) -> None:
    """Energy of an owner who has a GPU alone is not more than the GPU's."""
    more = prometheus.query(
        'joulespan_owner_energy_joules_total > on (hw_id) group_left () hw_energy_joules_total{hw_type="gpu"}'
    )
    assert more == []


@pytest.mark.parametrize("labels", ["k8s.deployment.name", ""])
def test_requests_are_told_the_attributes_that_are_listed(tmp_path: Path, labels: str) -> None:
    settings = [*FAST, "--set", f"owners.labels={labels}"]
    with running("demo", *settings, env=os.environ, log=tmp_path / "log") as agent:
        agent.until(lambda scrape: bool(scrape.values("joulespan_engine_owner_info")), seconds=60)
        agent.until(
            lambda scrape: bool(
                scrape.values(
                    "joulespan_request_finished_total", **({"k8s_deployment_name": "llama-3-3-70b"} if labels else {})
                )
            ),
            seconds=60,
        )
        names = {name for one in agent.scrape().labels("joulespan_request_finished_total") for name in one}
        assert {name for name in names if name.startswith(("k8s", "slurm"))} == (
            {"k8s_deployment_name"} if labels else set()
        )


def test_spans_are_told_whose_they_are(tmp_path: Path) -> None:
    with Collector().running() as collector:
        settings = [*FAST, "--set", f"exporters.traces.endpoint={collector.endpoint}"]
        with running("demo", *settings, env=os.environ, log=tmp_path / "log") as agent:
            agent.until(lambda _: {"llama-3-3-70b", "qwen3-32b"} <= {name(one) for one in pods(collector)}, seconds=60)
    told = pods(collector)
    assert {dict(one)["k8s.namespace.name"] for one in told} == {"inference"}


def pods(collector: Collector) -> list[Mapping[str, Value]]:
    """Attributes of the spans that say which pod they are of, each of them once."""
    found = [Span.FromString(one) for one in collector.raw()]
    each = [[pair.key for pair in one.attributes] for one in found]
    assert [keys for keys in each if len(keys) != len(set(keys))] == []
    return [told for one in found if "k8s.pod.name" in (told := attributes(one.attributes))]


def name(told: Mapping[str, Value]) -> str:
    """Give the Deployment of a pod by the pod's name."""
    return str(told["k8s.pod.name"]).rsplit("-", 2)[0]
