# SPDX-License-Identifier: Apache-2.0
"""Asks every GPU everything once and reports what came of it: the part of `joulespan doctor` that touches the driver.

    python -m agent.reader.examine PROGRESS_FD

Runs in a process of its own for the same reason as the reader, and writes one JSON object to its standard output.
"""

import sys
import time

import msgspec

from agent.collectors.gpu import Target, discover
from agent.entities import Gpu
from agent.errors import DriverGone, Unavailable
from agent.reader.progress import SharedProgress
from agent.system.nvml.device import Device, Library

_GPM_GAP = 0.15
"""Seconds between the two samples that GPM needs."""


class Group(msgspec.Struct):
    """What one collector got from one GPU: series it read, and the readings it did not get, by reason."""

    collector: str
    series: int
    missing: dict[str, list[str]]
    error: str | None = None


class GpuReport(msgspec.Struct):
    """One GPU; without a uuid it could not be opened."""

    index: int
    uuid: str | None = None
    model: str | None = None
    minor: int | None = None
    persistence: str | None = None
    error: str | None = None
    groups: list[Group] = []


class Report(msgspec.Struct):
    """All of it; `error` says why there is no driver."""

    driver: str | None = None
    cuda: str | None = None
    error: str | None = None
    gpus: list[GpuReport] = []


def examine(library: Library) -> Report:
    """Ask every GPU of an open library."""
    report = Report(library.driver_version, library.cuda_version)
    for index in range(library.device_count()):
        try:
            device = library.open(index)
        except Unavailable as error:
            report.gpus.append(GpuReport(index, error=str(error)))
        else:
            report.gpus.append(_examine_gpu(library, device, index))
    return report


def _examine_gpu(library: Library, device: Device, index: int) -> GpuReport:
    who = device.identity
    report = GpuReport(index, who.uuid, who.model, who.minor)
    target = Target(
        Gpu(who.uuid, f"gpu{index}"),
        device,
        detail=True,
        driver_version=library.driver_version,
        cuda_version=library.cuda_version,
        confidential_compute=library.confidential_compute,
    )
    try:
        report.persistence = device.modes().persistence
        for collector in discover():
            device.notes.support.clear()
            read = collector.open(target)
            first = list(read())
            time.sleep(_GPM_GAP if collector.name in ("gpu_activity", "gpu_mig") else 0)
            series = max(len(first), len(list(read())))
            missing: dict[str, list[str]] = {}
            for reading, answer in device.notes.support.items():
                if answer != "ok":
                    missing.setdefault(answer, []).append(reading)
            report.groups.append(Group(collector.name, series, missing))
    except Unavailable as error:
        report.error = f"{type(error).__name__}: {error}"
    return report


def main() -> int:
    """Run as a process: see the module."""
    from agent.system.nvml.library import PynvmlLibrary  # noqa: PLC0415 - loads the driver's library

    try:
        library = PynvmlLibrary(SharedProgress(int(sys.argv[1])))
        report = examine(library)
    except DriverGone as error:
        report = Report(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
