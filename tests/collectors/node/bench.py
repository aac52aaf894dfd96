# SPDX-License-Identifier: Apache-2.0
"""Runs a collector of the node on a tree of files, with a clock that moves when told."""

import shutil
from collections.abc import Callable
from pathlib import Path

from agent.clock import FakeClock
from agent.collectors.node import Node, NodeCollector, Read
from agent.config import Collectors, NodeSettings
from agent.entity import attributes
from agent.metric import Sample
from agent.snapshot import EMPTY, Snapshot

FIXTURES = Path(__file__).parents[2] / "fixtures"


class Bench:
    """A collector and what it reads."""

    def __init__(
        self,
        collector: NodeCollector,
        root: Path,
        settings: NodeSettings | None = None,
        *,
        snapshot: Callable[[], Snapshot] = lambda: EMPTY,
        simulated_since: int | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.failures: list[Exception] = []
        chosen = settings or getattr(Collectors(), collector.name)
        self.node = Node(chosen, self.clock, snapshot, self.failures.append, root, simulated_since)
        self.name = collector.name
        self.read: Read = collector.open(self.node)

    def samples(self, seconds: float = 0.0) -> list[Sample]:
        """Read once, some time later."""
        self.clock.advance(seconds)
        return [one for one in self.read() if isinstance(one, Sample)]

    def lines(self, seconds: float = 0.0) -> dict[str, float]:
        """Read once: values by the name and attributes of their series."""
        return lines(self.samples(seconds))


def lines(samples: list[Sample]) -> dict[str, float]:
    """Write samples as a dictionary; no series may be there twice."""
    found: dict[str, float] = {}
    for series, value in samples:
        told = ",".join(f"{name}={text}" for name, text in attributes(series.entity))
        key = f"{series.metric.name}{{{told}}}"
        assert key not in found, key
        found[key] = float(value)
    return found


def copied(tree: str, tmp_path: Path) -> Path:
    """Copy a tree, in order to break something in it."""
    root = tmp_path / tree
    shutil.copytree(FIXTURES / tree, root, symlinks=True)
    return root
