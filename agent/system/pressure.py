# SPDX-License-Identifier: Apache-2.0
"""Pressure stall information: for how long tasks waited for CPU, memory, disks and interrupts.

Source: the kernel's Documentation/accounting/psi.rst. /proc/pressure says it of the host, from Linux 4.20 on and where
it is switched on; control groups of v2 say it of themselves.
"""

import re
from collections.abc import Mapping

from agent.errors import Unavailable
from agent.system.kernel_files import whole

RESOURCES = ("cpu", "memory", "io", "irq")
_LINE = re.compile(rb"^(some|full) [^\n]*?\btotal=([0-9]{1,20})$", re.MULTILINE)
_US = 1_000_000
_UNDEFINED = {("cpu", "full")}
"""Of the host it is not defined, and 0 since Linux 5.13."""


def parse_pressure(text: bytes) -> dict[str, float]:
    """Read the seconds of waiting by stall type: `some`, `full`. Raises Unavailable where there are none."""
    found = {kind.decode(): int(total) / _US for kind, total in _LINE.findall(text)}
    if not found:
        raise Unavailable("pressure: has neither some nor full")
    return found


def host_pressure(root: str, resource: str) -> Mapping[str, float]:
    """Read what the host waited for. Raises as whole(): NotSupported where the kernel does not have it."""
    told = parse_pressure(whole(f"{root}/proc/pressure/{resource}"))
    return {kind: seconds for kind, seconds in told.items() if (resource, kind) not in _UNDEFINED}
