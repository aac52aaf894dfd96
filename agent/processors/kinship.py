# SPDX-License-Identifier: Apache-2.0
"""From a process to the GPUs of its engine: its own, its descendants', or those of its siblings under one launcher.

Engines are trees. The process that answers requests and sends spans often holds no GPU: its descendants do (vLLM), or
its siblings (SGLang's schedulers beside a server, Dynamo's workers). No way leads from one control group to another,
and the way up ends below pid 1, shells, service managers and container shims: what these started has nothing in common.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol, TypeAlias

from agent.entities import Gpu, MigInstance
from agent.spans import Peer
from agent.system.cgroup import Cgroup
from agent.system.processes import Process
from agent.system.sockets import Owners, is_loopback

Device: TypeAlias = Gpu | MigInstance
CONNECTIONS = 100
"""Connections that are looked for in one reading of the processes: each costs milliseconds."""
_DEEPEST = 64
_INIT = 1
_MOST_NAMESPACES = 64
_STARTERS = frozenset(
    (  # noqa: SIM905 - a name a line would be forty lines
        "ash bash busybox conmon containerd crun csh dash dbus-daemon docker docker-init dockerd dumb-init fish init "
        "ksh kubelet login podman runc runsv s6-supervise s6-svscan screen sh slurmstepd sshd sshd-session su sudo "
        "systemd tcsh tini tmux zsh"
    ).split()
)
"""Names of programs that start others which have nothing to do with each other."""
_STARTERS_BEGIN = ("containerd-shim", "tmux:", "tini-")


class End(NamedTuple):
    """The socket at the other end of a connection, and the process whose network namespace it is in, if not ours."""

    inode: int | None = None
    network_of: int | None = None


class Machine(Protocol):
    """Answers about processes; see agent.system.machine.LocalMachine. Calls block and never raise."""

    def processes(self) -> Mapping[int, Process]:
        """Read all processes, by their number in NVML's pid namespace."""
        ...

    def cgroup(self, pid: int) -> Cgroup | None:
        """Read where a process is accounted; None when it is gone or hidden."""
        ...

    def started(self, pid: int) -> int | None:
        """Tell when a process began, unix ns, within a second; None when that is unknown."""
        ...

    def process_of_thread(self, thread: int) -> int | None:
        """Give the process of a thread id; None when there is none."""
        ...

    def socket_inode(self, peer: Peer, pid: int | None = None) -> int | None:
        """Find the socket at the peer's end, in the network namespace of a process or in the agent's own."""
        ...

    def owners(self, inode: int, pids: Iterable[int]) -> Owners:
        """Find which of these processes have a socket open."""
        ...


