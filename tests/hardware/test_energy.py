# SPDX-License-Identifier: Apache-2.0
"""The energy counter against power integrated over 30 s of load, and how often both move."""

import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.agent.running import RunningAgent
from tests.hardware.conftest import load

pytestmark = pytest.mark.hardware
SECONDS = 30.0
PAUSE = 0.2
Point = tuple[float, float]
_POLL = """
import sys, time
from agent.system.nvml import fields
from agent.system.nvml.library import PynvmlLibrary
pause = float(sys.argv[1])
device = PynvmlLibrary().open(0)
reader = device.fields([fields.ENERGY, fields.POWER_INSTANT])
end = time.monotonic() + 10
while time.monotonic() < end:
    before = time.monotonic()
    energy, power = reader.read()
    print(before, time.monotonic() - before, energy, power)
    time.sleep(pause)
"""


def points(agent: RunningAgent) -> dict[str, Point]:
    """Time and value of energy, power and averaged power of GPU 0, from one snapshot."""
    found: dict[str, Point] = {}
    for metric in json.loads(agent.get("/api/v1/snapshot"))["metrics"]:
        for point in metric["points"]:
            if point["attributes"].get("hw.name") == "gpu0" and point["attributes"].get("scope", "gpu") == "gpu":
                found[metric["name"]] = (point["time"], point["value"])
    return found


def integral(samples: list[Point]) -> float:
    """Joules, by trapezoids."""
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(samples))


def between(samples: list[Point], begin: float, end: float) -> list[Point]:
    """Samples of a window, each moment once."""
    moments = dict(samples)
    return sorted((at, value) for at, value in moments.items() if begin <= at <= end)


def test_energy_is_integrated_power(agent: RunningAgent, tmp_path: Path) -> None:
    """Each side has its own window: the times at which the agent read the values, which move in steps."""
    with load(SECONDS + 20, tmp_path / "load") as loaded:
        time.sleep(5)
        seen: list[dict[str, Point]] = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            seen.append(points(agent))
            time.sleep(PAUSE)
    energy = [found["hw.energy"] for found in seen if "hw.energy" in found]
    if not energy:
        pytest.skip("this GPU has no energy counter: Volta and later have one")
    (begin, first), (end, last) = energy[0], energy[-1]
    counted, took = last - first, end - begin
    print(f"\n{'load' if loaded else 'idle'}, {took:.1f} s: hw.energy {counted:.1f} J, {counted / took:.2f} W")
    joules = {}
    for name in ("hw.power", "joulespan.gpu.power.average"):
        samples = between([found[name] for found in seen if name in found], begin, end)
        if len(samples) > 1:
            window = samples[-1][0] - samples[0][0]
            # Brought to the counter's window, which begins and ends at other readings.
            joules[name] = integral(samples) / window * took
            print(f"{name}: integrates to {joules[name]:.1f} J ({joules[name] / counted - 1:+.2%})")
    if "hw.power" not in joules:
        pytest.skip("this GPU does not tell its power")
    assert joules["hw.power"] == pytest.approx(counted, rel=0.1)


@pytest.mark.parametrize("pause", [0.02, 0.002], ids=["20ms", "2ms"])
def test_how_often_energy_and_power_move(pause: float, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _POLL, str(pause)]
    with load(30, tmp_path / "load") as loaded:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ), timeout=60)
    rows = [line.split() for line in done.stdout.splitlines()]
    calls = sorted(float(row[1]) for row in rows)
    state = "load" if loaded else "idle"
    print(
        f"\n{state}, {len(rows)} readings: a call takes {statistics.median(calls) * 1e6:.0f} us in the median", end=""
    )
    print(f", p99 {calls[len(calls) * 99 // 100] * 1e6:.0f} us, {calls[-1] * 1e6:.0f} us at most")
    for name, column in (("hw.energy", 2), ("hw.power", 3)):
        told = [(float(row[0]), float(row[column])) for row in rows if row[column] != "None"]
        moved = [later for earlier, later in pairwise(told) if later[1] != earlier[1]]
        if len(moved) < 2:
            print(f"{name}: {len(told)} readings, moved {len(moved)} times in 10 s")
            continue
        waits = sorted(later[0] - earlier[0] for earlier, later in pairwise(moved))
        steps = sorted(abs(later[1] - earlier[1]) for earlier, later in pairwise(moved))
        print(
            f"{name}: moves every {statistics.median(waits) * 1e3:.1f} ms in the median "
            f"(p10 {waits[len(waits) // 10] * 1e3:.1f}, p90 {waits[len(waits) * 9 // 10] * 1e3:.1f}, "
            f"longest {waits[-1] * 1e3:.1f}), by {statistics.median(steps):.3f} in the median"
        )
    assert rows
