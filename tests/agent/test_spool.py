# SPDX-License-Identifier: Apache-2.0
"""What a back end that is away missed, over the end of one agent and the beginning of the next."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.agent.collector import Collector
from tests.agent.running import RunningAgent, Scrape, running
from tests.agent.test_spans import RECORDINGS, bodies, raw, send
from tests.exporters.receivers import Rotel, free_port, until
from tests.mock_nvml.control import MockNvml

SENT = [span for body in bodies(RECORDINGS["vllm over gRPC"]) for span in raw(body)]
ON_DISK = "joulespan_queue_disk_usage_bytes"


def settings(traces: int, metrics: str) -> list[str]:
    told = {
        "exporters.traces.endpoint": f"http://127.0.0.1:{traces}",
        "exporters.otlp.endpoint": metrics,
        "exporters.otlp.interval": "1s",
    }
    return [part for key, value in told.items() for part in ("--set", f"{key}={value}")]


def trace(agent: RunningAgent) -> None:
    for body in bodies(RECORDINGS["vllm over gRPC"]):
        send(agent, "otlp_grpc", body)


def waits(scrape: Scrape) -> bool:
    """Whether spans and metrics are on disk, and no span anywhere else."""
    filled = scrape.values("joulespan_queue_utilization_ratio", queue="spans")
    return all(scrape.value(ON_DISK, queue=queue) for queue in ("traces", "otlp")) and not any(filled)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_the_next_agent_sends_what_the_last_one_could_not(
    ending: signal.Signals, mock_nvml: MockNvml, tmp_path: Path
) -> None:
    behind, rotel = free_port(), Rotel(tmp_path)
    arguments, env = settings(behind, rotel.endpoints["grpc"]), mock_nvml.env(keys={"gpus": 2})
    with running("run", *arguments, env=env, log=tmp_path / "first") as first:
        trace(first)
        first.until(waits)
        # Each 5 s what waits goes to the disk: of one that is killed the last spans too.
        time.sleep(6)
        first.stop(ending)
    ended = time.time_ns()
    assert (tmp_path / "state/spool/traces").stat().st_mode & 0o077 == 0, "for nobody else"
    if ending is signal.SIGTERM:
        assert f"otlp: stopped, bytes with spans for http://127.0.0.1:{behind} kept on disk: " in first.log
    with (
        Collector(behind).running() as collector,
        rotel.running(),
        running("run", *arguments, env=env, log=tmp_path / "second") as second,
    ):
        second.until(lambda scrape: not scrape.value(ON_DISK, queue="traces"))
        second.until(lambda scrape: not scrape.value(ON_DISK, queue="otlp"))
        until(lambda: len(collector.raw()) == len(SENT))
        until(lambda: any(point.time < ended for push in rotel.pushes() for point in push.points))
        second.stop()
    assert Counter(collector.raw()) == Counter(SENT)
    assert list((tmp_path / "state/spool/traces").iterdir()) == []


def test_an_update_that_overlaps_loses_nothing(mock_nvml: MockNvml, tmp_path: Path) -> None:
    """As a DaemonSet does with maxSurge: the next agent runs before the last one ends."""
    behind, rotel = free_port(), Rotel(tmp_path)
    arguments, env = settings(behind, rotel.endpoints["grpc"]), mock_nvml.env(keys={"gpus": 2})
    with running("run", *arguments, env=env, log=tmp_path / "first") as first:
        trace(first)
        first.until(waits)
        with running("run", *arguments, env=env, log=tmp_path / "second") as second:
            first.stop()
            with Collector(behind).running() as collector:
                until(lambda: len(collector.raw()) == len(SENT), 60)
                second.until(lambda scrape: not scrape.value(ON_DISK, queue="traces"))
    assert Counter(collector.raw()) == Counter(SENT)
