# SPDX-License-Identifier: Apache-2.0
"""Which network interfaces are read: by kind where nothing is configured, else by patterns of their names."""

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from agent.config import NodeSettings
from agent.system.netdevs import Interface

USUAL = frozenset({"physical", "bond", "vlan"})
"""Kinds that are read by default. Virtual functions of this node, representors and virtual interfaces are of pods."""
HARDWARE = frozenset({"physical"})
MOST = 1024


class Chosen(NamedTuple):
    """The interfaces to read, and how many there are beside, by kind."""

    nics: tuple[Interface, ...]
    left_out: Counter[str]


def choose(found: Sequence[Interface], settings: NodeSettings, usual: frozenset[str] = USUAL) -> Chosen:
    """Choose at most MOST of the interfaces."""
    wanted = [one for one in found if _wanted(one, settings, usual)]
    chosen = tuple(wanted[:MOST])
    names = {one.name for one in chosen}
    return Chosen(chosen, Counter(one.kind for one in found if one.name not in names))


def _wanted(nic: Interface, settings: NodeSettings, usual: frozenset[str]) -> bool:
    if any(fnmatchcase(nic.name, pattern) for pattern in settings.exclude):
        return False
    if settings.include:
        return any(fnmatchcase(nic.name, pattern) for pattern in settings.include)
    return nic.kind in usual
