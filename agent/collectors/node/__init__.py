# SPDX-License-Identifier: Apache-2.0
"""Collectors that read the node: its NICs, its processors, its rack. They run in the agent, each in its own thread.

A module here is found by its name. It defines `COLLECTOR`: its name, which is that of its section in the configuration
under `collectors`, and a function that prepares it for the node and returns what to call at each interval. What is
called returns samples and may block; what the node does not have it leaves out. One thing that cannot be read is told
to `Node.failed` and costs its own series; an exception ends the run and costs all of them until the next: NotSupported
where there is nothing to read, Unavailable where it failed.
"""

import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from agent.clock import Clock
from agent.config import NodeSettings
from agent.errors import NotSupported, Unavailable
from agent.metric import Distribution, Metric, Sample
from agent.snapshot import Snapshot

ROOT = Path("/")
P = ParamSpec("P")
T = TypeVar("T")


class Node(NamedTuple):
    """The machine that a collector is prepared for."""

    settings: NodeSettings
    """Its section of the configuration."""
    clock: Clock
    snapshot: Callable[[], Snapshot]
    """What all collectors said last: GPUs and their PCI addresses, for one."""
    failed: Callable[[Exception], None]
    """Takes what could not be read in this run, beside an exception that ends it. Only for the run under way."""
    root: Path = ROOT
    """Where /proc and /sys are."""
    simulated_since: int | None = None
    """In the demo, when its simulation began, ns of the monotonic clock: then no hardware of this machine is read."""

    def ask(self, reading: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Read one thing. None where there is none of it, or where it failed, which is told to `failed`."""
        try:
            return reading(*args, **kwargs)
        except NotSupported:
            return None
        except Unavailable as error:
            self.failed(error)
            return None


Read = Callable[[], Iterable[Sample | Distribution]]


def _every(_: str) -> bool:
    return True


class NodeCollector(NamedTuple):
    """A collector of one group of readings.

    `open` runs in the collector's thread, before its first run and again after one that failed in it. Series of the
    metrics of `history` also go into the timeline, each device's by themselves: those with the same `hw.id`.
    """

    name: str
    open: Callable[[Node], Read]
    history: frozenset[Metric[Any]] = frozenset()
    remembered: Callable[[str], bool] = _every
    """Of which devices, by their `hw.id`, there is a history."""


def discover() -> list[NodeCollector]:
    """Find every collector in this package, by module name."""
    modules = (import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return [module.COLLECTOR for module in modules]
