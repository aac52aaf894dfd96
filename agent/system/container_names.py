# SPDX-License-Identifier: Apache-2.0
"""What the operator calls a container, from the files in which Docker and Podman keep it: no socket is asked.

The socket of Docker is as good as root. Its file of a container takes root, or CAP_DAC_READ_SEARCH, to read, and has
the container's arguments and environment in it too: of them nothing is decoded.
"""

from pathlib import Path

import msgspec

from agent.system.processes import read

DOCKER = Path("var/lib/docker/containers")
PODMAN = Path("var/lib/containers/storage/overlay-containers/containers.json")
_LIMIT = 4 << 20


class _Docker(msgspec.Struct):
    Name: str = ""


class _Podman(msgspec.Struct):
    id: str = ""
    names: list[str] = []


_DOCKER = msgspec.json.Decoder(_Docker)
_PODMAN = msgspec.json.Decoder(list[_Podman])


def docker_name(container: str, root: Path) -> str | None:
    """Read the name of a container of Docker; None where there is none, or where it is not for us to read."""
    text = read(root / DOCKER / container / "config.v2.json", _LIMIT)
    try:
        return _DOCKER.decode(text).Name.removeprefix("/") or None if text else None
    except msgspec.DecodeError:
        return None


def podman_names(root: Path) -> dict[str, str]:
    """Read the names of all containers that root runs with Podman, by id; none where they are not for us to read."""
    text = read(root / PODMAN, _LIMIT)
    try:
        return {one.id: one.names[0] for one in _PODMAN.decode(text) if one.names} if text else {}
    except msgspec.DecodeError:
        return {}
