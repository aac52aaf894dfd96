# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces with a cable between them, and calls that are made in one of them."""

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_FOLDER = Path("/run/netns")


class Side(NamedTuple):
    """A namespace with its end of the cable."""

    namespace: str
    interface: str
    address: str

    def run(self, *command: str, text: str | None = None) -> str:
        """Run a command in it."""
        whole = ["ip", "netns", "exec", self.namespace, *command]
        return subprocess.run(whole, check=True, capture_output=True, text=True, input=text).stdout

    def inside(self, work: Callable[[], T]) -> T:
        """Call something in a thread that is in this namespace: sockets that it makes are of it."""
        found: list[T] = []
        failed: list[BaseException] = []

        def enter() -> None:
            try:
                descriptor = os.open(_FOLDER / self.namespace, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(descriptor)
                found.append(work())
            except BaseException as error:  # noqa: BLE001 - told to who asked
                failed.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return found[0]


def missing() -> str | None:
    """Say why there can be no such networks here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [tool for tool in ("ip", "tc", "nft") if not shutil.which(tool)]
    if absent:
        return f"{', '.join(absent)} not installed: sudo make install-tools"
    made = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True, text=True)
    return f"no network namespaces: {made.stderr.strip()}" if made.returncode else None


@contextmanager
def cable() -> Iterator[tuple[Side, Side]]:
    """Make both, without segmentation offload: a packet on the cable is one of TCP's segments. Both go at the end."""
    ours = Side(f"joulespan-{os.getpid()}-a", "cable0", "192.0.2.1")
    theirs = Side(f"joulespan-{os.getpid()}-b", "cable1", "192.0.2.2")
    try:
        for side in (ours, theirs):
            subprocess.run(["ip", "netns", "add", side.namespace], check=True)
        ours.run("ip", "link", "add", ours.interface, "type", "veth", "peer", "name", theirs.interface)
        ours.run("ip", "link", "set", theirs.interface, "netns", theirs.namespace)
        for side in (ours, theirs):
            side.run("ip", "link", "set", "lo", "up")
            side.run("ip", "link", "set", side.interface, "gso_max_segs", "1", "up")
            side.run("ip", "address", "add", f"{side.address}/24", "dev", side.interface)
        yield ours, theirs
    finally:
        for side in (ours, theirs):
            subprocess.run(["ip", "netns", "delete", side.namespace], check=False, capture_output=True)
