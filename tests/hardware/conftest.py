# SPDX-License-Identifier: Apache-2.0
"""A machine with a real GPU, or none: then every test here is skipped and says why."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent.running import RunningAgent, running

_ASK = "import pynvml; pynvml.nvmlInit(); print(pynvml.nvmlDeviceGetCount())"
_START = 60.0
"""Seconds that a load gets to start: torch and a first CUDA context take their time."""


@pytest.fixture(scope="session", autouse=True)
def gpus() -> int:
    """Count the GPUs; asked in a process of its own, so that NVML is never loaded in this one."""
    done = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode or not int(done.stdout):
        why = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no GPU"
        pytest.skip(f"no NVIDIA GPU can be read here: {why}")
    return int(done.stdout)


@pytest.fixture(scope="module")
def agent(gpus: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """Give the agent as it runs on this machine; slow groups each second."""
    log = tmp_path_factory.mktemp("agent") / "log"
    with running("run", "--set", "collectors.gpu.slow_interval=1s", env=dict(os.environ), log=log) as agent:
        agent.until(lambda scrape: len(scrape.values("joulespan_gpu_info")) == gpus, 60)
        agent.until(lambda scrape: scrape.values("joulespan_collector_success", collector="gpu_processes"), 60)
        yield agent


@contextmanager
def load(seconds: float, log: Path) -> Iterator[bool]:
    """Keep GPU 0 busy; gives whether there is a load, and says so where there is none."""
    command = [sys.executable, "-m", "tests.hardware.load", str(seconds)]
    # CUDA counts GPUs as NVML does only if told to, and leaves out those that it is told to hide.
    env = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    env.pop("CUDA_VISIBLE_DEVICES", None)
    with log.open("w") as output, subprocess.Popen(command, env=env, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + _START
            while process.poll() is None and "running" not in log.read_text().splitlines():
                assert time.monotonic() < deadline, f"the load does not start: {log.read_text()}"
                time.sleep(0.05)
            ready = process.poll() is None
            print(f"\n{log.read_text().strip()}" if ready else f"\nno load: {log.read_text().strip()}")
            yield ready
        finally:
            process.kill()
