# SPDX-License-Identifier: Apache-2.0
"""Prints what GPU 0 answers to every NVML field, as JSON lines: `python -m tests.hardware.raw_fields`.

Each field is asked in a call of its own, as entries of one call can spoil each other. A line has field, scope and the
entry's return code; where that is 0 also its value type and the value's eight bytes as an integer. `call` is there
instead of `code` where the whole call failed.
"""

import ctypes
import json
import sys
from collections.abc import Iterator
from typing import Any

import pynvml

from agent.system.nvml.batch import ENTRY
from agent.system.nvml.fields import ALL_LINKS

FIELDS = range(1, 310)
LINKS = 18
SCOPES = (0, 1, 2, 3, ALL_LINKS)
"""Asked of every field: power has scopes, and whether another field minds its scope is not documented."""
BY_LINK = frozenset(
    {*range(138, 142), 146, *range(161, 169), *range(170, 173), *range(201, 223), *range(231, 251), *range(289, 297)}
)
"""Fields of an NVLink or a C2C link."""
_END = frozenset({pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_GPU_IS_LOST})


def scopes(field: int) -> list[int]:
    """List the scopes that a field is asked for."""
    return sorted({*SCOPES, *range(LINKS)}) if field in BY_LINK else sorted(SCOPES)


def answers(handle: Any) -> Iterator[dict[str, int]]:
    """Ask for every field; see the module. Raises NVMLError when the GPU is lost on the way."""
    function = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetFieldValues")
    buffer = (ctypes.c_char * ENTRY.size)()
    for field in FIELDS:
        for scope in scopes(field):
            ENTRY.pack_into(buffer, 0, field, scope, 0, 0, 0, 0, 0)
            call = function(handle, ctypes.c_int(1), buffer)
            if call in _END:
                raise pynvml.NVMLError(call)
            _, _, _, _, kind, code, value = ENTRY.unpack(buffer)
            asked = {"field": field, "scope": scope}
            if call:
                yield {**asked, "call": call}
            else:
                yield {**asked, "code": code} if code else {**asked, "code": code, "type": kind, "value": value}


def main() -> None:
    """Ask the first GPU."""
    pynvml.nvmlInit()
    for answer in answers(pynvml.nvmlDeviceGetHandleByIndex(0)):
        sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
