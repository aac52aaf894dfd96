# SPDX-License-Identifier: Apache-2.0
"""What the driver of AWS Neuron devices says of their power: once a minute, as a share of the most they may take."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_DEVICES = "sys/devices/virtual/neuron_device"
_POWER = "stats/power/utilization"
_VALID = "POWER_STATUS_VALID"
_MOST = 1024
_ALL = 100.0


class PowerShare(NamedTuple):
    """The least, most and mean power of a device in the minute before a time, unix s, as ratios."""

    device: int
    time: float
    min: float
    max: float
    avg: float


def power_shares(root: Path = Path("/")) -> Iterator[PowerShare]:
    """Read the power of every device that tells it."""
    for device in range(_MOST):
        folder = root / _DEVICES / f"neuron{device}"
        if not folder.is_dir():
            return
        with suppress(OSError):
            if (found := parse(device, (folder / _POWER).read_bytes()[:256])) is not None:
                yield found


def parse(device: int, text: bytes) -> PowerShare | None:
    """Read "status,time,min,max,avg", percentages; None where the status is another than valid."""
    fields = text.strip().split(b",")
    if len(fields) != len(PowerShare._fields) or fields[0].strip() != _VALID.encode():
        return None
    try:
        time, *shares = (float(field) for field in fields[1:])
    except ValueError:
        return None
    if not 0 <= time < 1 << 40 or not all(0 <= share <= _ALL for share in shares):
        return None
    return PowerShare(device, time, *(share / _ALL for share in shares))
