# SPDX-License-Identifier: Apache-2.0
"""Servers that are not ours, as processes: started, waited for, and ended with all that they started."""

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_GRACE = 30.0
"""Seconds that a server gets to end by itself: it waits for its own workers."""


@contextmanager
def process(command: Sequence[str | Path], env: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program until the end of the block, in a session of its own. It says what it says to `log`."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield started
        finally:
            _end(started)


def wait_for(
    url: str, ready: Callable[[bytes], bool], servers: "Mapping[subprocess.Popen[bytes], Path]", seconds: float
) -> None:
    """Ask for a page until it is as it should be. `servers` are what has to run for that, each with its log."""
    deadline = time.monotonic() + seconds
    while not _is(url, ready):
        ended = [server for server in servers if server.poll() is not None]
        if ended or time.monotonic() > deadline:
            why = f"{ended[0].args!r} ended" if ended else f"not within {seconds:g} s"
            said = "\n".join(log.read_text(errors="replace")[-4000:] for log in servers.values())
            message = f"{url} is not ready: {why}\n{said}"
            raise AssertionError(message)
        time.sleep(0.25)


def get(url: str) -> bytes:
    """Ask for a page."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        page: bytes = answer.read()
        return page


def environment(home: Path, **more: str) -> dict[str, str]:
    """Make the environment of an engine: nothing of ours but the path, files under `home`, nothing sent anywhere."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        **more,
    }


def _is(url: str, ready: Callable[[bytes], bool]) -> bool:
    try:
        return ready(get(url))
    except OSError:
        return False


def _end(started: "subprocess.Popen[bytes]") -> None:
    started.terminate()
    with suppress(subprocess.TimeoutExpired):
        started.wait(_GRACE)
    # Its session is its own: what is left in it are its children, which may outlive it.
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()
