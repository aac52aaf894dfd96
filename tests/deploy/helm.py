# SPDX-License-Identifier: Apache-2.0
"""Helm 3 and 4, and what they make of the chart."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "joulespan"
TOOLS = ROOT / "build" / "tools"
VALUES = sorted((CHART / "ci").glob("*.yaml"))
VERSIONS = ("helm3", "helm4")


def tool(name: str) -> Path:
    """Find one of the Helms; skips the test where it was not to be had."""
    place = TOOLS / name
    if not place.exists():
        pytest.skip(f"{name} is missing: sh scripts/kubernetes.sh PYTHON build/tools")
    return place


def helm(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it."""
    return subprocess.run([tool(name), *arguments], capture_output=True, text=True, check=False, timeout=120)


@cache
def rendered(name: str, *values: str) -> str:
    """Render the chart as text. `values` are files, or KEY=VALUE."""
    options = [word for one in values for word in (("--set", one) if "=" in one else ("--values", one))]
    done = helm(name, "template", "edge", str(CHART), "--namespace", "telemetry", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """Read manifests."""
    return [one for one in yaml.safe_load_all(text) if one]


def one(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Pick the only object of a kind."""
    (picked,) = [each for each in found if each["kind"] == kind]
    return picked


def validated(path: Path, version: str) -> tuple[int, list[str]]:
    """Hold manifests to the schemas of a Kubernetes version: exit code, and the lines that say more than "passed"."""
    command = [
        str(Path(sys.executable).with_name("kubernetes-validate")),
        "-k",
        version,
        "--strict",
        "--quiet",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if line]
