# SPDX-License-Identifier: Apache-2.0
"""GPU performance monitoring (GPM), Hopper and later: two samples and what happened between them.

It has counters of its own and does not take the profilers' lock. The gap between two samples must exceed 100 ms
(nvml.h); NO_PERMISSION can come after a long time of success in a container (NVIDIA/DCGM#214), so it is asked again.
"""

import time
from collections.abc import Callable
from math import isfinite
from typing import Any

import pynvml

from agent.system.nvml.ask import Asker
from agent.system.nvml.device import Gpm

_MIN_GAP = 0.12
_PERCENT = 100.0
_MIB = 1 << 20
_GRAPHICS, _SM, _OCCUPANCY, _DRAM = 1, 2, 3, 10
_PIPES = {4: "int", 5: "any_tensor", 7: "hmma", 8: "dmma", 9: "imma", 11: "fp64", 12: "fp32", 13: "fp16"}
_THROUGHPUT = {
    20: ("pcie", "transmit"),
    21: ("pcie", "receive"),
    60: ("nvlink", "receive"),
    61: ("nvlink", "transmit"),
}
_METRICS = (_GRAPHICS, _SM, _OCCUPANCY, _DRAM, *_PIPES, *_THROUGHPUT)


class GpmSampler:
    """Keeps two samples of a GPU or of a MIG instance and compares them."""

    def __init__(self, ask: Asker, take: Callable[[Any], Any]) -> None:
        """Sample by calling `take` with an allocated sample."""
        self._ask = ask
        self._take = take
        self._samples: list[Any] = []
        self._taken = 0.0
        self._request = pynvml.c_nvmlGpmMetricsGet_t()
        self._request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        self._request.numMetrics = len(_METRICS)
        for slot, metric in enumerate(_METRICS):
            self._request.metrics[slot].metricId = metric

    def read(self) -> Gpm | None:
        """Sample, and compare with the sample before; None on the first call or when the gap is too short."""
        if not self._samples:
            self._allocate()
        if not self._samples or time.monotonic() - self._taken < _MIN_GAP:
            return None
        last, spare = self._samples
        if self._ask("nvmlGpmSampleGet", self._take, spare) is None:
            self._taken = 0.0
            return None
        first, self._taken = self._taken == 0.0, time.monotonic()
        self._samples = [spare, last]
        return None if first else self._compare(last, spare)

    def close(self) -> None:
        """Free the samples."""
        for sample in self._samples:
            self._ask("nvmlGpmSampleFree", pynvml.nvmlGpmSampleFree, sample)
        self._samples = []

    def _allocate(self) -> None:
        samples = [self._ask("nvmlGpmSampleAlloc", pynvml.nvmlGpmSampleAlloc) for _ in range(2)]
        self._samples = samples if all(sample is not None for sample in samples) else []

    def _compare(self, older: Any, newer: Any) -> Gpm | None:
        request = self._request
        request.sample1, request.sample2 = older, newer
        if self._ask("nvmlGpmMetricsGet", pynvml.nvmlGpmMetricsGet, request) is None:
            return None
        values: dict[int, float] = {}
        for slot, metric in enumerate(_METRICS):
            answer = request.metrics[slot]
            if answer.nvmlReturn == pynvml.NVML_SUCCESS and isfinite(answer.value):
                values[metric] = answer.value

        def ratio(metric: int) -> float | None:
            return values[metric] / _PERCENT if metric in values else None

        return Gpm(
            graphics_active=ratio(_GRAPHICS),
            sm_active=ratio(_SM),
            sm_occupancy=ratio(_OCCUPANCY),
            dram_active=ratio(_DRAM),
            pipes={name: values[metric] / _PERCENT for metric, name in _PIPES.items() if metric in values},
            throughput={name: values[metric] * _MIB for metric, name in _THROUGHPUT.items() if metric in values},
        )
