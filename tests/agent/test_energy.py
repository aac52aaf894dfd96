# SPDX-License-Identifier: Apache-2.0
"""Where the energy goes, end to end: engines send spans to a running agent, which divides what its GPUs drew."""

import os
import re
import time
from collections import Counter
from typing import Any, NamedTuple

import pytest

from agent.otlp.values import attributes
from agent.simulation import DEMO
from tests.agent.collector import Collector
from tests.agent.running import Scrape, running

WAIT = 120.0
MOST = 1000.0
"""W that a GPU of the demo never draws."""
TOLD = 60
"""Spans with energy that are waited for: some 20 s of them."""
GPU = "GPU-00000000-0000-4000-8000-00000000000"
METHODS = {"time_share", "calibrated_spans", "calibrated_tokens", "calibrated_iterations"}


class Seen(NamedTuple):
    """What came of a demo: the first scrape, how long the agent had run by then, the last scrape, and spans."""

    first: Scrape
    ran: float
    last: Scrape
    open_metrics: str
    keys: list[list[str]]
    spans: list[dict[str, Any]]


def sums(scrape: Scrape) -> tuple[float, float]:
    """J given to requests, by classes and by GPUs."""
    by_class = scrape.values("joulespan_energy_attributed_joules_total")
    return sum(by_class), sum(scrape.values("joulespan_gpu_energy_attributed_joules_total"))


