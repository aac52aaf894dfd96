# SPDX-License-Identifier: Apache-2.0
"""The control group of a process, and the container, pod, Slurm job and unit of systemd that its path names.

Forms: cgroup v1 and v2, the cgroupfs and systemd drivers, Docker, containerd, CRI-O, Podman, Slurm's cgroup plugins.
Paths nest, as with Kubernetes in Docker: the last id in a path is that of the innermost container.
"""

import re
from pathlib import Path
from typing import NamedTuple

from agent.system.processes import PROC, read

# A systemd unit escapes the dashes of a pod's uid; a static pod's is the MD5 of its manifest. `crio-conmon-ID.scope`
# holds the monitor of a container and not the container.
_CONTAINER = re.compile(r"(?<![0-9a-f])(?<!conmon-)([0-9a-f]{64})(?![0-9a-f])")
_ID = re.compile(r"[0-9a-f]{64}")
_POD = re.compile(r"(?<![0-9a-z])pod([0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?![0-9a-f])")
# v1: /slurm/uid_1000/job_7/step_0/task_0; v2: /system.slice/slurmstepd.scope/job_7/step_batch/user/task_0, and
# node1_slurmstepd.scope where a machine plays several nodes.
_SLURM = re.compile(r"/[^/]*slurm[^/]*/(?:uid_[0-9]+/)?job_([0-9]+)(?:/step_([^/]+))?(?=/|$)")
_UNIT = re.compile(r"/([^/]+\.(?:service|scope))(?=/|$)")
_LIMIT = 64 * 1024


class Cgroup(NamedTuple):
    """Where a process is accounted: the path, and what it names.

    The ids of its container and pod, the job and step of Slurm (a number, batch, extern, interactive), and outside of
    these the innermost service or scope of systemd.
    """

    path: str
    container: str | None = None
    pod: str | None = None
    slurm_job: str | None = None
    slurm_step: str | None = None
    unit: str | None = None


def cgroup_of(pid: int, root: Path = PROC) -> Cgroup | None:
    """Read the control group of a process; None when it is gone or hidden."""
    text = read(root / str(pid) / "cgroup", _LIMIT)
    return None if text is None else parse(text.decode("utf-8", "replace"))


def parse(text: str) -> Cgroup | None:
    """Read /proc/PID/cgroup: lines HIERARCHY:CONTROLLERS:PATH, one of them on v2. None where there is no line.

    On v1 controllers that are not in use stay at the root, so the line that says most is taken. There the unit is in a
    hierarchy of its own.
    """
    found = [named(line.split(":", 2)[2]) for line in text.splitlines() if line.count(":") > 1]
    most = max(found, key=_weight, default=None)
    if most is None or most.unit or most.container or most.slurm_job:
        return most
    return most._replace(unit=next((one.unit for one in found if one.unit), None))


def named(path: str) -> Cgroup:
    """Find what the path of a control group names."""
    pods = _POD.findall(path)
    containers = _CONTAINER.findall(path)
    pod = pods[-1].replace("_", "-") if pods else None
    jobs = _SLURM.findall(path)
    job, step = jobs[-1] if jobs else (None, None)
    # A scope with the id of a container in its name is the container's, or that of its monitor.
    units = [] if pods or jobs or _ID.search(path) else _UNIT.findall(path)
    return Cgroup(path, containers[-1] if containers else None, pod, job, step or None, units[-1] if units else None)


def _weight(one: Cgroup) -> tuple[bool, bool, bool, int]:
    return (one.slurm_job is not None, one.container is not None, one.pod is not None, len(one.path))


def container_id(text: str) -> str:
    """Read the id of a container as somebody writes it: Kubernetes has a scheme before it, containerd://ID."""
    return text.rpartition("/")[2].strip().lower()
