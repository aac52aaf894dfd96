# SPDX-License-Identifier: Apache-2.0
"""The agent on a node whose driver or GPUs fail: what still works, what is said, and that it comes back."""

import subprocess
import sys
import time

from tests.agent.conftest import GPUS, complete
from tests.agent.running import RunningAgent, Scrape
from tests.mock_nvml.control import ControlFile, MockNvml

STALE = 5.0
"""Seconds after which a value that cannot be read must be gone."""
SLACK = 2.0
"""Seconds of leave for a busy machine."""


def fresh(agent: RunningAgent, count: int) -> bool:
    """Whether the energy of `count` GPUs moves within a second and a half."""
    before = agent.scrape()
    time.sleep(1.5)
    after = agent.scrape()
    moved = [
        series
        for series, value in after.samples.items()
        if series[0] == "hw_energy_joules_total" and value > before.samples.get(series, value)
    ]
    return len(moved) == count


def gone(scrape: Scrape, *names: str) -> bool:
    """Whether a GPU has no measured series."""
    measured = [
        labels["hw_name"]
        for name in ("hw_power_watts", "hw_energy_joules_total", "joulespan_gpu_info", "joulespan_nvlink_state")
        for labels in scrape.labels(name)
    ]
    return not set(names) & set(measured)


def test_a_gpu_that_falls_off_the_bus_costs_only_its_own_series(agent: RunningAgent, nvml_control: ControlFile) -> None:
    nvml_control.set(**{"lost.2": 1})
    scrape = agent.until(lambda scrape: gone(scrape, "gpu2"), STALE + SLACK)
    assert len(scrape.values("hw_power_watts", hw_type="gpu")) == GPUS - 1
    assert fresh(agent, GPUS - 1)
    scrape = agent.until(lambda scrape: scrape.value("joulespan_node_gpus", state="lost") == 1)
    assert scrape.value("hw_status", hw_name="gpu2", hw_state="failed") == 1
    assert scrape.value("joulespan_gpu_last_read_seconds", hw_name="gpu2") < time.time()
    nvml_control.clear()
    agent.until(complete)
    agent.until(lambda scrape: not scrape.values("hw_status", hw_name="gpu2", hw_state="failed"))


def test_a_call_that_hangs_for_ever_costs_its_gpu_and_is_named(agent: RunningAgent, nvml_control: ControlFile) -> None:
    nvml_control.set(**{"hang.gpu.2": 1})
    scrape = agent.until(lambda scrape: gone(scrape, "gpu2"), STALE + SLACK)
    started = time.monotonic()
    agent.get("/metrics")
    assert time.monotonic() - started < 1
    scrape = agent.until(lambda scrape: len(scrape.values("hw_power_watts", hw_type="gpu")) == GPUS - 1)
    assert fresh(agent, GPUS - 1)
    scrape = agent.until(lambda scrape: scrape.value("joulespan_node_gpus", state="hung") == 1)
    assert scrape.value("joulespan_reader_stuck") == 1
    assert scrape.value("joulespan_reader_starts_total") == 2
    assert scrape.value("hw_status", hw_name="gpu2", hw_state="failed") == 1
    assert "on gpu2" in agent.log
    nvml_control.clear()
    scrape = agent.until(complete)
    agent.until(lambda scrape: scrape.value("joulespan_reader_stuck") == 0)
    agent.until(lambda scrape: scrape.value("joulespan_node_gpus", state="hung") == 0)
    assert fresh(agent, GPUS)


def test_a_driver_that_hangs_altogether_leaves_no_stale_value_and_is_said(
    agent: RunningAgent, nvml_control: ControlFile
) -> None:
    nvml_control.set(**{"hang.all": 1})
    every = [f"gpu{index}" for index in range(GPUS)]
    agent.until(lambda scrape: gone(scrape, *every), STALE + SLACK)
    scrape = agent.until(lambda scrape: scrape.value("joulespan_reader_up") == 0)
    silent = agent.until(lambda scrape: scrape.value("joulespan_reader_silence_seconds") > 1)
    assert silent.value("joulespan_collector_success", collector="agent") == 1
    assert scrape.value("joulespan_build_info") == 1
    nvml_control.clear()
    agent.until(complete)
    assert fresh(agent, GPUS)


def test_sigterm_ends_it_within_five_seconds_even_with_a_hung_driver(
    agent: RunningAgent, nvml_control: ControlFile
) -> None:
    nvml_control.set(**{"hang.all": 1})
    agent.until(lambda scrape: not scrape.values("hw_power_watts", hw_type="gpu"), STALE + SLACK)
    assert agent.stop() < 5
    assert agent.process.returncode == 0