class Kinship:
    """The processes of one moment, and which GPUs each leads to."""

    def __init__(self, machine: Machine, holders: Mapping[int, Sequence[Device]], gpus: Sequence[Device]) -> None:
        """Read the processes; `holders` are those that hold memory of GPUs, `gpus` all there are, in their order."""
        self.machine = machine
        self.gpus = tuple(gpus)
        self.table = machine.processes()
        self.holders = {pid: held for pid, held in holders.items() if pid in self.table and held}
        self._cgroups: dict[int, Cgroup | None] = {}
        self._started: dict[int, int | None] = {}
        self._ends: dict[Peer, End] = {}
        self._places = {gpu: place for place, gpu in enumerate(self.gpus)}
        self._numbered = self._by_number()
        self._below = self._holders_below()

    def numbered(self, number: int) -> Sequence[int]:
        """Find the processes that call themselves `number` in their own pid namespace."""
        return self._numbered.get(number, ())

    def cgroup(self, pid: int) -> Cgroup | None:
        """Give the control group of a process."""
        if pid not in self._cgroups:
            self._cgroups[pid] = self.machine.cgroup(pid)
        return self._cgroups[pid]

    def started(self, pid: int) -> int | None:
        """Tell when a process began, unix ns."""
        if pid not in self._started:
            self._started[pid] = self.machine.started(pid)
        return self._started[pid]

    def gpus_of(self, pid: int) -> tuple[Device, ...]:
        """Give the GPUs that a process leads to; none for one that has nothing to do with a GPU."""
        for ancestor in self._way_up(pid):
            if below := self._below.get(ancestor):
                return self.held(below)
        return ()

    def held(self, pids: Iterable[int]) -> tuple[Device, ...]:
        """Give the GPUs that these processes hold themselves, in the order of the GPUs."""
        found = {gpu for pid in pids for gpu in self.holders.get(pid, ())}
        return self.ordered(found)

    def ordered(self, gpus: Iterable[Device]) -> tuple[Device, ...]:
        """Sort GPUs as they are numbered."""
        return tuple(sorted(set(gpus), key=lambda gpu: (self._places.get(gpu, len(self._places)), gpu.id)))

    @cached_property
    def kin(self) -> list[int]:
        """List the processes that lead to a GPU."""
        return [pid for pid in self.table if not self._below.keys().isdisjoint(self._line(pid)) and self.gpus_of(pid)]

    @cached_property
    def relatives(self) -> list[int]:
        """List those of the kin that are of an engine or its launcher, and not the shell or service it came from."""
        engines = {ancestor for holder in self.holders for ancestor in self._way_up(holder)}
        return [pid for pid in self.kin if not engines.isdisjoint(self._way_up(pid))]

    def related(self, pid: int, other: int) -> bool:
        """Say whether two processes are the same, or one of them descends from the other."""
        return pid in self._line(other) or other in self._line(pid)

    def neighbours(self, pid: int, other: int) -> bool:
        """Say whether two processes are of the same pod, or container."""
        one, two = self.cgroup(pid), self.cgroup(other)
        if one is None or two is None:
            return False
        return one.pod == two.pod if one.pod else one.container is not None and one.container == two.container

    def end_of(self, peer: Peer) -> End | None:
        """Find the socket at the peer's end; None when too many were looked for already."""
        if peer not in self._ends:
            if len(self._ends) >= CONNECTIONS:
                return None
            self._ends[peer] = self._find_end(peer)
        return self._ends[peer]

    def owners(self, inode: int) -> Owners:
        """Find which of the processes that lead to GPUs have a socket."""
        return self.machine.owners(inode, self.kin)

    def _find_end(self, peer: Peer) -> End:
        if inode := self.machine.socket_inode(peer):
            return End(inode)
        for pid in () if is_loopback(peer.host) else self._networks():
            if inode := self.machine.socket_inode(peer, pid):
                return End(inode, pid)
        return End()

    def _networks(self) -> list[int]:
        """Give one process for each container or pod that holds a GPU: they may have networks of their own."""
        found: dict[str, int] = {}
        for pid in self.holders:
            if group := self.cgroup(pid):
                found.setdefault(group.pod or group.container or group.path, pid)
        return list(found.values())[:_MOST_NAMESPACES]

    def _by_number(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for process in self.table.values():
            found.setdefault(process.numbers[-1], []).append(process.pid)
        return found

    def _holders_below(self) -> dict[int, list[int]]:
        """Give for every process the holders among itself and its descendants of the same control group."""
        found: dict[int, list[int]] = {}
        for holder in self.holders:
            for ancestor in self._line(holder):
                if ancestor == holder or (ancestor != _INIT and self._together(holder, ancestor)):
                    found.setdefault(ancestor, []).append(holder)
        return found

    def _line(self, pid: int) -> Iterator[int]:
        """Give a process and its ancestors. A table is not of one moment: a ring in it ends at the deepest."""
        for _ in range(_DEEPEST):
            process = self.table.get(pid)
            if process is None:
                return
            yield pid
            pid = process.parent

    def _way_up(self, pid: int) -> Iterator[int]:
        """Give a process and those of its ancestors that are part of the same engine, or its launcher."""
        child = None
        for ancestor in self._line(pid):
            if child is not None and not self._joined(child, ancestor):
                return
            yield ancestor
            child = ancestor

    def _joined(self, child: int, parent: int) -> bool:
        launcher = self.table[parent]
        if parent == _INIT or launcher.name in _STARTERS or launcher.name.startswith(_STARTERS_BEGIN):
            return False
        group = self.cgroup(parent)
        if group is None or group.path.endswith(".slice") or not self._together(child, parent):
            return False
        session = launcher.session
        return group.container is not None or (session is not None and session == self.table[child].session)

    def _together(self, pid: int, other: int) -> bool:
        one, two = self.cgroup(pid), self.cgroup(other)
        if one is None or two is None:
            return False
        return one.path == two.path or (one.container is not None and one.container == two.container)
