# SPDX-License-Identifier: Apache-2.0
"""Machines as trees of files: /sys and /proc of nodes that are written down in tests/fixtures/nodes.

A `.tree` has a folder in brackets and below it its files, `name = text`, and symbolic links, `name -> target`. What the
drivers of interfaces would answer stands under `ethtool`, statistics as `ethtool -S` prints them.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.clock import Clock, FakeClock
from agent.collectors.node import Node
from agent.config import NodeSettings
from agent.entity import attributes
from agent.errors import NotSupported, Unavailable
from agent.metric import Sample
from agent.snapshot import EMPTY, Snapshot
from agent.system.ethtool import Driver

FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where a thousand small files are written in no time."""
TREES = Path(__file__).parent / "fixtures" / "nodes"
GOLDEN = Path(__file__).parent / "golden"
NAMES = ("hgx-h100", "dgx-infiniband", "gb200-tray", "plain-vm")


def plant(name: str, root: Path) -> Path:
    """Write a node's files below `root`."""
    folder = root
    for line in (TREES / f"{name}.tree").read_text().splitlines():
        if line.startswith("["):
            folder = root / line.strip("[]")
        elif found := re.fullmatch(r"(\S+) (=|->) ?(.*)", line):
            path = folder / found[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            if found[2] == "->":
                path.symlink_to(found[3])
            else:
                path.write_text(found[3].replace("\\n", "\n") + "\n")
    return root


class TreeEthtool:
    """Answers for the drivers of a tree; see Ethtool. `calls` counts how often names were asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root / "ethtool"
        self.calls = 0

    def names(self, interface: str) -> tuple[str, ...]:
        self.calls += 1
        return tuple(name for name, _ in self._statistics(interface))

    def values(self, interface: str, count: int) -> Sequence[int]:
        found = [value for _, value in self._statistics(interface)]
        if len(found) != count:
            raise Unavailable(f"{interface}: others")
        return found

    def driver(self, interface: str) -> Driver:
        folder = self._root / interface
        if not folder.exists():
            raise NotSupported(interface)
        return Driver((folder / "driver").read_text().strip(), (folder / "firmware").read_text().strip())

    def _statistics(self, interface: str) -> list[tuple[str, int]]:
        file = self._root / interface / "statistics"
        if not file.exists():
            raise NotSupported(interface)
        found = re.findall(r"^\s*(.*?): (\d+)$", file.read_text(), re.MULTILINE)
        return [(name, int(value)) for name, value in found]


class Failures(list[str]):
    """What a collector could not read."""

    def take(self, error: Exception) -> None:
        self.append(str(error))


def node(
    root: Path,
    failures: Failures | None = None,
    clock: Clock | None = None,
    snapshot: Callable[[], Snapshot] = lambda: EMPTY,
    *,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
) -> Node:
    """Make a node of a tree, with what its section of the configuration says."""
    chosen = NodeSettings(include=include, exclude=exclude)
    failed = (Failures() if failures is None else failures).take
    return Node(chosen, clock or FakeClock(), snapshot, failed, root=root)


def lines(samples: Sequence[Sample]) -> str:
    """Write samples as a golden file has them, sorted."""
    found = []
    for (metric, entity), value in samples:
        labels = ",".join(f"{name}={told}" for name, told in attributes(entity))
        found.append(f"{metric.name}{{{labels}}} {value:.12g}")
    return "\n".join(sorted(found)) + "\n"


def values(samples: Sequence[Sample], metric: str, **labels: str) -> list[float]:
    """Give the values of a metric's series that have these attributes, with _ for the dots of their names."""
    wanted = set(labels.items())
    return [
        value
        for (of, entity), value in samples
        if of.name == metric and wanted <= {(name.replace(".", "_"), told) for name, told in attributes(entity)}
    ]
