# SPDX-License-Identifier: Apache-2.0
"""Who runs processes: their control groups, users, and a few variables of their environment."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from agent.system import host
from agent.system.cgroup import Cgroup, cgroup_of
from agent.system.container_names import docker_name, podman_names
from agent.system.environment import variables
from agent.system.users import user_names, user_of

SLURM = {
    "slurm_job": "SLURM_JOB_ID",
    "slurm_step": "SLURM_STEP_ID",
    "slurm_user": "SLURM_JOB_USER",
    "slurm_account": "SLURM_JOB_ACCOUNT",
    "slurm_partition": "SLURM_JOB_PARTITION",
}
"""Variables of the processes of a Slurm job, by the fields of an owner."""
HOSTNAME = "HOSTNAME"
LEADER = "LWS_LEADER_ADDRESS"
"""In the pods of a LeaderWorkerSet: LEADER-POD.SET.NAMESPACE."""
_WANTED = (*SLURM.values(), HOSTNAME, LEADER)


class Identity(NamedTuple):
    """What a process says of itself: its control group, its user, and the variables that were asked for."""

    cgroup: Cgroup
    user: str | None = None
    variables: dict[str, str] = {}  # noqa: RUF012 - shared, and never changed


class Who:
    """Looks at processes. Blocks for about 0.1 ms a process."""

    def __init__(self, root: Path, *, environment: bool = True) -> None:
        """Look below `root`, where proc, etc and var are. Without `environment`, that of processes is not read."""
        self._root = root
        self._proc = root / "proc"
        self._environment = environment
        # In a container, its /etc/passwd names other users than those of the host.
        self._users = {} if host.container(root) else user_names(root / "etc/passwd")
        self.container_names: dict[str, str] = {}
        """What containers outside of Kubernetes are called, by id, of those that were looked at last."""

    def identities(self, pids: Collection[int]) -> dict[int, Identity]:
        """Look at these processes; those that are gone or hidden are left out."""
        found = {pid: one for pid in pids if (one := self._identity(pid))}
        self._name({one.cgroup.container for one in found.values() if one.cgroup.container and not one.cgroup.pod})
        return found

    def _identity(self, pid: int) -> Identity | None:
        group, user = cgroup_of(pid, self._proc), user_of(pid, self._proc)
        if group is None or user is None:
            return None
        told = variables(pid, _WANTED, self._proc) if self._environment else None
        return Identity(group, self._users.get(user, str(user)), told or {})

    def _name(self, containers: set[str]) -> None:
        """Find names; a container keeps its own unless somebody renames it, which is seen when it is gone and back."""
        self.container_names = {id_: name for id_, name in self.container_names.items() if id_ in containers}
        unknown = containers - self.container_names.keys()
        podman = podman_names(self._root) if unknown else {}
        for container in unknown:
            if name := podman.get(container) or docker_name(container, self._root):
                self.container_names[container] = name