def test_a_driver_restart_is_survived_and_its_counters_start_again(
    agent: RunningAgent, nvml_control: ControlFile
) -> None:
    before = agent.scrape().value("hw_energy_joules_total", hw_name="gpu0")
    nvml_control.set(driver="down")
    agent.until(lambda scrape: not scrape.values("hw_power_watts", hw_type="gpu"), STALE + SLACK)
    agent.until(lambda scrape: scrape.value("joulespan_reader_up") == 0)
    nvml_control.set(**{"driver": "up", "driver.t0": time.monotonic(), "driver.version": "590.00.01"})
    scrape = agent.until(complete)
    assert scrape.value("hw_energy_joules_total", hw_name="gpu0") < before
    assert {labels["hw_driver_version"] for labels in scrape.labels("joulespan_gpu_info")} == {"590.00.01"}


def test_a_reading_that_fails_costs_that_reading_and_is_counted(agent: RunningAgent, nvml_control: ControlFile) -> None:
    nvml_control.set(**{"error.nvmlDeviceGetUtilizationRates.1": "UNKNOWN"})
    scrape = agent.until(
        lambda scrape: len(scrape.values("hw_gpu_utilization_ratio", hw_gpu_task="general")) == GPUS - 1
    )
    scrape = agent.until(
        lambda scrape: scrape.values("joulespan_collector_success", collector="gpu_utilization") == [0]
    )
    assert scrape.value("joulespan_collector_failures_total", collector="gpu_utilization", error_type="Unavailable") > 0
    assert len(scrape.values("hw_power_watts", hw_type="gpu")) == GPUS


def test_links_ecc_throttling_and_recovery_show_as_they_happen(agent: RunningAgent, nvml_control: ControlFile) -> None:
    nvml_control.set(
        **{"link.1.4": 0, "ecc.2": "7,3", "throttle.3": "40", "recovery.4": 1, "remap.5": "1,2,1,0"},
    )
    scrape = agent.until(
        lambda scrape: scrape.values("joulespan_nvlink_state", hw_name="gpu1", link="4", state="inactive")
    )
    scrape = agent.until(lambda scrape: scrape.values("joulespan_gpu_recovery_action", hw_name="gpu4", action="reset"))
    assert scrape.value("hw_status", hw_name="gpu4", hw_state="degraded") == 1
    assert scrape.value("joulespan_gpu_throttle_active", hw_name="gpu3", reason="hw_thermal") == 1
    assert scrape.value("joulespan_gpu_remapped_rows_pending", hw_name="gpu5") == 1
    ecc = {"hw_name": "gpu2", "location": "dram", "lifetime": "volatile"}
    assert scrape.value("joulespan_gpu_ecc_errors_total", error_type="uncorrected", **ecc) == 3
    first = scrape.value("joulespan_gpu_throttle_duration_seconds_total", hw_name="gpu3", reason="hw_thermal")
    agent.until(
        lambda scrape: (
            scrape.value("joulespan_gpu_throttle_duration_seconds_total", hw_name="gpu3", reason="hw_thermal")
            > first + 0.5
        )
    )


def test_mig_instances_appear_when_the_mode_is_switched_on(agent: RunningAgent, nvml_control: ControlFile) -> None:
    nvml_control.set(**{"mig.0": 3})
    scrape = agent.until(lambda scrape: len(scrape.values("joulespan_mig_memory_usage_bytes")) == 3)
    assert {labels["hw_parent"] for labels in scrape.labels("joulespan_mig_memory_usage_bytes")} == {
        labels["hw_id"] for labels in scrape.labels("joulespan_gpu_info") if labels["hw_name"] == "gpu0"
    }
    agent.until(lambda scrape: not scrape.values("hw_gpu_utilization_ratio", hw_name="gpu0"))
    nvml_control.clear()
    agent.until(lambda scrape: not scrape.values("joulespan_mig_memory_usage_bytes"))
    agent.until(lambda scrape: scrape.values("hw_gpu_utilization_ratio", hw_name="gpu0", hw_gpu_task="general"))


def test_doctor_tells_a_broken_node_from_a_good_one(mock_nvml: MockNvml, nvml_control: ControlFile) -> None:
    def doctor() -> tuple[int, str]:
        env = mock_nvml.env(control=nvml_control, keys={"gpus": 2})
        command = [sys.executable, "-m", "agent", "doctor"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout

    code, text = doctor()
    assert code == 0, text
    assert "2 GPUs" in text
    assert "SRAM error threshold: root" in text
    nvml_control.set(**{"lost.1": 1})
    code, text = doctor()
    assert code == 1
    assert "BROKEN gpu1" in text
    nvml_control.set(driver="down")
    code, text = doctor()
    assert code == 1
    assert "BROKEN driver" in text
