# SPDX-License-Identifier: Apache-2.0
"""The control group of a process, and the container and pod that its path names.

Forms: cgroup v1 and v2, the cgroupfs and systemd drivers, Docker, containerd, CRI-O, Podman. Paths nest, as with
Kubernetes in Docker: the last id in a path is that of the innermost container.
"""

import re
from pathlib import Path
from typing import NamedTuple

from agent.system.processes import PROC, read

# A systemd unit escapes the dashes of a pod's uid; a static pod's is the MD5 of its manifest. `crio-conmon-ID.scope`
# holds the monitor of a container and not the container.
_CONTAINER = re.compile(r"(?<![0-9a-f])(?<!conmon-)([0-9a-f]{64})(?![0-9a-f])")
_POD = re.compile(r"(?<![0-9a-z])pod([0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?![0-9a-f])")
_LIMIT = 64 * 1024


class Cgroup(NamedTuple):
    """Where a process is accounted: the path, and the ids of its container and pod where the path has them."""

    path: str
    container: str | None = None
    pod: str | None = None


def cgroup_of(pid: int, root: Path = PROC) -> Cgroup | None:
    """Read the control group of a process; None when it is gone or hidden."""
    text = read(root / str(pid) / "cgroup", _LIMIT)
    return None if text is None else parse(text.decode("utf-8", "replace"))


def parse(text: str) -> Cgroup | None:
    """Read /proc/PID/cgroup: lines HIERARCHY:CONTROLLERS:PATH, one of them on v2. None where there is no line.

    On v1 controllers that are not in use stay at the root, so the line that says most is taken.
    """
    found = [named(line.split(":", 2)[2]) for line in text.splitlines() if line.count(":") > 1]
    return max(found, key=lambda one: (one.container is not None, one.pod is not None, len(one.path)), default=None)


def named(path: str) -> Cgroup:
    """Find the container and the pod in the path of a control group."""
    pods = _POD.findall(path)
    containers = _CONTAINER.findall(path)
    pod = pods[-1].replace("_", "-") if pods else None
    return Cgroup(path, containers[-1] if containers else None, pod)


def container_id(text: str) -> str:
    """Read the id of a container as somebody writes it: Kubernetes has a scheme before it, containerd://ID."""
    return text.rpartition("/")[2].strip().lower()
