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
_POLL = """
import time
from agent.system.nvml import fields
from agent.system.nvml.library import PynvmlLibrary
device = PynvmlLibrary().open(0)
reader = device.fields([fields.ENERGY, fields.POWER_INSTANT])
end = time.monotonic() + 10
while time.monotonic() < end:
    energy, power = reader.read()
    print(time.monotonic(), energy, power)
    time.sleep(0.005)
"""


def points(agent: RunningAgent) -> dict[str, tuple[float, float]]:
    """Time and value of energy, power and averaged power of GPU 0, from one snapshot."""
    found: dict[str, tuple[float, float]] = {}
    for metric in json.loads(agent.get("/api/v1/snapshot"))["metrics"]:
        for point in metric["points"]:
            if point["attributes"].get("hw.name") == "gpu0" and point["attributes"].get("scope", "gpu") == "gpu":
                found[metric["name"]] = (point["time"], point["value"])
    return found


def integral(samples: list[tuple[float, float]]) -> float:
    """Joules, by trapezoids."""
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(samples))


def test_energy_is_integrated_power(agent: RunningAgent, tmp_path: Path) -> None:
    with load(SECONDS + 20, tmp_path / "load") as loaded:
        time.sleep(5)
        energy, power, average = [], [], []
        begin = time.monotonic()
        while time.monotonic() - begin < SECONDS:
            found = points(agent)
            energy.append(found["hw.energy"])
            power.append(found["hw.power"])
            average.append(found.get("joulespan.gpu.power.average", found["hw.power"]))
            time.sleep(0.1)
    counted = energy[-1][1] - energy[0][1]
    took = energy[-1][0] - energy[0][0]
    instant, smooth = integral(sorted(set(power))), integral(sorted(set(average)))
    print(
        f"\n{'load' if loaded else 'idle'}, {took:.1f} s: counter {counted:.0f} J ({counted / took:.1f} W); "
        f"hw.power integrates to {instant:.0f} J ({instant / counted - 1:+.1%}), "
        f"averaged power to {smooth:.0f} J ({smooth / counted - 1:+.1%})"
    )
    assert instant == pytest.approx(counted, rel=0.1)


def test_how_often_energy_and_power_move(tmp_path: Path) -> None:
    with load(20, tmp_path / "load"):
        done = subprocess.run(
            [sys.executable, "-c", _POLL], capture_output=True, text=True, check=True, env=dict(os.environ), timeout=60
        )
    rows = [line.split() for line in done.stdout.splitlines()]
    for name, column in (("energy counter", 1), ("hw.power", 2)):
        moved = [float(b[0]) for a, b in pairwise(rows) if b[column] != a[column]]
        steps = sorted(later - earlier for earlier, later in pairwise(moved))
        assert steps, f"the {name} never moved in 10 s"
        print(
            f"\n{name}: moves every {statistics.median(steps) * 1e3:.0f} ms in the median, "
            f"p10 {steps[len(steps) // 10] * 1e3:.0f}, p90 {steps[len(steps) * 9 // 10] * 1e3:.0f} ms"
        )
