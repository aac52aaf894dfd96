# SPDX-License-Identifier: Apache-2.0
"""An agent on the mock driver, and its fault switch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.running import RunningAgent, Scrape, running
from tests.mock_nvml.control import ControlFile, MockNvml

LINKS = 18
GPUS = 8


def complete(scrape: Scrape) -> bool:
    """Whether every GPU and every link is there."""
    return len(scrape.values("joulespan_nvlink_io_bytes_total")) == GPUS * LINKS * 2 and bool(
        scrape.values("joulespan_gpu_info")
    )


@pytest.fixture
def agent(mock_nvml: MockNvml, nvml_control: ControlFile, tmp_path: Path) -> Iterator[RunningAgent]:
    """Give a running agent that has read everything once. The slow groups are read every second."""
    settings = ["--set", "collectors.gpu.slow_interval=1s"]
    with running("run", *settings, env=mock_nvml.env(control=nvml_control), log=tmp_path / "log") as agent:
        agent.until(complete)
        yield agent
