# SPDX-License-Identifier: Apache-2.0
"""What engines write into attributes, made sense of: what is absent, unknown (-1) or nonsense becomes None."""

from collections.abc import Mapping
from contextlib import suppress

from agent.otlp.values import Value

NS = 1_000_000_000
_DIGITS = 20
_LONGEST = 256
_AGES = 1e9
"""Seconds, some 30 years: no duration of a request, and still a number of ns that fits 64 bits."""


def count(value: Value) -> int | None:
    """Read a number of things: an integer, also as text or as a float; engines write -1 for unknown."""
    if type(value) is int:  # What most are: the quickest way out.
        return value if value >= 0 else None
    if isinstance(value, str) and len(value) <= _DIGITS:
        with suppress(ValueError):
            value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def seconds(value: Value) -> float | None:
    """Read a duration in s: a number, also as text; engines write -1 for unknown."""
    if type(value) is float:
        return value if 0 <= value <= _AGES else None
    if isinstance(value, str) and len(value) <= _DIGITS + _DIGITS:
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _AGES:
        return float(value)
    return None


def milliseconds(value: Value) -> float | None:
    """Read a duration in ms, as s."""
    found = seconds(value)
    return None if found is None else found / 1000


def text(value: Value) -> str | None:
    """Read a word: a string that is not empty, cut to 256 characters, or a number as one."""
    if isinstance(value, str):
        return value[:_LONGEST] or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def first(attributes: Mapping[str, Value], *keys: str) -> Value:
    """Give the first of these attributes that is there."""
    for key in keys:
        if (value := attributes.get(key)) is not None:
            return value
    return None


def after(time: int, duration: float | None) -> int | None:
    """Add seconds to a time in ns."""
    return None if duration is None else time + int(duration * NS)
