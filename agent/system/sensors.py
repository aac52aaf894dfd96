# SPDX-License-Identifier: Apache-2.0
"""Temperature sensors of the host: hwmon, and thermal zones where hwmon does not have them.

Source: the kernel's Documentation/hwmon/sysfs-interface.rst. Sensors of network adapters are left to what reads these.
"""

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from agent.system.sysfs import maybe, number

_INPUT = re.compile(r"temp([0-9]{1,4})_input")
_MILLI = 1000
_ZONES = {"acpitz", "x86_pkg_temp"}
"""Types of thermal zones that stand for what hwmon calls acpitz and coretemp."""
_MAIN = {
    "coretemp": re.compile(r"Package id \d+|Physical id \d+"),
    "k10temp": re.compile("Tctl"),
    "nvme": re.compile("Composite"),
}
"""Of chips that have a sensor for every core, those that are read unless all are wanted."""


class Sensor(NamedTuple):
    """A temperature sensor: what it is called, and its files."""

    id: str
    chip: str
    label: str | None
    path: str
    critical: str | None = None

    def celsius(self) -> float:
        """Read it. Raises as number()."""
        return number(self.path) / _MILLI

    def limit(self) -> float | None:
        """Read the temperature that is critical; None where none is told. Raises as number()."""
        # Drives without a limit say 65535 K less 273, or 0.
        if self.critical is None or not 0 < (found := number(self.critical)) < 1_000_000:  # noqa: PLR2004 - as said
            return None
        return found / _MILLI


def find_sensors(root: str, *, every: bool = False) -> list[Sensor]:
    """List the sensors, those of single cores only where `every` one is wanted. What cannot be listed is not there."""
    chips = list(_hwmon(f"{root}/sys/class/hwmon"))
    found = [sensor for sensor in chips if every or _main(sensor)]
    known = {sensor.chip for sensor in chips}
    if "coretemp" in known:
        known.add("x86_pkg_temp")
    return found + [sensor for sensor in _zones(f"{root}/sys/class/thermal") if sensor.chip not in known]


def _main(sensor: Sensor) -> bool:
    pattern = _MAIN.get(sensor.chip)
    return pattern is None or pattern.fullmatch(sensor.label or "") is not None


def _hwmon(folder: str) -> Iterator[Sensor]:
    for name in _listed(folder):
        chip, path = maybe(f"{folder}/{name}/name"), f"{folder}/{name}"
        if chip is None or os.path.isdir(f"{path}/device/net"):  # noqa: PTH112 - a Path takes longer
            continue
        device = os.path.basename(os.path.realpath(f"{path}/device"))  # noqa: PTH119 - as above
        for place in sorted(int(input_[1]) for file in _listed(path) if (input_ := _INPUT.fullmatch(file))):
            critical = f"{path}/temp{place}_crit"
            yield Sensor(
                f"{device}/temp{place}",
                chip,
                maybe(f"{path}/temp{place}_label"),
                f"{path}/temp{place}_input",
                critical if os.path.exists(critical) else None,  # noqa: PTH110 - as above
            )


def _zones(folder: str) -> Iterator[Sensor]:
    for name in _listed(folder):
        if name.startswith("thermal_zone") and (kind := maybe(f"{folder}/{name}/type")) in _ZONES and kind:
            yield Sensor(name, kind, None, f"{folder}/{name}/temp")


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder), key=lambda name: (len(name), name))  # noqa: PTH208 - as above
    except OSError:
        return []
