# SPDX-License-Identifier: Apache-2.0
"""Gives memory back to the system once a large request is dealt with."""

import ctypes
from contextlib import suppress

_LARGE = 2 << 20


def give_back(size: int) -> None:
    """Return what a request of `size` bytes has left, where that is much; glibc keeps it otherwise. Takes some ms."""
    if size < _LARGE:
        return
    # Other C libraries do not have it, and do not keep as much.
    with suppress(AttributeError):
        _LIBC.malloc_trim(0)


_LIBC = ctypes.CDLL(None)
