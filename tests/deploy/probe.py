# SPDX-License-Identifier: Apache-2.0
"""Prints as JSON what a process under the unit's restrictions can do.

python -m tests.deploy.probe NODES_DIR WRITABLE_FILE
"""

import ctypes
import json
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml


def attempt(action: Callable[[], Any]) -> Any:
    """Do it and return its result, or the name of the error."""
    try:
        return action()
    except OSError as error:
        return os.strerror(error.errno or 0)


def node(path: Path) -> str:
    """Open a device node for reading. "No such device or address": allowed, but it has no driver."""
    opened = attempt(lambda: os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    return "open" if isinstance(opened, int) else str(opened)


def callback() -> list[int]:
    """Sort in C with a comparison in Python, which needs a closure in executable memory."""
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    pointer = ctypes.POINTER(ctypes.c_int)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer)(lambda a, b: a[0] - b[0])
    ctypes.CDLL(None).qsort(numbers, len(numbers), ctypes.sizeof(ctypes.c_int), compare)
    return list(numbers)


def gpu_count() -> int:
    """Ask NVML."""
    pynvml.nvmlInit()
    return int(pynvml.nvmlDeviceGetCount())


def main() -> None:
    """Try everything."""
    print(
        json.dumps(
            {
                "uid": os.getuid(),
                "nodes": {path.name: node(path) for path in Path(sys.argv[1]).iterdir()},
                "gpus": gpu_count(),
                "callback": callback(),
                "writable code": attempt(lambda: mmap.mmap(-1, 1, prot=mmap.PROT_WRITE | mmap.PROT_EXEC) and "mapped"),
                "child": subprocess.check_output([sys.executable, "-c", "print('ran')"], text=True),
                "init": attempt(Path("/proc/1/comm").read_text),
                "interfaces": attempt(lambda: sorted(path.name for path in Path("/sys/class/net").iterdir())),
                "configuration": attempt(Path("/etc/joulespan/config.yaml").read_text),
                "file of anyone": attempt(lambda: Path(sys.argv[2]).write_text("")),
                "state": attempt(lambda: Path(os.environ["STATE_DIRECTORY"], "probe").write_text("kept")),
                "/root": attempt(lambda: sorted(path.name for path in Path("/root").iterdir())),
                "netlink": attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).family),
                "nice": attempt(lambda: os.nice(1)),
            }
        )
    )


if __name__ == "__main__":
    main()
