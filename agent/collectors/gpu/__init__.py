# SPDX-License-Identifier: Apache-2.0
"""Collectors that read a GPU. They run in the reader process, one after the other.

A module here is found by its name. It defines `COLLECTOR`: its name, how often it runs, and a function
that prepares it for one GPU and returns what to call each time. What is called returns samples; what
the GPU does not have it leaves out. It catches nothing: a lost device and a gone driver end the run.
"""

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from importlib import import_module
from typing import NamedTuple

from agent.entities import Gpu
from agent.metric import Sample, Series
from agent.system.nvml.device import Device
from agent.system.nvml.fields import Field


class Cadence(Enum):
    """How often a collector runs. The configuration says how long each is."""

    FAST = "fast"
    NORMAL = "normal"
    SLOW = "slow"
    PROCESSES = "processes"
    ONCE = "once"


class Target(NamedTuple):
    """The GPU a collector is prepared for. With `detail`, series beyond the default set are wanted."""

    gpu: Gpu
    device: Device
    detail: bool = False
    driver_version: str | None = None
    cuda_version: str | None = None
    confidential_compute: str | None = None


Read = Callable[[], Iterable[Sample]]


class GpuCollector(NamedTuple):
    """A collector of one group of readings."""

    name: str
    cadence: Cadence
    open: Callable[[Target], Read]


def discover() -> list[GpuCollector]:
    """Find every collector in this package, by module name."""
    modules = (import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return [module.COLLECTOR for module in modules]


class FieldSamples:
    """Series that are NVML fields, read in one batch.

    A series can name several fields, the preferred one first: generations of GPUs keep one thing under different ids.
    """

    def __init__(self, device: Device, fields: Mapping[Series, Field | tuple[Field, ...]]) -> None:
        """Prepare the batch for this device."""
        wanted: list[Field] = []
        self._series: list[tuple[Series, range]] = []
        for series, some in fields.items():
            alternatives = (some,) if isinstance(some, Field) else some
            self._series.append((series, range(len(wanted), len(wanted) + len(alternatives))))
            wanted += alternatives
        self._reader = device.fields(wanted)
        self._answering = -1
        self._chosen: list[tuple[Series, int]] = []

    def samples(self) -> list[Sample]:
        """Read the batch: the series that have a value, in base units."""
        values = self._reader.read()
        answering = len(values) - values.count(None)
        if answering != self._answering:
            self._answering = answering
            self._chosen = [
                (series, next((place for place in places if values[place] is not None), places[0]))
                for series, places in self._series
            ]
        return [Sample(series, value) for series, place in self._chosen if (value := values[place]) is not None]
