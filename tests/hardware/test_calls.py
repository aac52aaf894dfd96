# SPDX-License-Identifier: Apache-2.0
"""What each driver call costs on this machine."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.hardware


def test_what_each_driver_call_takes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hardware.calls", "20"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    costs = json.loads(done.stdout)
    print(f"\n{'us:':>5} {'least':>9} {'median':>9} {'most':>9}  calls")
    for name, cost in sorted(costs.items(), key=lambda one: -float(one[1]["median"])):
        answer = "" if cost["answer"] in ("", "ok") else f"  {cost['answer']}"
        print(f"      {cost['least']:9.1f} {cost['median']:9.1f} {cost['most']:9.1f} {cost['times']:6}  {name}{answer}")
    assert "gpu_energy: nvmlDeviceGetFieldValues" in costs
