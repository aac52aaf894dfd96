# SPDX-License-Identifier: Apache-2.0
"""Power and energy meters of the host: ACPI power meters in hwmon, and RAPL in powercap.

A superchip's firmware tells what a meter measures in words: Module, Grace, CPU and SysIO Power Socket N. A module
contains its GPUs, a Grace contains its CPU and SysIO rails, and these two do not add up to it. Sources: the kernel's
Documentation/hwmon/acpi_power_meter.rst and power/powercap/powercap.rst, NVIDIA's firmware for the words.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

from agent.errors import JoulespanError
from agent.system.sysfs import maybe, number

Kind = Literal["cpu", "memory", "module", "rail"]
_MICRO = 1_000_000
_SOCKET = re.compile(r"\bSocket (\d{1,3})\s*$", re.IGNORECASE)
_WORDS = {"module": "module", "grace": "grace", "cpu": "cpu", "sysio": "sysio", "soc": "soc", "dram": "dram"}
"""First words of a label, and the scope that each means. What is not here is published and belongs to nothing."""
_PACKAGE = re.compile(r"package-(\d{1,3})(?:-die-(\d{1,3}))?")
_ZONE = re.compile(r"intel-rapl:\d{1,3}(?::\d{1,3})?")
_RAILS = {"core": "core", "uncore": "uncore", "psys": "platform"}


class Meter(NamedTuple):
    """A meter: what it measures, what that is part of, and how it is read.

    `wraps_at` is None for one that tells power, in microwatts; else it tells microjoules and begins again at 0 after so
    many. `read` raises as number(); energy is for root, or CAP_DAC_READ_SEARCH.
    """

    id: str
    name: str
    kind: Kind
    scope: str
    parent: str | None
    source: str
    read: Callable[[], int]
    wraps_at: int | None = None


class _Labelled(NamedTuple):
    """A power meter, and what its label says."""

    label: str
    scope: str
    socket: int | None
    device: str
    path: str


def find_meters(root: str) -> list[Meter]:
    """List the meters of the host, those of hwmon first. What cannot be listed is not there."""
    found: dict[str, Meter] = {}
    for meter in (*hwmon_meters(f"{root}/sys/class/hwmon"), *rapl_meters(f"{root}/sys/class/powercap")):
        # Two that say the same of themselves cannot both be right: the second belongs to nothing.
        twin = meter.id in found
        one = meter._replace(id=f"{meter.id}#{len(found)}", kind="rail", parent=None) if twin else meter
        found[one.id] = one
    return list(found.values())


def hwmon_meters(folder: str) -> list[Meter]:
    """List ACPI's power meters, by what their labels say."""
    found = list(_labelled(folder))
    scopes = {(one.scope, one.socket) for one in found}
    return [_placed(one, scopes) for one in found]


def _labelled(folder: str) -> Iterator[_Labelled]:
    for name in _listed(folder):
        if maybe(f"{folder}/{name}/name") != "power_meter":
            continue
        # The files have been with the device, and beside the name in later kernels.
        for place in (f"{folder}/{name}/device", f"{folder}/{name}"):
            path = f"{place}/power1_average"
            if os.path.exists(path):  # noqa: PTH110 - a Path takes longer
                label = maybe(f"{place}/power1_oem_info") or ""
                device = os.path.basename(os.path.realpath(f"{folder}/{name}/device"))  # noqa: PTH119 - as above
                yield _Labelled(label, *parse_label(label), device if device != "device" else name, path)
                break


def parse_label(label: str) -> tuple[str, int | None]:
    """Tell the scope and the socket by a meter's label; `unknown` and None where it is none that is known."""
    socket = _SOCKET.search(label)
    words = label.split()
    scope = _WORDS.get(words[0].lower()) if words else None
    if scope is None or socket is None or "power" not in label.lower():
        return "unknown", None
    return scope, int(socket[1])


def _placed(one: _Labelled, scopes: set[tuple[str, int | None]]) -> Meter:
    """Say what a meter measures, knowing which others there are: the outermost one around a CPU stands for it."""
    label, scope, socket, device, path = one
    read = partial(number, path)
    module = f"module{socket}" if ("module", socket) in scopes else None
    inside = f"cpu{socket}" if ("grace", socket) in scopes else module
    name = label or device
    if scope == "module":
        return Meter(f"module{socket}", name, "module", scope, None, "hwmon", read)
    if scope == "grace" or (scope == "cpu" and ("grace", socket) not in scopes):
        return Meter(f"cpu{socket}", name, "cpu", scope, module, "hwmon", read)
    if scope == "dram":
        return Meter(f"memory{socket}", name, "memory", scope, module, "hwmon", read)
    if scope == "unknown":
        return Meter(device, name, "rail", scope, None, "hwmon", read)
    return Meter(f"{scope}-rail{socket}", name, "rail", scope, inside, "hwmon", read)


def rapl_meters(folder: str) -> list[Meter]:
    """List RAPL's zones: packages, and what is in them. AMD's are under the same name."""
    return [meter for zone in _listed(folder) if _ZONE.fullmatch(zone) and (meter := _zone(folder, zone))]


def _zone(folder: str, zone: str) -> Meter | None:
    name, read = maybe(f"{folder}/{zone}/name"), partial(number, f"{folder}/{zone}/energy_uj")
    try:
        wraps_at = number(f"{folder}/{zone}/max_energy_range_uj")
    except JoulespanError:
        return None
    if name is None or wraps_at <= 0:
        return None
    if package := _PACKAGE.fullmatch(name):
        return Meter(f"cpu{_socket(package)}", name, "cpu", "package", None, "rapl", read, wraps_at)
    above = _PACKAGE.fullmatch(maybe(f"{folder}/{zone.rpartition(':')[0]}/name") or "")
    socket = _socket(above) if above else None
    if name == "dram" and socket is not None:
        return Meter(f"memory{socket}", name, "memory", "dram", None, "rapl", read, wraps_at)
    scope = _RAILS.get(name, "unknown")
    inside = f"cpu{socket}" if scope in ("core", "uncore") and socket is not None else None
    identity = f"{scope}{socket}" if inside else zone
    return Meter(identity, name, "rail", scope, inside, "rapl", read, wraps_at)


def _socket(package: re.Match[str]) -> str:
    return package[1] if package[2] is None else f"{package[1]}-die{package[2]}"


def _listed(folder: str) -> Sequence[str]:
    try:
        return sorted(os.listdir(folder), key=lambda name: (len(name), name))  # noqa: PTH208 - names are all it takes
    except OSError:
        return ()


def watts(microwatts: int) -> float:
    """Convert what a power meter says."""
    return microwatts / _MICRO


def joules(microjoules: int) -> float:
    """Convert what an energy meter says."""
    return microjoules / _MICRO
