# SPDX-License-Identifier: Apache-2.0
"""The processes of this machine as one object, for what is to be asked about them without knowing of files."""

from collections.abc import Iterable
from pathlib import Path

from agent.spans import Peer
from agent.system import cgroup, listening, processes, sockets
from agent.system.neighbours import SYS, own_addresses
from agent.system.processes import PROC, Process


class LocalMachine:
    """Reads /proc at each call and keeps nothing but the boot time: whoever asks keeps the answers."""

    def __init__(self, root: Path = PROC, sys_root: Path = SYS) -> None:
        """Read processes under `root`. Its pid namespace must be NVML's, which is the host's."""
        self._root = root
        self._sys_root = sys_root
        self._boot = processes.boot_time(root)

    def processes(self) -> dict[int, Process]:
        """See process_table."""
        return processes.process_table(self._root)

    def cgroup(self, pid: int) -> cgroup.Cgroup | None:
        """See cgroup_of."""
        return cgroup.cgroup_of(pid, self._root)

    def started(self, pid: int) -> int | None:
        """Tell when a process began, in unix ns; None when it is gone or the boot time is unknown."""
        return None if self._boot is None else processes.started(pid, self._boot, self._root)

    def process_of_thread(self, thread: int) -> int | None:
        """See process_of_thread."""
        return processes.process_of_thread(thread, self._root)

    def socket_inode(self, peer: Peer, pid: int | None = None) -> int | None:
        """See socket_inode."""
        return sockets.socket_inode(peer, self._root, pid)

    def owners(self, inode: int, pids: Iterable[int]) -> sockets.Owners:
        """See pids_of_inodes."""
        return sockets.pids_of_inodes((inode,), self._root, pids)

    def listening(self, pids: Iterable[int]) -> listening.Listening:
        """See listening."""
        return listening.listening(pids, self._root, self._sys_root)

    def service_name(self, pid: int) -> str | None:
        """See service_name."""
        return processes.service_name(pid, self._root)

    def addresses(self) -> frozenset[str]:
        """See own_addresses."""
        return own_addresses(self._root)
