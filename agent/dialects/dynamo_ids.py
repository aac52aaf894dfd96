# SPDX-License-Identifier: Apache-2.0
"""Ids of Dynamo's workers: one u64, decimal in spans and trace files, hexadecimal in the labels of its metrics.

They exceed what a double holds: never let one become a float.
"""

_MOST = (1 << 64) - 1
_DECIMAL, _HEX = 20, 16


def decimal(value: object) -> int | None:
    """Read an id as spans, request traces and forward-pass traces write it; None where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DECIMAL:
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST else None


def hexadecimal(text: str) -> int | None:
    """Read an id as the `worker_id` of dynamo_component_* has it: hexadecimal, without zeros before it."""
    if not text or len(text) > _HEX or not set(text) <= set("0123456789abcdefABCDEF"):
        return None
    return int(text, 16)
