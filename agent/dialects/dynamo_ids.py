# SPDX-License-Identifier: Apache-2.0
"""Ids of Dynamo's workers: one u64, decimal in spans and trace files, hexadecimal in the labels of its metrics.

The latter are read with the pages, see `rules.Hex`. They exceed what a double holds: never let one become a float.
"""

_MOST = (1 << 64) - 1
_DIGITS = 20


def decimal(value: object) -> int | None:
    """Read an id as spans, request traces and forward-pass traces write it; None where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST else None
