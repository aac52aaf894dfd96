# SPDX-License-Identifier: Apache-2.0
"""What this node can be asked about who has its GPUs, for the doctor: the kubelet, names of pods, Slurm."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from agent.config import OwnersCollector
from agent.errors import JoulespanError, NotSupported, Unavailable
from agent.system import host
from agent.system.cgroup import cgroup_of
from agent.system.kubelet import Kubelet
from agent.system.pod_logs import pod_names
from agent.system.pod_resources import Given
from agent.system.processes import process_table
from agent.system.who import SLURM, Who

_KERNEL = 2
"""The kernel's own process, which is to be seen in the host's pid namespace alone."""
_DAEMONS = frozenset({"slurmd", "slurmstepd"})


class Check(NamedTuple):
    """What is so, and what can be done about it."""

    level: Literal["ok", "hint", "broken"]
    what: str
    advice: str = ""


def owner_checks(settings: OwnersCollector, root: Path, *, in_pod: bool) -> Iterator[Check]:
    """Ask the sources. `root` is where proc is; `in_pod` says that the agent runs in Kubernetes itself."""
    kubelet = Kubelet(Path(settings.kubelet_socket))
    try:
        given = kubelet.given()
    except NotSupported:
        if in_pod:
            advice = (
                "mount /var/lib/kubelet/pod-resources, the folder, read-only; without it only GPUs in use have owners"
            )
            yield Check("hint", f"kubelet: there is no {settings.kubelet_socket}", advice)
    except JoulespanError as error:
        advice = "the socket is root's: run as uid 0 with all capabilities dropped, or look at the kubelet's log"
        yield Check("broken", f"kubelet: {error}", advice)
    else:
        pods = {(one.namespace, one.pod) for one in given}
        yield Check("ok", f"kubelet: {len(given)} devices of {len(pods)} pods{_further(kubelet, given)}")
        yield from _names(Path(settings.logs))
    if in_pod and not (root / "proc" / str(_KERNEL)).exists():
        advice = "hostPID: true; without it no process leads to its pod, and a shared GPU is not split"
        yield Check("hint", "processes: only those of this pod are to be seen", advice)
    yield from _slurm(root, environment=settings.environment)


def _further(kubelet: Kubelet, given: list[Given]) -> str:
    """Say which of the other questions this kubelet answers."""
    words = ""
    try:
        words += f", {len(kubelet.offered())} offered"
        if given:
            kubelet.given_to(given[0].namespace, given[0].pod)
            words += ", pods one by one too"
    except Unavailable:
        words += ", pods all at once only"
    return words


def _names(logs: Path) -> Iterator[Check]:
    try:
        names = pod_names(logs)
    except JoulespanError as error:
        advice = f"mount {logs}/pods and {logs}/containers, read-only; without them pods that share a GPU have no names"
        yield Check("hint", f"names of pods: {error}", advice)
    else:
        yield Check("ok", f"names of pods: {len(names.pods)} pods, {len(names.containers)} containers")


def _slurm(root: Path, *, environment: bool) -> Iterator[Check]:
    table = process_table(root / "proc")
    groups = {pid: group for pid in table if (group := cgroup_of(pid, root / "proc")) and group.slurm_job}
    if not groups and not any(process.name in _DAEMONS for process in table.values()):
        return
    told = Who(root, environment=environment).identities(list(groups)).values()
    named = any(SLURM["slurm_user"] in one.variables for one in told)
    jobs = {group.slurm_job for group in groups.values()}
    if not jobs:
        advice = "ProctrackType=proctrack/cgroup in slurm.conf, or CAP_SYS_PTRACE to read the environment of jobs"
        yield Check("hint", "Slurm: no process is in the control group of a job", advice)
    elif not named:
        advice = "CAP_SYS_PTRACE; without it jobs have ids, and no user, account or partition"
        yield Check("hint", f"Slurm: {len(jobs)} jobs, whose environment may not be read", advice)
    else:
        yield Check("ok", f"Slurm: {len(jobs)} jobs")


def in_kubernetes() -> bool:
    """Say whether the agent runs in a pod."""
    return host.container() == "kubernetes"
