# SPDX-License-Identifier: Apache-2.0
"""Activity under load, and what the agent costs on this machine."""

import time
from pathlib import Path

import psutil
import pytest

from tests.agent.running import RunningAgent
from tests.hardware.conftest import load

pytestmark = pytest.mark.hardware
SECONDS = 20.0


def test_a_load_shows_in_utilization_and_in_the_multiprocessors(agent: RunningAgent, tmp_path: Path) -> None:
    """Neither is told of a GPU in MIG mode; the second needs Hopper or later."""
    with load(40, tmp_path / "load") as loaded:
        if not loaded:
            pytest.skip("the GPU cannot be kept busy here: neither torch nor libcuda.so.1 works")
        time.sleep(5)
        scrape = agent.scrape()
    values = {
        name: scrape.values(name, hw_name="gpu0", **labels)
        for name, labels in (
            ("hw_gpu_utilization_ratio", {"hw_gpu_task": "general"}),
            ("joulespan_gpu_graphics_active_ratio", {}),
            ("joulespan_gpu_sm_active_ratio", {}),
            ("joulespan_gpu_sm_occupancy_ratio", {}),
            ("joulespan_gpu_dram_active_ratio", {}),
            ("hw_power_watts", {}),
        )
    }
    print("\nunder load:")
    for name, value in values.items():
        print(f"  {name}: {value[0] if value else 'not told'}")
    for pipe in sorted(scrape.labels("joulespan_gpu_pipe_active_ratio"), key=lambda labels: labels["pipe"]):
        if pipe["hw_name"] == "gpu0":
            print(f"  pipe {pipe['pipe']}: {scrape.value('joulespan_gpu_pipe_active_ratio', **pipe)}")
    told = [name for name in ("hw_gpu_utilization_ratio", "joulespan_gpu_sm_active_ratio") if values[name]]
    if not told:
        pytest.skip("this GPU tells neither its utilization nor its activity")
    assert [name for name in told if values[name][0] <= 0.5] == []


def test_what_the_agent_costs_here(agent: RunningAgent) -> None:
    """Figures, no limits: this machine may be busy with something else."""
    agent.until(lambda scrape: scrape.values("joulespan_collector_success", collector="gpu_processes"))
    (reader,) = agent.readers()
    processes = {"agent": psutil.Process(agent.process.pid), "reader": psutil.Process(reader)}
    began = time.monotonic()
    before = {name: process.cpu_times() for name, process in processes.items()}
    time.sleep(SECONDS)
    after = {name: process.cpu_times() for name, process in processes.items()}
    took = time.monotonic() - began
    print(f"\nCPU over {took:.1f} s, not scraped meanwhile:")
    for name, process in processes.items():
        user = (after[name].user - before[name].user) / took
        system = (after[name].system - before[name].system) / took
        memory = process.memory_info().rss / (1 << 20)
        print(f"  {name}: {user:.2%} of a core in user mode, {system:.2%} in the kernel, {memory:.1f} MiB resident")
    scrape = agent.scrape()
    durations = {
        labels["collector"]: scrape.value("joulespan_collector_duration_seconds", **labels)
        for labels in scrape.labels("joulespan_collector_duration_seconds")
    }
    print("the last run of each collector, over all GPUs:")
    for collector, seconds in sorted(durations.items(), key=lambda one: -one[1]):
        print(f"  {collector:20} {seconds * 1e3:8.3f} ms")
    assert "gpu_energy" in durations


def test_every_collector_succeeds(agent: RunningAgent) -> None:
    scrape = agent.scrape()
    for labels in scrape.labels("joulespan_collector_failures_total"):
        print(f"\n{labels}: {scrape.value('joulespan_collector_failures_total', **labels):g} failures", end="")
    failed = [
        labels["collector"]
        for labels in scrape.labels("joulespan_collector_success")
        if not scrape.value("joulespan_collector_success", **labels)
    ]
    assert failed == []
