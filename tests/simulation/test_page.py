# SPDX-License-Identifier: Apache-2.0
"""A simulated engine's page: vLLM's names, and exactly what the simulation did."""

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agent.simulation import DEMO
from agent.simulation.batching import Batching, Finished, Step
from agent.simulation.deployment import Deployment, Limits
from agent.simulation.engine import Server
from agent.simulation.page import EngineMetrics
from agent.simulation.workload import ClientRequest, Workload

LLAMA = DEMO["llama-3.3-70b"]
RECORDED = Path(__file__).parents[1] / "fixtures/telemetry/vllm/metrics_after.prom"
REQUESTS = st.lists(
    st.builds(
        lambda arrival, cached, more, outputs: ClientRequest(
            arrival, "id", "acme", cached + more, cached, tuple(outputs), 64, 0.7, 1.0, None
        ),
        st.floats(0, 20),
        st.integers(0, 500),
        st.integers(1, 3000),
        st.lists(st.integers(1, 64), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=20,
)


def told(metrics: EngineMetrics) -> Mapping[str, float]:
    """Add up every name of a page."""
    return read(generate_latest(metrics.registry).decode())


def read(page: str) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def run(
    requests: list[ClientRequest], until: float, deployment: Deployment = LLAMA
) -> tuple[Batching, EngineMetrics, list[Finished], list[Step]]:
    metrics, ends, steps = EngineMetrics(deployment), list[Finished](), list[Step]()

    def finished(one: Finished) -> None:
        ends.append(one)
        metrics.finished(one)

    def stepped(step: Step) -> None:
        steps.append(step)
        metrics.stepped(step)

    batching = Batching(deployment, iter(sorted(requests)), finished, stepped)
    batching.advance(until)
    metrics.until(until)
    return batching, metrics, ends, steps


@given(REQUESTS)
def test_when_all_is_done_the_counters_are_what_was_asked_for_and_answered(requests: list[ClientRequest]) -> None:
    batching, metrics, ends, _ = run(requests, 1e6)
    page, outputs = told(metrics), [output for request in requests for output in request.outputs]
    assert page["vllm:request_success_total"] == len(ends) == len(outputs)
    assert page["vllm:generation_tokens_total"] == sum(outputs)
    assert page["vllm:prompt_tokens_total"] == sum(one.prompt_tokens * len(one.outputs) for one in requests)
    work = batching.work(1e6)
    assert page["vllm:prompt_tokens_total"] - page["vllm:prompt_tokens_cached_total"] == work.prefill_tokens
    assert page["vllm:iteration_tokens_total_count"] == work.iterations
    assert page["vllm:iteration_tokens_total_sum"] == work.prefill_tokens + sum(outputs)
    assert page["vllm:inter_token_latency_seconds_count"] == work.decode_tokens == sum(outputs) - len(outputs)
    assert page["vllm:num_requests_running"] == page["vllm:num_requests_waiting"] == 0
    assert page["vllm:kv_cache_usage_perc"] == 0
    assert page["vllm:num_preemptions_total"] == batching.preempted


@given(REQUESTS, st.floats(0, 30))
def test_at_any_time_what_is_over_is_counted_and_nothing_else(requests: list[ClientRequest], until: float) -> None:
    _, metrics, ends, steps = run(requests, until)
    page, over = told(metrics), [step for step in steps if step.end <= until]
    assert page["vllm:iteration_tokens_total_count"] == len(over)
    assert page.get("vllm:request_success_total", 0) == sum(one.last_token <= until for one in ends)
    if over:
        assert page["vllm:num_requests_running"] == over[-1].running
        assert page["vllm:generation_tokens_total"] == over[-1].generated_tokens


def test_preemptions_are_counted_and_their_prompts_only_once() -> None:
    tight = replace(LLAMA, limits=Limits(kv_tokens=200))
    requests = [ClientRequest(0.0, str(place), "acme", 80, 0, (64,), 64, 0.7, 1.0, None) for place in range(2)]
    batching, metrics, _, _ = run(requests, 1e6, tight)
    page = told(metrics)
    assert page["vllm:num_preemptions_total"] == batching.preempted > 0
    assert page["vllm:prompt_tokens_total"] == 160
    assert page["vllm:generation_tokens_total"] == 128


def test_its_names_labels_and_buckets_are_vllms() -> None:
    server = Server(LLAMA)
    server.until(30.0)
    ours, theirs = generate_latest(server.metrics.registry).decode(), RECORDED.read_text()
    assert series(ours) <= series(theirs)


def series(page: str) -> set[tuple[str, ...]]:
    """Give the names and labels, without the model's name."""
    lines = (line.rpartition(" ")[0] for line in page.splitlines() if line and not line.startswith("#"))
    return {(name, *sorted(re.findall(r'(\w+="[^"]*"),?', rest))) for name, _, rest in
            (re.sub(r'model_name="[^"]*"', 'model_name="m"', line).partition("{") for line in lines)}  # fmt: skip


def test_the_page_is_served_on_loopback_and_of_one_moment() -> None:
    server = Server(LLAMA)
    serving = server.metrics.show(lambda: server.stopped(20.0))
    with urllib.request.urlopen(f"http://127.0.0.1:{serving.server_port}/metrics", timeout=30) as answer:
        page = read(answer.read().decode())
    serving.shutdown()
    serving.server_close()
    steps: list[Step] = []
    Batching(LLAMA, Workload(LLAMA.traffic, LLAMA.seed), stepped=steps.append).advance(20.0)
    step = steps[int(page["vllm:iteration_tokens_total_count"]) - 1]
    assert page["vllm:generation_tokens_total"] == step.generated_tokens
    assert page["vllm:prompt_tokens_total"] == step.computed_tokens + step.cached_tokens
    assert page["vllm:num_requests_running"] == pytest.approx(step.running)
