# SPDX-License-Identifier: Apache-2.0
"""/proc/net/dev: what the kernel counts of every network interface, in one read and without a lock.

Source: net/core/net-procfs.c of Linux. Of the same counters in /sys/class/net/*/statistics each is a file that has
the driver add up all of them anew.
"""

from typing import NamedTuple

_FIELDS = 16
_MOST = (1 << 64) - 1
_LONGEST = 512
"""Bytes of a line's numbers: sixteen of twenty digits, with room."""


class Traffic(NamedTuple):
    """Counters of one interface in the order of the file's that are used here."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def parse(data: bytes) -> dict[str, Traffic]:
    """Read the file: interface to counters. A line that is none is left out.

    Names may hold any character but white space, / and :, and the first number may follow the colon at once.
    """
    found: dict[str, Traffic] = {}
    for line in data.splitlines()[2:]:
        name, _, rest = line.partition(b":")
        fields = rest.split()
        if len(fields) < _FIELDS or len(rest) > _LONGEST:
            continue
        try:
            numbers = (*map(int, fields[:4]), *map(int, fields[8:12]))
        except ValueError:
            continue
        if max(numbers) > _MOST or min(numbers) < 0:
            continue
        found[name.strip().decode("utf-8", "surrogateescape")] = Traffic(*numbers)
    return found
