# SPDX-License-Identifier: Apache-2.0
"""The names of pods and containers by their ids, from the names of the kubelet's log files. No log is opened.

/var/log/pods/NAMESPACE_POD_UID is a folder for each pod, /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log a link for
each container. A process's control group has the ids alone, and the kubelet's PodResources API the names alone.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.errors import NoPermission, NotSupported, Unavailable

MOST = 8192
"""Names that are read of a folder. Links of containers that ended stay for a while, some for each of 250 pods."""
_POD = re.compile(r"(?P<namespace>[a-z0-9.-]{1,63})_(?P<pod>[a-z0-9.-]{1,253})_(?P<uid>[0-9a-f-]{32,36})")
_CONTAINER = re.compile(
    r"(?P<pod>[a-z0-9.-]{1,253})_(?P<namespace>[a-z0-9.-]{1,63})_(?P<container>[a-z0-9.-]{1,63})-(?P<id>[0-9a-f]{64})\.log"
)


class PodName(NamedTuple):
    """A pod, or a container of one."""

    namespace: str
    pod: str
    container: str | None = None


class PodNames(NamedTuple):
    """What ids stand for: the UIDs of pods, and the ids of containers."""

    pods: dict[str, PodName] = {}  # noqa: RUF012 - shared, and never changed
    containers: dict[str, PodName] = {}  # noqa: RUF012 - as above


def pod_names(logs: Path, most: int = MOST) -> PodNames:
    """Read them under /var/log. Raises NotSupported where there is no kubelet's folder, NoPermission, Unavailable."""
    pods = {
        found["uid"]: PodName(found["namespace"], found["pod"])
        for name in _listed(logs / "pods", most)
        if (found := _POD.fullmatch(name))
    }
    containers: dict[str, PodName] = {}
    try:
        for name in _listed(logs / "containers", most):
            if found := _CONTAINER.fullmatch(name):
                containers[found["id"]] = PodName(found["namespace"], found["pod"], found["container"])
    except NotSupported:  # Not every runtime makes the links; the names of the pods are worth something without.
        pass
    return PodNames(pods, containers)


def _listed(folder: Path, most: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(most), entries, strict=False):
                yield entry.name
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotSupported(f"{folder}: there is no such folder") from error
    except PermissionError as error:
        raise NoPermission(f"{folder}: {error.strerror}") from error
    except OSError as error:
        raise Unavailable(f"{folder}: {error.strerror}") from error
