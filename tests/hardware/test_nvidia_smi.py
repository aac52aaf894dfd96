# SPDX-License-Identifier: Apache-2.0
"""The agent tells what nvidia-smi tells."""

import shutil
import subprocess
from typing import NamedTuple

import pytest

from tests.agent.running import RunningAgent

pytestmark = pytest.mark.hardware


class Number(NamedTuple):
    """A field of nvidia-smi, the series to compare it with, the size of its unit, and how far both may be apart."""

    field: str
    series: str
    labels: dict[str, str]
    unit: float = 1.0
    apart: float = 0.0


NUMBERS = [
    Number("memory.total", "hw_gpu_memory_limit_bytes", {}, 1 << 20, 1 << 20),
    Number("memory.used", "hw_gpu_memory_usage_bytes", {}, 1 << 20, 256 << 20),
    Number("memory.reserved", "joulespan_gpu_memory_reserved_bytes", {}, 1 << 20, 1 << 20),
    Number("power.limit", "joulespan_gpu_power_limit_watts", {"hw_limit_type": "requested"}, 1, 1),
    Number("enforced.power.limit", "joulespan_gpu_power_limit_watts", {"hw_limit_type": "enforced"}, 1, 1),
    Number("power.default_limit", "joulespan_gpu_power_limit_watts", {"hw_limit_type": "default"}, 1, 1),
    Number("power.min_limit", "joulespan_gpu_power_limit_watts", {"hw_limit_type": "min"}, 1, 1),
    Number("power.max_limit", "joulespan_gpu_power_limit_watts", {"hw_limit_type": "max"}, 1, 1),
    Number("clocks.max.graphics", "joulespan_gpu_clock_limit_hertz", {"clock": "graphics"}, 1e6),
    Number("clocks.max.sm", "joulespan_gpu_clock_limit_hertz", {"clock": "sm"}, 1e6),
    Number("clocks.max.memory", "joulespan_gpu_clock_limit_hertz", {"clock": "memory"}, 1e6),
    Number("temperature.gpu", "hw_temperature_celsius", {"hw_sensor_location": "gpu"}, 1, 3),
    Number("pcie.link.gen.max", "joulespan_pcie_link_generation_limit", {}),
    Number("pcie.link.width.max", "joulespan_pcie_link_width_limit", {}),
    Number("ecc.errors.corrected.aggregate.total", "hw_errors_total", {"error_type": "corrected"}),
    Number("ecc.errors.uncorrected.aggregate.total", "hw_errors_total", {"error_type": "uncorrected"}),
]
TEXTS = [
    ("name", "joulespan_gpu_info", "hw_model"),
    ("serial", "joulespan_gpu_info", "hw_serial_number"),
    ("driver_version", "joulespan_gpu_info", "hw_driver_version"),
    ("vbios_version", "joulespan_gpu_info", "hw_firmware_version"),
    ("compute_cap", "joulespan_gpu_info", "cuda_compute_capability"),
    ("index", "joulespan_gpu_info", "gpu_index"),
    ("pci.bus_id", "joulespan_gpu_info", "pci_bus_id"),
    ("compute_mode", "joulespan_gpu_mode_info", "compute_mode"),
    ("persistence_mode", "joulespan_gpu_mode_info", "persistence"),
    ("ecc.mode.current", "joulespan_gpu_mode_info", "ecc"),
    ("mig.mode.current", "joulespan_gpu_mode_info", "mig"),
]


def smi(field: str) -> dict[str, str]:
    """Ask nvidia-smi for a field: by UUID, where it knows. What it does not know it writes in brackets."""
    if not shutil.which("nvidia-smi"):
        pytest.skip("there is no nvidia-smi on this machine")
    command = ["nvidia-smi", f"--query-gpu=uuid,{field}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip(f"nvidia-smi --query-gpu={field}: {' '.join((done.stdout + done.stderr).split())}")
    rows = [line.split(", ", 1) for line in done.stdout.splitlines() if line.strip()]
    found = {uuid: value.strip() for uuid, value in rows}
    found = {uuid: value for uuid, value in found.items() if value not in ("", "N/A") and not value.startswith("[")}
    if not found:
        pytest.skip(f"nvidia-smi has no value for {field} here")
    return found


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.field)
def test_numbers_agree(number: Number, agent: RunningAgent) -> None:
    expected = smi(number.field)
    scrape = agent.scrape()
    for uuid, text in expected.items():
        values = scrape.values(number.series, hw_id=uuid, **number.labels)
        print(f"\n{number.field}: {text}, the agent: {values}", end="")
        assert values == [pytest.approx(float(text) * number.unit, abs=number.apart)], uuid


@pytest.mark.parametrize(("field", "series", "label"), TEXTS, ids=[field for field, _, _ in TEXTS])
def test_texts_agree(field: str, series: str, label: str, agent: RunningAgent) -> None:
    found = {labels["hw_id"]: labels.get(label) for labels in agent.scrape().labels(series)}
    for uuid, text in smi(field).items():
        # nvidia-smi writes the domain of a PCI address with eight digits, sysfs and the agent with four.
        expected = text[4:] if field == "pci.bus_id" else text
        assert (found[uuid] or "").lower() == expected.lower()