def agree(scrape: Scrape) -> bool:
    """Whether both come to the same. While steps are closed, one may be read before and one after."""
    by_class, by_gpu = sums(scrape)
    return by_class > 0 and by_class == pytest.approx(by_gpu, rel=1e-9, abs=1e-6)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the demo until enough requests were told what they took."""
    log = tmp_path_factory.mktemp("demo") / "log"
    with Collector().running() as collector:
        settings = ["attribution.lateness=2s", f"exporters.traces.endpoint={collector.endpoint}"]
        arguments = [word for setting in settings for word in ("--set", setting)]
        began = time.monotonic()
        with running("demo", *arguments, env=os.environ, log=log) as agent:
            first = agent.until(lambda scrape: len(scrape.values("hw_energy_joules_total", hw_type="gpu")) == 8)

            def told() -> int:
                return sum(b"joulespan.energy" in one for one in collector.raw())

            agent.until(lambda _: told() >= TOLD, WAIT)
            last = agent.until(agree)
            open_metrics = agent.get("/metrics", {"accept": "application/openmetrics-text; version=1.0.0"}).decode()
    spans = [one for one in collector.spans() if one.name == "llm_request"]
    keys = [[pair.key for pair in one.attributes] for one in spans]
    return Seen(first, first.at - began, last, open_metrics, keys, [dict(attributes(one.attributes)) for one in spans])


def with_energy(seen: Seen) -> list[dict[str, Any]]:
    return [one for one in seen.spans if "joulespan.energy" in one]


def test_requests_are_told_what_they_took(seen: Seen) -> None:
    assert len(with_energy(seen)) >= TOLD
    for one in with_energy(seen):
        parts = one["joulespan.energy.prefill"], one["joulespan.energy.decode"]
        assert one["joulespan.energy"] == pytest.approx(sum(parts))
        assert one["joulespan.energy"] > 0
        assert min(parts) >= 0
        assert one["joulespan.energy.uncertainty"] > 0
        assert one["joulespan.gpu.seconds"] > 0
        assert one["joulespan.attribution.method"] in METHODS
        assert one.get("joulespan.energy.modelled") in (None, True)
        assert "joulespan.attribution.coverage" not in one


def test_requests_name_the_gpus_of_their_engine(seen: Seen) -> None:
    served = {tuple(f"{GPU}{index}" for index in deployment.gpus) for deployment in DEMO.values()}
    assert {tuple(one["joulespan.gpu.ids"]) for one in seen.spans} <= served
    assert served == {tuple(one["joulespan.gpu.ids"]) for one in with_energy(seen)}


def test_no_attribute_of_a_span_is_there_twice(seen: Seen) -> None:
    repeated: Counter[str] = Counter()
    for keys in seen.keys:
        repeated.update({key for key, count in Counter(keys).items() if count > 1})
    assert repeated == {}


def test_requests_that_began_before_the_agent_are_told_how_much_is_known_instead(seen: Seen) -> None:
    for one in seen.spans:
        if "joulespan.attribution.coverage" in one:
            assert 0 <= one["joulespan.attribution.coverage"] < 1
            assert not [key for key in one if key.startswith("joulespan.energy")]


def test_no_request_takes_more_than_its_gpus_drew_in_its_time(seen: Seen) -> None:
    for one in with_energy(seen):
        length = one["gen_ai.latency.e2e"] + 1
        assert one["joulespan.energy"] <= MOST * length * len(one["joulespan.gpu.ids"])
        assert one["joulespan.gpu.seconds"] <= length * len(one["joulespan.gpu.ids"])


def test_what_is_measured_of_each_gpu_is_given_to_requests_or_idle_or_nobodys(seen: Seen) -> None:
    told = [labels["hw_id"] for labels in seen.last.labels("joulespan_energy_measured_joules_total")]
    assert sorted(told) == [f"{GPU}{index}" for index in range(8)]
    for gpu in told:
        measured, *parts = (
            seen.last.value(f"joulespan_{name}_joules_total", hw_id=gpu)
            for name in ("energy_measured", "gpu_energy_attributed", "energy_idle", "energy_unattributed")
        )
        assert measured > 0
        assert min(parts) >= 0
        assert measured == pytest.approx(sum(parts), rel=1e-9)


def test_what_the_host_took_is_given_to_requests_or_idle_or_nobodys(seen: Seen) -> None:
    measured, idle, nobodys = (
        seen.last.value(f"joulespan_energy_overhead_{name}_joules_total")
        for name in ("measured", "idle", "unattributed")
    )
    classes = seen.last.values("joulespan_energy_overhead_joules_total")
    assert min(*classes, idle, nobodys) >= 0
    assert sum(classes) > 0
    assert measured == pytest.approx(sum(classes) + idle + nobodys, rel=1e-9)
    node = sum(seen.last.value("joulespan_node_energy_joules_total", part=part) for part in ("cpu", "memory"))
    assert 0 < measured < node


def test_what_is_given_to_requests_is_the_same_by_class_and_by_gpu(seen: Seen) -> None:
    by_class, by_gpu = sums(seen.last)
    assert by_class == pytest.approx(by_gpu, rel=1e-9, abs=1e-6)
    told = seen.last.labels("joulespan_energy_attributed_joules_total")
    assert {labels["engine"] for labels in told} == set(DEMO)
    assert {labels["phase"] for labels in told} == {"prefill", "decode"}


def test_no_more_is_divided_or_held_than_the_gpus_drew(seen: Seen) -> None:
    for index in range(8):
        gpu = f"{GPU}{index}"
        before, after = (scrape.value("hw_energy_joules_total", hw_id=gpu) for scrape in (seen.first, seen.last))
        measured = seen.last.value("joulespan_energy_measured_joules_total", hw_id=gpu)
        held = seen.last.value("joulespan_energy_held_joules", hw_id=gpu)
        assert held >= 0
        # What it drew before the first scrape is divided too.
        assert measured + held <= after - before + MOST * seen.ran


def test_what_gpus_without_an_engine_draw_is_idle(seen: Seen) -> None:
    for index in (6, 7):
        gpu = f"{GPU}{index}"
        measured = seen.last.value("joulespan_energy_measured_joules_total", hw_id=gpu)
        assert seen.last.value("joulespan_energy_idle_joules_total", hw_id=gpu) == pytest.approx(measured, rel=1e-9)
        assert seen.last.value("joulespan_gpu_energy_attributed_joules_total", hw_id=gpu) == 0
        assert seen.last.value("joulespan_energy_held_joules", hw_id=gpu) == 0
        assert 0 < seen.last.value("joulespan_gpu_idle_power_watts", hw_id=gpu) < 200


def test_the_energy_of_requests_leads_to_their_traces(seen: Seen) -> None:
    lines = re.findall(r"^joulespan_request_energy_joules_bucket\{.*", seen.open_metrics, re.MULTILINE)
    found = [re.fullmatch(r'(.*?) \d+ # \{trace_id="\w{32}",span_id="\w{16}"\} (\S+) \S+', line) for line in lines]
    values = [float(one[2]) for one in found if one]
    assert len(values) > 1
    assert min(values) > 0
