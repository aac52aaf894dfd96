# SPDX-License-Identifier: Apache-2.0
"""From what is known of a sender to the GPUs of its engine: by process ids, by its connection, by its container.

A process id is true only in the pid namespace of its sender, and only while the process lives. So it is compared with
what each process is called in its own namespace, and a process that began after the request ended is not the one.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from agent.processors.clues import Clues
from agent.processors.kinship import Device, Kinship
from agent.spans import Peer
from agent.system.sockets import is_loopback

_SLACK = 2_000_000_000
"""ns by which a process may seem to begin late: boot time and start are known to a second."""
_INIT = 1
_SHORTEST_ID = 12
"""Characters of a container id that Docker shows."""


class Reason(StrEnum):
    """Why the GPUs of a request are not known."""

    NO_GPUS = "no_gpus"
    """This node has none."""
    UNKNOWN_GPU = "unknown_gpu"
    """The configuration or the span names GPUs, and this node has none of them."""
    NO_PROCESS_ID = "no_process_id"
    """The span names no process, and its connection is closed or not known."""
    PROCESS_GONE = "process_gone"
    """The process that the span names is not on this node, or not any more."""
    NO_GPU_HELD = "no_gpu_held"
    """The process is known, and neither it nor its relatives hold memory of a GPU."""
    NOT_PERMITTED = "not_permitted"
    """The processes that hold GPUs could not be looked into."""
    REMOTE = "remote"
    """The span came from another machine."""
    BUSY = "busy"
    """More connections were new than are looked at in 5 s."""
    AMBIGUOUS = "ambiguous"
    """Several processes go by the id that the span names, and lead to different GPUs."""


class Found(NamedTuple):
    """GPUs and how they are known; or why none were found, where that can be told."""

    gpus: tuple[Device, ...] = ()
    source: str | None = None
    reason: Reason | None = None


def by_pids(clues: Clues, kinship: Kinship, ended: int) -> Found:
    """Follow the process ids that a span names. `ended` is the end of its request, in unix ns."""
    if not clues.pids:
        return Found()
    away = _away(clues.peer, kinship)
    if away and not (clues.container or clues.pod):
        return Found(reason=away)
    fits = _is_in_group if away else _may_be_in_group
    chosen: list[int] = []
    for number in clues.pids:
        candidates = [pid for pid in _called(number, kinship) if fits(pid, clues, kinship)]
        agreed = _agreed([pid for pid in candidates if _lived(pid, kinship, ended)], clues.peer, kinship)
        if agreed is None:
            return Found(reason=Reason.AMBIGUOUS)
        chosen += agreed
    if not chosen:
        return Found(reason=Reason.PROCESS_GONE)
    # Workers that are named tell which of several data-parallel ranks it was; without them it is the whole engine.
    workers = [pid for pid in chosen if pid in kinship.holders]
    return _led_to(workers or chosen, kinship, "pid")


def by_socket(clues: Clues, kinship: Kinship, _ended: int) -> Found:
    """Follow the connection. Where processes may not be looked into, its network namespace may tell the pod."""
    if clues.peer is None:
        return Found()
    if away := _away(clues.peer, kinship):
        return Found(reason=away)
    end = kinship.end_of(clues.peer)
    if end is None:
        return Found(reason=Reason.BUSY)
    if end.inode is None:
        return Found()
    owners = kinship.owners(end.inode)
    if owners.pids or not owners.refused:
        return _led_to(owners.pids, kinship, "socket")
    if end.network_of is None:
        return Found(reason=Reason.NOT_PERMITTED)
    members = [pid for pid in kinship.holders if kinship.neighbours(end.network_of, pid)]
    group = kinship.cgroup(end.network_of)
    return _held_by(members, kinship, "pod" if group and group.pod else "container")


def by_group(clues: Clues, kinship: Kinship, _ended: int) -> Found:
    """Follow the container, or else the pod: the GPUs of all processes in it."""
    if not (clues.container or clues.pod):
        return Found()
    groups = {pid: group for pid in kinship.holders if (group := kinship.cgroup(pid))}
    members = [pid for pid, group in groups.items() if _same_container(group.container, clues.container)]
    if members:
        return _held_by(members, kinship, "container")
    return _held_by([pid for pid, group in groups.items() if group.pod and group.pod == clues.pod], kinship, "pod")


def _led_to(pids: Iterable[int], kinship: Kinship, source: str) -> Found:
    gpus = kinship.ordered(gpu for pid in pids for gpu in kinship.gpus_of(pid))
    return Found(gpus, source) if gpus else Found(reason=Reason.NO_GPU_HELD)


def _held_by(pids: Iterable[int], kinship: Kinship, source: str) -> Found:
    gpus = kinship.held(pids)
    return Found(gpus, source) if gpus else Found(reason=Reason.NO_GPU_HELD)


def _away(peer: Peer | None, kinship: Kinship) -> Reason | None:
    """Say why a sender cannot be taken to be on this machine; None when it can, or when nothing is known of it."""
    if peer is None or is_loopback(peer.host):
        return None
    end = kinship.end_of(peer)
    if end is None:
        return Reason.BUSY
    return Reason.REMOTE if end.inode is None else None


def _called(number: int, kinship: Kinship) -> Sequence[int]:
    """Find the processes that a sender can mean by `number`. A thread of the host's namespace is its process's."""
    if found := [pid for pid in kinship.numbered(number) if pid != _INIT]:
        return found
    pid = kinship.machine.process_of_thread(number)
    process = None if pid is None else kinship.table.get(pid)
    return [process.pid] if process and len(process.numbers) == 1 else []


def _lived(pid: int, kinship: Kinship, ended: int) -> bool:
    began = kinship.started(pid)
    return began is None or began <= ended + _SLACK


def _agreed(candidates: Sequence[int], peer: Peer | None, kinship: Kinship) -> Sequence[int] | None:
    """Choose among processes of the same number by the connection; None when they lead to different GPUs."""
    if len({kinship.gpus_of(pid) for pid in candidates}) <= 1:
        return candidates
    end = kinship.end_of(peer) if peer else None
    if end is None or end.inode is None:
        return None
    owners = kinship.owners(end.inode).pids
    near = owners or ([] if end.network_of is None else [end.network_of])
    for agreed in (
        [pid for pid in candidates if pid in owners],
        [pid for pid in candidates if any(kinship.neighbours(one, pid) for one in near)],
    ):
        if len({kinship.gpus_of(pid) for pid in agreed}) == 1:
            return agreed
    return None


def _is_in_group(pid: int, clues: Clues, kinship: Kinship) -> bool:
    group = kinship.cgroup(pid)
    if group is None:
        return False
    return _same_container(group.container, clues.container) or (group.pod is not None and group.pod == clues.pod)


def _may_be_in_group(pid: int, clues: Clues, kinship: Kinship) -> bool:
    """Say whether nothing that both sides tell contradicts it."""
    group = kinship.cgroup(pid)
    if group is None:
        return True
    if group.container and clues.container:
        return _same_container(group.container, clues.container)
    return not (group.pod and clues.pod) or group.pod == clues.pod


def _same_container(known: str | None, told: str | None) -> bool:
    return bool(known and told and len(told) >= _SHORTEST_ID and known.startswith(told))
