# SPDX-License-Identifier: Apache-2.0
"""What engines write into attributes, made sense of: what is absent, unknown (-1) or nonsense becomes None."""

from collections.abc import Mapping
from contextlib import suppress

from msgspec import MsgspecError
from msgspec.json import Decoder

from agent.otlp.values import Value

NS = 1_000_000_000
_DIGITS = 20
_LONGEST = 256
_AGES = 1e9
"""Seconds, some 30 years: no duration of a request, and still a number of ns that fits 64 bits."""
_MOST = 1 << 53
"""Up to here a double holds every integer: metrics are sums of doubles."""
_WORDS = Decoder(list[str | None])
_WORDY = 4096


def count(value: Value) -> int | None:
    """Read a number of things: an integer, also as text or as a float; engines write -1 for unknown."""
    if isinstance(value, str) and len(value) <= _DIGITS:
        with suppress(ValueError):
            value = int(value)
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    # Which a bool is not.
    return value if type(value) is int and 0 <= value <= _MOST else None


def seconds(value: Value, most: float = _AGES) -> float | None:
    """Read a duration in s, of at most `most`: a number, also as text; engines write -1 for unknown."""
    if isinstance(value, float):
        return value if 0 <= value <= most else None
    if isinstance(value, str) and len(value) <= _DIGITS + _DIGITS:
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most:
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


def reason(value: Value) -> str | None:
    """Read why generation ended: a word, a list of words, or such a list as JSON; of several, the first counts."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = [*_WORDS.decode(value[:_WORDY])]
        except MsgspecError:
            return None
    if isinstance(value, list):
        return next((word for one in value if (word := text(one)) is not None), None)
    return text(value)


def first(attributes: Mapping[str, Value], *keys: str) -> Value:
    """Give the first of these attributes that is there and no empty text."""
    for key in keys:
        if (value := attributes.get(key)) is not None and value != "":
            return value
    return None


def part(number: int | None, whole: int | None) -> int | None:
    """Give a number of things that are part of others; None when there are more of them than of the whole."""
    return None if number is None or (whole is not None and number > whole) else number


def moment(start: int, wait: float | None, end: int) -> int | None:
    """Give the time (ns) `wait` seconds after the start; None when that is unknown, or past the end."""
    if wait is None:
        return None
    found = start + round(wait * NS)
    return found if found <= end else None
