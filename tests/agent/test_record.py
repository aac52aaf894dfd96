# SPDX-License-Identifier: Apache-2.0
"""`joulespan record`: an agent that writes down what it sees, and what can be made of it."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from agent.__main__ import main
from tests.agent.running import Scrape, running

TOTAL = re.compile(r"attributed (\S+) \+ idle (\S+) \+ unattributed (\S+) = measured (\S+) J, 8 GPUs")


def served(scrape: Scrape) -> float:
    return sum(scrape.values("gen_ai_server_request_duration_seconds_count"))


def counters(place: Path) -> dict[str, list[tuple[int, float]]]:
    """The energy counter of each GPU as it was recorded: unix ns and J."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in (place / "metrics.jsonl").read_text().splitlines():
        for metric in json.loads(line)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]:
            if metric["name"] == "hw.energy":
                for point in metric["sum"]["dataPoints"]:
                    told = {pair["key"]: pair["value"]["stringValue"] for pair in point["attributes"]}
                    if told["hw.type"] == "gpu":
                        at = int(point["timeUnixNano"])
                        found.setdefault(told["hw.id"], []).append((at, point["asDouble"]))
    return found


def test_the_energy_of_a_recorded_demo_adds_up_to_what_its_counters_grew_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "recording"
    with running("record", str(place), "--demo", env=os.environ, log=tmp_path / "log") as agent:
        agent.until(lambda scrape: served(scrape) >= 20, 60)
        assert agent.scrape().value("joulespan_queue_dropped_total", queue="recording") == 0
        agent.stop()
        assert agent.process.returncode == 0
        assert re.search(r"\d+ points and \d+ spans, \d+\.\d MiB$", agent.log.strip())
    assert main(["attribute", str(place)]) == 0
    printed = capsys.readouterr().out
    found = TOTAL.search(printed)
    assert found, printed
    given, idle, nobody, measured = (float(one) for one in found.groups())
    assert given + idle + nobody == pytest.approx(measured, abs=0.2)
    grown = sum(points[-1][1] - points[0][1] for points in counters(place).values())
    assert measured == pytest.approx(grown, abs=0.1)
    assert given > 0
    assert "llama-3.3-70b" in printed
    assert "have no GPUs" not in printed
    assert printed.splitlines()[-2] == "recorded by a demo: nothing of this was measured"


def test_a_disk_that_takes_no_more_ends_the_recording_and_not_the_agent(tmp_path: Path) -> None:
    place = tmp_path / "recording"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Inherited by the agent, to whom it is a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with running("record", str(place), "--demo", env=os.environ, log=tmp_path / "log") as agent:
            dropped = "joulespan_queue_dropped_total"
            agent.until(lambda scrape: sum(scrape.values(dropped, queue="recording")) > 0, 60)
            first = served(agent.scrape())
            agent.until(lambda scrape: served(scrape) > first, 60)
            agent.stop()
            assert agent.process.returncode == 1
            said = re.findall(r"ERROR joulespan\.recording: (.*)", agent.log)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said == [
        f"{place}/metrics.jsonl: cannot be written to: File too large; the recording ends here, and the agent goes on"
    ]
    for name in ("metrics.jsonl", "traces.jsonl"):
        text = (place / name).read_text()
        assert text.endswith("\n") or not text
        assert all(json.loads(line) for line in text.splitlines())


def test_a_folder_with_something_in_it_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    command = [sys.executable, "-m", "agent", "record", str(tmp_path), "--demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == f"joulespan: {tmp_path}: is not empty; name a folder that is empty or does not exist\n"
