# SPDX-License-Identifier: Apache-2.0
"""NUMA nodes: their memory, and for whom pages were taken from them.

Source: the kernel's Documentation/admin-guide/numastat.rst. On a superchip the memory of each GPU is a node too.
"""

import os
import re
from typing import NamedTuple

from agent.errors import Unavailable
from agent.system.kernel_files import named_numbers, whole
from agent.system.sysfs import failure

_NODE = re.compile(r"node([0-9]{1,5})")
_LINE = re.compile(rb"^Node [0-9]+ (\w+):\s+([0-9]{1,18}) kB", re.MULTILINE)
_ALLOCATIONS = {"local": "local_node", "other": "other_node", "miss": "numa_miss"}


class NumaMemory(NamedTuple):
    """Bytes of a node's memory."""

    total: int
    free: int


def numa_nodes(root: str) -> list[int]:
    """List the nodes. Raises NotSupported where the kernel has none, Unavailable."""
    folder = f"{root}/sys/devices/system/node"
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed
    except OSError as error:
        raise failure(folder, error) from error
    return sorted(int(found[1]) for name in names if (found := _NODE.fullmatch(name)))


def numa_memory(root: str, node: int) -> NumaMemory:
    """Read the memory of a node; its total is 0 for one that has only CPUs. Raises as whole()."""
    path = f"{root}/sys/devices/system/node/node{node}/meminfo"
    return parse_meminfo(whole(path), path)


def parse_meminfo(text: bytes, path: str) -> NumaMemory:
    """Read a node's meminfo. Raises Unavailable."""
    found = {name: int(kib) * 1024 for name, kib in _LINE.findall(text)}
    try:
        return NumaMemory(found[b"MemTotal"], found[b"MemFree"])
    except KeyError as error:
        raise Unavailable(f"{path}: has no {error.args[0].decode()}") from error


def numa_allocations(root: str, node: int) -> dict[str, int]:
    """Read the pages taken from a node since the start: `local`, `other`, `miss`. Raises as whole()."""
    counts = named_numbers(whole(f"{root}/sys/devices/system/node/node{node}/numastat"))
    return {kind: counts[name] for kind, name in _ALLOCATIONS.items() if name in counts}
