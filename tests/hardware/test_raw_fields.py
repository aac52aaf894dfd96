# SPDX-License-Identifier: Apache-2.0
"""The table of raw field answers is whole."""

import json
import subprocess
import sys
from collections import Counter

import pytest

pytestmark = pytest.mark.hardware
ENERGY, ALL_LINKS = 83, 0xFFFFFFFF


def test_every_field_is_asked_alone_and_energy_answers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hardware.raw_fields"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    table = {(line["field"], line["scope"]): line for line in map(json.loads, done.stdout.splitlines())}
    assert {field for field, _ in table} == set(range(1, 310))
    assert {scope for field, scope in table if field == ENERGY} == {0, 1, 2, 3, ALL_LINKS}
    codes = Counter("call" if "call" in line else line["code"] for line in table.values())
    print(f"\n{len(table)} questions, by return code: {dict(codes)}")
    answering = sorted({field for (field, _), line in table.items() if line.get("code") == 0})
    print(f"{len(answering)} fields answer: {', '.join(map(str, answering))}")
    assert table[ENERGY, 0]["code"] == 0
