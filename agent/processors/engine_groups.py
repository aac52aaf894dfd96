# SPDX-License-Identifier: Apache-2.0
"""Which processes are of which engine: those that lead to its GPUs and to no others.

An engine's GPUs are known by its spans, its page or the configuration; the processes are those that hold memory of
these GPUs, and their family (see kinship). Of several engines on the same GPUs a process belongs to the one whose name
is that of its service; where that tells nothing, it belongs to none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from agent.catalogue.requests import ENGINE_GPU
from agent.processors.kinship import Kinship
from agent.snapshot import Snapshot

Engines: TypeAlias = Mapping[str, frozenset[str]]
"""Names of engines, and the ids of their GPUs."""
MOST = 256
"""Processes of an engine that are read; those with the smallest numbers."""


def engines_of(snapshot: Snapshot) -> dict[str, frozenset[str]]:
    """List the engines of a snapshot and their GPUs."""
    found: dict[str, set[str]] = {}
    for batch in snapshot.batches.values():
        for metric, entity in batch.series:
            if metric is ENGINE_GPU:
                found.setdefault(entity[0], set()).add(entity[1])
    return {engine: frozenset(gpus) for engine, gpus in found.items()}


def groups_of(
    engines: Engines, kinship: Kinship, service: Callable[[int], str | None]
) -> tuple[dict[str, Sequence[int]], int]:
    """Find the processes of each engine, and count those that are of several or too many.

    `service` tells what OpenTelemetry calls a process.
    """
    found: dict[str, list[int]] = {}
    left_out = 0
    for pid in sorted(kinship.relatives):
        gpus = frozenset(gpu.id for gpu in kinship.gpus_of(pid))
        owner = _owner(pid, gpus, engines, service)
        if owner is None:
            left_out += any(gpus <= held for held in engines.values())
        elif len(found.setdefault(owner, [])) < MOST:
            found[owner].append(pid)
        else:
            left_out += 1
    return {engine: tuple(pids) for engine, pids in found.items()}, left_out


def _owner(pid: int, gpus: frozenset[str], engines: Engines, service: Callable[[int], str | None]) -> str | None:
    claims = [engine for engine, held in engines.items() if gpus and gpus <= held]
    if len(claims) > 1:
        name = service(pid)
        claims = [engine for engine in claims if engine == name]
    return claims[0] if len(claims) == 1 else None
