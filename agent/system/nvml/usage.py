# SPDX-License-Identifier: Apache-2.0
"""Memory and the processes that hold it: what GPUs and MIG instances answer alike, through NVML."""

from collections.abc import Sequence
from typing import Any

import pynvml

from agent.system.nvml.ask import Asker
from agent.system.nvml.device import Memory, ProcessUse


def read_memory(ask: Asker, handle: Any) -> Memory | None:
    """Read device memory; an older driver's `used` includes what is reserved."""
    new = ask("nvmlDeviceGetMemoryInfo_v2", pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    if new is not None:
        return Memory(new.total, new.used, new.free, new.reserved)
    old = ask("nvmlDeviceGetMemoryInfo", pynvml.nvmlDeviceGetMemoryInfo, handle)
    return None if old is None else Memory(old.total, old.used, old.free)


def read_processes(ask: Asker, handle: Any) -> Sequence[ProcessUse] | None:
    """List processes, each once. Entries that cannot be true (driver R535 once shuffled them) are left out."""
    found: dict[int, int | None] = {}
    answered = False
    memory = read_memory(ask, handle)
    for kind in ("Compute", "Graphics"):
        name = f"nvmlDeviceGet{kind}RunningProcesses_v3"
        entries: Any = ask(name, getattr(pynvml, name), handle)
        answered = answered or entries is not None
        for entry in entries or ():
            used = entry.usedGpuMemory
            if entry.pid > 0 and (used is None or memory is None or used <= memory.total):
                found[entry.pid] = used if found.get(entry.pid) is None else max(used or 0, found[entry.pid] or 0)
    return [ProcessUse(pid, used) for pid, used in found.items()] if answered else None
