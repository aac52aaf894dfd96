# SPDX-License-Identifier: Apache-2.0
"""The agent on a node whose driver works: what it shows and how it behaves."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.collectors.node import discover
from agent.system.nvml import waves
from tests.agent.conftest import GPUS, LINKS, complete
from tests.agent.running import RunningAgent, running
from tests.mock_nvml.control import ControlFile, MockNvml

GOLDEN = Path(__file__).parent.parent / "golden"
SERIES_BUDGET = 300
"""Series per GPU with default settings (design, section 8)."""


def test_every_gpu_and_every_link_is_shown(agent: RunningAgent) -> None:
    scrape = agent.until(lambda scrape: scrape.value("joulespan_node_gpus", state="reachable") == GPUS)
    assert len(scrape.values("hw_power_watts", hw_type="gpu")) == GPUS
    links = {(has["hw_id"], has["link"]) for has in scrape.labels("joulespan_nvlink_io_bytes_total")}
    assert len(links) == GPUS * LINKS


@pytest.mark.parametrize("model", ["h100", "gb200", "a100", "l40s"])
def test_the_whole_scrape_has_the_series_of_the_golden_file(model: str, mock_nvml: MockNvml, tmp_path: Path) -> None:
    """Values move with the clock, so the golden files hold the series without them."""
    env = mock_nvml.env(keys={"model": model, "gpus": 1, "procs.0": "1:1024:C"})
    # What the node itself has is another thing on each machine; tests/collectors has goldens of nodes that are known.
    # The rack is what its GPUs say.
    others = [one.name for one in discover() if one.name != "rack"]
    alone = [word for name in others for word in ("--set", f"collectors.{name}.enabled=false")]
    with running("run", *alone, env=env, log=tmp_path / "log") as agent:
        # The activity of two samples is the last to come; before Hopper there is none, and the GPU's processes are.
        last = (
            "joulespan_gpu_process_utilization_ratio" if model in ("a100", "l40s") else "joulespan_gpu_sm_active_ratio"
        )
        scrape = agent.until(
            lambda scrape: (
                scrape.values(last)
                and scrape.values("joulespan_gpu_info")
                and scrape.values("joulespan_gpu_last_read_seconds")
                and scrape.values("joulespan_exporter_last_success_seconds")
                and scrape.values("joulespan_process_memory_usage_bytes", process="reader")
                and scrape.values("joulespan_collector_last_success_seconds", collector="requests")
                and scrape.values("joulespan_collector_success", collector="rack")
                and (model != "gb200" or scrape.values("joulespan_rack_complete"))
            )
        )
    found = sorted(line.rpartition(" ")[0] for line in scrape.text.splitlines() if not line.startswith("#"))
    # What is the machine's: its name, and its own process.
    text = "\n".join(re.sub(r"^target_info.*", "target_info", line) for line in found) + "\n"
    golden = GOLDEN / f"scrape-{model}.txt"
    if not golden.exists():
        golden.write_text(text)
        pytest.fail(f"{golden.name} was missing and has been written: read it, and run again")
    assert text == golden.read_text()
    assert sum("hw_id=" in line for line in found) <= SERIES_BUDGET


def test_energy_over_any_window_is_the_exact_integral(agent: RunningAgent) -> None:
    """To one step of the counter on each side, as the JSON tells when each value was read."""

    def read() -> list[tuple[int, float, float]]:
        snapshot = json.loads(agent.get("/api/v1/snapshot"))
        (energy,) = [metric for metric in snapshot["metrics"] if metric["name"] == "hw.energy"]
        since_boot = time.time() - time.monotonic()
        return [
            (int(point["attributes"]["hw.name"][3:]), point["time"] - since_boot, point["value"])
            for point in energy["points"]
        ]

    before = read()
    time.sleep(2)
    for (gpu, started, first), (same, ended, last) in zip(before, read(), strict=True):
        assert gpu == same
        exact = waves.energy(gpu, ended) - waves.energy(gpu, started)
        step = 0.1 * waves.power(gpu, ended) * 1.5
        assert last - first == pytest.approx(exact, abs=step)


def test_promtool_has_nothing_to_say_but_of_names_that_opentelemetry_gives(agent: RunningAgent) -> None:
    said = subprocess.run(
        ["promtool", "check", "metrics"], input=agent.get("/metrics"), capture_output=True, check=False
    )
    complaints = [line for line in said.stderr.decode().splitlines() if not re.match(r"system_\w+_count ", line)]
    assert (said.stdout, complaints) == (b"", [])


def test_processes_are_shown_by_name_and_never_by_arguments(mock_nvml: MockNvml, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "--secret"]) as job:
        try:
            env = mock_nvml.env(keys={"gpus": 1, "procs.0": f"{job.pid}:2048:C"})
            with running("run", env=env, log=tmp_path / "log") as agent:
                scrape = agent.until(lambda scrape: scrape.values("joulespan_gpu_process_memory_usage_bytes"))
        finally:
            job.kill()
    (labels,) = scrape.labels("joulespan_gpu_process_memory_usage_bytes")
    assert labels["process_pid"] == str(job.pid)
    assert labels["process_executable_name"].startswith("python")
    assert "secret" not in scrape.text


def test_an_xid_between_two_scrapes_is_counted_once_and_has_its_time(
    agent: RunningAgent, nvml_control: ControlFile
) -> None:
    assert agent.scrape().values("joulespan_gpu_xid_total") == []
    raised = time.time()
    nvml_control.set(**{"xid.3": "1:79"})
    scrape = agent.until(lambda scrape: scrape.values("joulespan_gpu_xid_total"))
    time.sleep(1.5)
    scrape = agent.scrape()
    assert scrape.value("joulespan_gpu_xid_total", hw_name="gpu3", xid="79") == 1
    assert scrape.value("joulespan_gpu_xid_last_seen_seconds", hw_name="gpu3", xid="79") == pytest.approx(raised, abs=2)
    nvml_control.set(**{"xid.3": "1:79,2:79,3:31"})
    scrape = agent.until(lambda scrape: scrape.values("joulespan_gpu_xid_total", xid="31"))
    scrape = agent.until(lambda scrape: scrape.value("joulespan_gpu_xid_total", xid="79") == 2)
    assert scrape.value("joulespan_gpu_xid_total", xid="31") == 1


def test_the_dcgm_names_appear_after_a_reload_and_a_bad_file_changes_nothing(
    mock_nvml: MockNvml, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("exporters: { prometheus: { dcgm_names: false } }\n")
    with running("run", "--config", str(config), env=mock_nvml.env(), log=tmp_path / "log") as agent:
        assert not agent.until(complete).values("DCGM_FI_DEV_POWER_USAGE")
        config.write_text("exporters: { prometheus: { dcgm_names: true } }\n")
        agent.process.send_signal(signal.SIGHUP)
        scrape = agent.until(lambda scrape: scrape.values("DCGM_FI_DEV_POWER_USAGE"))
        assert scrape.labels("DCGM_FI_DEV_GPU_TEMP")[0].keys() >= {"gpu", "UUID", "pci_bus_id", "device", "modelName"}
        config.write_text("exporters: { prometheus: { dcgm_name: true } }\n")
        agent.process.send_signal(signal.SIGHUP)
        scrape = agent.until(lambda scrape: scrape.values("joulespan_config_reloads_total", outcome="refused") == [1.0])
        assert scrape.values("DCGM_FI_DEV_POWER_USAGE")
        assert "did you mean `dcgm_names`?" in agent.log


def test_a_taken_port_is_one_line_and_exit_code_2(agent: RunningAgent, mock_nvml: MockNvml) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "agent", "run", "--listen", agent.url.removeprefix("http://")],
        env=mock_nvml.env(),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert second.returncode == 2
    (line,) = second.stderr.splitlines()
    assert "cannot be had: Address already in use" in line


def test_sigterm_ends_it_and_its_reader(agent: RunningAgent) -> None:
    (reader,) = agent.readers()
    agent.stop()
    assert agent.process.returncode == 0
    assert not Path(f"/proc/{reader}").exists()


def test_sigusr1_lets_go_of_the_driver(agent: RunningAgent) -> None:
    (reader,) = agent.readers()
    agent.process.send_signal(signal.SIGUSR1)
    # The agent's own metrics are made anew once a second.
    agent.until(
        lambda scrape: (
            not Path(f"/proc/{reader}").exists()
            and not scrape.values("hw_power_watts", hw_type="gpu")
            and scrape.value("joulespan_reader_up") == 0
        )
    )
    assert agent.readers() == []


def test_the_demo_says_that_it_is_one(tmp_path: Path, mock_nvml: MockNvml) -> None:
    with running("demo", env=mock_nvml.env(), log=tmp_path / "log") as agent:
        scrape = agent.until(complete)
        assert len(scrape.values("hw_power_watts", hw_type="gpu")) == GPUS
        assert scrape.labels("joulespan_build_info")[0]["mode"] == "demo"
        assert b"simulated" in agent.get("/")
        assert "demo" in agent.log


def test_a_demo_of_n_seconds_ends_by_itself(tmp_path: Path, mock_nvml: MockNvml) -> None:
    with running("demo", "--seconds", "1", env=mock_nvml.env(), log=tmp_path / "log") as agent:
        assert agent.process.wait(20) == 0


def test_it_is_ready_once_the_reader_has_spoken_even_without_a_driver(tmp_path: Path, mock_nvml: MockNvml) -> None:
    env = {**mock_nvml.env(), "LD_LIBRARY_PATH": str(tmp_path)}
    with running("run", env=env, log=tmp_path / "log") as agent:
        scrape = agent.until(lambda _: "no driver" in agent.log)
        assert agent.get("/readyz") == b"ready\n"
        assert agent.get("/healthz") == b"ok\n"
        agent.until(lambda scrape: scrape.value("joulespan_reader_up") == 0)
        assert scrape.values("hw_power_watts", hw_type="gpu") == []
