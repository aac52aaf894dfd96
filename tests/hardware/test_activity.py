# SPDX-License-Identifier: Apache-2.0
"""Activity under load, and what the agent costs on this machine."""

import time
from pathlib import Path

import pytest

from tests.agent.running import RunningAgent
from tests.hardware.conftest import load

pytestmark = pytest.mark.hardware


def test_a_load_shows_in_utilization_and_in_the_multiprocessors(agent: RunningAgent, tmp_path: Path) -> None:
    with load(40, tmp_path / "load") as loaded:
        if not loaded:
            pytest.skip("the GPU cannot be kept busy here: neither torch nor libcuda.so.1 works")
        time.sleep(5)
        scrape = agent.scrape()
    values = {
        name: scrape.values(name, hw_name="gpu0", **labels)
        for name, labels in (
            ("hw_gpu_utilization_ratio", {"hw_gpu_task": "general"}),
            ("joulespan_gpu_sm_active_ratio", {}),
            ("joulespan_gpu_sm_occupancy_ratio", {}),
        )
    }
    print(f"\nunder load: {values}")
    assert not values["hw_gpu_utilization_ratio"] or values["hw_gpu_utilization_ratio"][0] > 0.5
    assert not values["joulespan_gpu_sm_active_ratio"] or values["joulespan_gpu_sm_active_ratio"][0] > 0.5


def test_what_the_agent_costs_here(agent: RunningAgent) -> None:
    before = agent.until(lambda scrape: scrape.values("joulespan_process_cpu_time_seconds_total", process="reader"))
    time.sleep(20)
    after = agent.scrape()
    print()
    for process in ("agent", "reader"):
        name = "joulespan_process_cpu_time_seconds_total"
        # Read every 5 s, so the window is the nearest multiple of that.
        spent = after.value(name, process=process) - before.value(name, process=process)
        memory = after.value("joulespan_process_memory_usage_bytes", process=process) / (1 << 20)
        print(f"{process}: about {spent / 20:.2%} of a core, {memory:.1f} MiB resident")
    durations = {
        labels["collector"]: after.value("joulespan_collector_duration_seconds", **labels)
        for labels in after.labels("joulespan_collector_duration_seconds")
    }
    for collector, seconds in sorted(durations.items(), key=lambda one: -one[1]):
        print(f"{collector:20} {seconds * 1e3:8.3f} ms for all GPUs")
    assert all(seconds < 5 for seconds in durations.values()), "no collector is slower than the reader's deadline"


def test_every_collector_succeeds(agent: RunningAgent) -> None:
    scrape = agent.scrape()
    failed = [
        labels["collector"]
        for labels in scrape.labels("joulespan_collector_success")
        if not scrape.value("joulespan_collector_success", **labels)
    ]
    assert failed == []
