# SPDX-License-Identifier: Apache-2.0
"""Reading field values and waves through the mock, for its tests."""

from collections.abc import Callable
from typing import Any

from tests.mock_nvml.caller import NvmlCaller

Call = tuple[str, *tuple[object, ...]]
"""A function and its arguments."""
ALL_LINKS = 0xFFFFFFFF
"""The scope of a field that asks for the sum over all links."""
MEMORY_V2 = 0x2000028
"""The version that makes nvmlDeviceGetMemoryInfo call its second version."""
UNION_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""The member of a value's union by its valueType."""


def entries(caller: NvmlCaller, gpu: int, *fields: int | tuple[int, int]) -> list[Any]:
    """Field values: the value by its declared type, or the status code of the entry as a negative number."""
    answer = caller.value(
        "nvmlDeviceGetFieldValues", {"gpu": gpu}, [f if isinstance(f, tuple) else (f, 0) for f in fields]
    )
    return [e["value"][UNION_MEMBERS[e["valueType"]]] if e["nvmlReturn"] == 0 else -e["nvmlReturn"] for e in answer]


def status(caller: NvmlCaller, gpu: int, *fields: int | tuple[int, int]) -> list[int]:
    """The status code of each entry."""
    answer = caller.value(
        "nvmlDeviceGetFieldValues", {"gpu": gpu}, [f if isinstance(f, tuple) else (f, 0) for f in fields]
    )
    return [e["nvmlReturn"] for e in answer]


def assert_follows(caller: NvmlCaller, wave: Callable[[float], float], call: Call, *path: str | int) -> None:
    """The result of a call lies between what the wave says before it and after it."""
    answer = caller.call(*call)
    assert answer.error is None, call
    value = answer.value if not answer.out else answer.out[0]
    for step in path:
        value = value[step]
    low, high = sorted((wave(answer.before), wave(answer.after)))
    assert low <= value <= high, call


def field_call(gpu: int, field: int, scope: int = 0) -> Call:
    """A call that reads one field."""
    return "nvmlDeviceGetFieldValues", {"gpu": gpu}, [(field, scope)]
