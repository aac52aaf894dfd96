# SPDX-License-Identifier: Apache-2.0
"""What `joulespan doctor` says of the host: whether the power of its CPUs and its pressure can be read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from agent.errors import NoPermission, NotSupported, Unavailable
from agent.system.power_meters import Meter, find_meters
from agent.system.pressure import host_pressure

ROOT = Path("/")
_SHOWN = 4


class HostFinding(NamedTuple):
    """How bad it is, what it is, what to do."""

    level: Literal["ok", "hint"]
    what: str
    advice: str = ""


def host_findings(root: Path = ROOT) -> list[HostFinding]:
    """Look at the meters and at the pressure."""
    folder = str(root).rstrip("/")
    return [*_power(find_meters(folder)), *_pressure(folder)]


def _power(meters: Sequence[Meter]) -> Iterator[HostFinding]:
    if not meters:
        advice = (
            "a virtual machine has none; on bare metal load intel_rapl_msr (Intel, AMD) or acpi_power_meter (Grace). "
            "Without one the node's energy is that of its GPUs"
        )
        yield HostFinding("hint", "power: no meter of CPUs or memory", advice)
        return
    told, refused, broken = _tried(meters)
    known = [meter for meter in told if meter.kind != "rail"]
    if known:
        yield HostFinding("ok", f"power: {_names(known)}, by {', '.join(sorted({meter.source for meter in known}))}")
    if refused:
        advice = "root, or CAP_DAC_READ_SEARCH for the agent; without it the energy of CPUs and memory is absent"
        yield HostFinding("hint", f"power: {_names(refused)} may not be read (energy_uj is for root)", advice)
    if broken:
        advice = "the driver answers with an error: see the kernel log"
        yield HostFinding("hint", f"power: {_names(broken)} cannot be read", advice)
    if unknown := [meter for meter in told if meter.scope == "unknown"]:
        advice = "published as joulespan.rail.power and added to nothing; what it measures, its vendor knows"
        yield HostFinding("hint", f"power: meters that are not known: {_names(unknown)}", advice)


def _tried(meters: Sequence[Meter]) -> tuple[list[Meter], list[Meter], list[Meter]]:
    told: list[Meter] = []
    refused: list[Meter] = []
    broken: list[Meter] = []
    for meter in meters:
        try:
            meter.read()
        except NoPermission:
            refused.append(meter)
        except (Unavailable, NotSupported):
            broken.append(meter)
        else:
            told.append(meter)
    return told, refused, broken


def _names(meters: Sequence[Meter]) -> str:
    names = list(dict.fromkeys(meter.name for meter in meters))
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _pressure(folder: str) -> Iterator[HostFinding]:
    try:
        host_pressure(folder, "memory")
    except (NotSupported, Unavailable):
        advice = "Linux 4.20 with CONFIG_PSI, and psi=1 on the kernel's command line where it is off by default"
        yield HostFinding("hint", "pressure: the kernel does not tell it (/proc/pressure)", advice)
