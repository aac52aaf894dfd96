# SPDX-License-Identifier: Apache-2.0
"""Temperatures of the host's CPUs, drives and boards. Also in the demo they are of the real host.

`include` and `exclude` are patterns of the names of chips, as in `nvme` or `coretemp`. With `detail` each core has its
series.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial

from agent.catalogue.host import HOST_TEMPERATURE, HOST_TEMPERATURE_LIMIT
from agent.catalogue.own import SERIES_DROPPED
from agent.clock import NS
from agent.collectors.groups import LeftOut, each
from agent.collectors.node import Node, NodeCollector, Read
from agent.config import DetailedSettings
from agent.entities import Collector
from agent.host_entities import HostSensor, HostSensorLimit
from agent.metric import Sample
from agent.system.sensors import Sensor, find_sensors

NAME = "temperatures"
_MOST = 64
_DETAIL_MOST = 1024
_LOOK = 60 * NS
"""ns between two looks for sensors: drives come and go."""


class Temperatures:
    """Reads the sensors that there were at the last look."""

    def __init__(self, node: Node, *, detail: bool = False) -> None:
        """Look for sensors at the first reading."""
        self._node = node
        self._detail = detail
        self._sensors: list[Sensor] = []
        self._left_out = LeftOut()
        self._looked: int | None = None

    def read(self) -> Iterator[Sample]:
        """Read them."""
        now = self._node.clock.monotonic_ns()
        if self._looked is None or now - self._looked >= _LOOK:
            self._looked = now
            self._look()
        yield from each([partial(_read, sensor) for sensor in self._sensors], self._node.failed)
        yield SERIES_DROPPED(Collector(NAME), self._left_out.total)

    def _look(self) -> None:
        settings = self._node.settings
        found = [
            sensor
            for sensor in find_sensors(str(self._node.root).rstrip("/"), every=self._detail)
            if (not settings.include or any(fnmatchcase(sensor.chip, one) for one in settings.include))
            and not any(fnmatchcase(sensor.chip, one) for one in settings.exclude)
        ]
        most = _DETAIL_MOST if self._detail else _MOST
        self._sensors = found[:most]
        self._left_out.note("sensors", max(0, len(found) - most))


def _read(sensor: Sensor) -> Iterator[Sample]:
    yield HOST_TEMPERATURE(HostSensor(sensor.id, sensor.chip, sensor.label), sensor.celsius())
    if (limit := sensor.limit()) is not None:
        yield HOST_TEMPERATURE_LIMIT(HostSensorLimit(sensor.id, sensor.chip, sensor.label, "high.critical"), limit)


def _open(node: Node) -> Read:
    settings = node.settings
    return Temperatures(node, detail=isinstance(settings, DetailedSettings) and settings.detail).read


COLLECTOR = NodeCollector(NAME, _open)
