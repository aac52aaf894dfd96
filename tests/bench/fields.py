# SPDX-License-Identifier: Apache-2.0
"""One read of 58 NVML fields, ours against nvidia-ml-py's wrapper: `python -m tests.bench.fields`.

A library has to be on LD_LIBRARY_PATH when a process starts, hence a process.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from agent.system.nvml import fields as nvml
from agent.system.nvml.fields import Field
from agent.system.nvml.library import PynvmlLibrary
from tests.mock_nvml.control import MockNvml

LINKS = 18
REPEATS = 400
FIELDS: tuple[Field, ...] = (
    nvml.ENERGY,
    nvml.POWER_INSTANT,
    nvml.POWER_AVERAGE,
    nvml.MEMORY_TEMPERATURE,
    *(field.of(link) for link in range(LINKS) for field in (nvml.NVLINK_TX, nvml.NVLINK_RX, nvml.NVLINK_CRC)),
)
_VALUES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


def readings(mock: MockNvml) -> list[tuple[str, float]]:
    """Median milliseconds of one GPU's read by case; the first is the wrapper's. Raises SubprocessError."""
    command = [sys.executable, "-m", "tests.bench.fields"]
    done = subprocess.run(command, env=mock.env(), stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return [(name, took) for name, took in json.loads(done.stdout)]


def compare() -> list[tuple[str, float]]:
    """Measure both in this process, in turn."""
    import pynvml

    library = PynvmlLibrary()
    device = library.open(0)
    reader = device.fields(FIELDS)
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    ids = [(field.id, field.scope) for field in FIELDS]

    def theirs() -> list[float | None]:
        return [
            getattr(entry.value, _VALUES[entry.valueType]) if entry.nvmlReturn == pynvml.NVML_SUCCESS else None
            for entry in pynvml.nvmlDeviceGetFieldValues(handle, ids)
        ]

    cases: dict[str, Callable[[], Sequence[float | None]]] = {
        f"nvidia-ml-py, {len(FIELDS)} fields": theirs,
        "ours, kept buffer": reader.read,
    }
    took: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(REPEATS):
        for name, run in cases.items():
            begin = time.perf_counter()
            values = run()
            took[name].append((time.perf_counter() - begin) * 1e3)
            assert None not in values, f"{name}: fields without a value"
    library.close()
    return [(name, statistics.median(some)) for name, some in took.items()]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(compare()))
