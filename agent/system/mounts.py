# SPDX-License-Identifier: Apache-2.0
"""File systems that are mounted here, and the space in them. Source: proc(5), § /proc/pid/mountinfo.

Only those of local devices, and /dev/shm, through which engines' processes talk: asking one on a network may hang.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agent.system.kernel_files import whole

_ESCAPED = re.compile(r"\\([0-7]{3})")
_READ_ONLY_MEDIA = {"squashfs", "iso9660", "erofs", "udf", "cramfs"}
"""They are always full."""
_LOCAL = {"zfs", "btrfs", "bcachefs"}
_SHARED = "/dev/shm"  # noqa: S108 - it is only asked how full it is
_BEFORE, _AFTER = 6, 3


class Mount(NamedTuple):
    """A mounted file system."""

    device: str
    point: str
    type: str
    mode: str


class Space(NamedTuple):
    """Bytes of a file system; `reserved` is what only root may still use."""

    used: int
    free: int
    reserved: int


def read_mounts(root: str) -> list[Mount]:
    """List the file systems that are asked, one for each device: that of the shortest path. Raises as whole()."""
    return chosen(parse_mounts(whole(f"{root}/proc/self/mountinfo")))


def parse_mounts(table: bytes) -> Iterator[tuple[str, Mount]]:
    """Read lines of mountinfo: the number of the device, MAJOR:MINOR, and the mount."""
    for line in table.decode("utf-8", "surrogateescape").splitlines():
        before, separator, after = line.partition(" - ")
        words, more = before.split(" "), after.split(" ")
        if separator and len(words) >= _BEFORE and len(more) >= _AFTER:
            # The file system's own: that of the mount says what a sandbox or container allows its processes.
            mode = "ro" if "ro" in more[2].split(",") else "rw"
            yield words[2], Mount(_plain(more[1]).removeprefix("/dev/"), _plain(words[4]), more[0], mode)


def chosen(mounts: Iterable[tuple[str, Mount]]) -> list[Mount]:
    """Take one mount of each local device: that of the shortest path. What another is mounted over is not seen."""
    seen = {mount.point: (number, mount) for number, mount in mounts}
    found: dict[str, Mount] = {}
    for number, mount in seen.values():
        local = number.partition(":")[0] != "0" or mount.type in _LOCAL
        if (local and mount.type not in _READ_ONLY_MEDIA) or mount.point == _SHARED:
            # Subvolumes have numbers of their own and share the space of their device.
            key = mount.device if mount.type in _LOCAL else number
            kept = found.get(key)
            if kept is None or len(mount.point) < len(kept.point):
                found[key] = mount
    return sorted(found.values(), key=lambda mount: mount.point)


def _plain(path: str) -> str:
    """Undo the kernel's escapes of spaces and line breaks."""
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), path)
    return plain.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
