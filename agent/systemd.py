# SPDX-License-Identifier: Apache-2.0
"""Tells systemd that the agent is up, alive, reloading or stopping.

Sources: sd_notify(3), sd_watchdog_enabled(3) and "Notify Protocol" of systemd.service(5).
"""

import os
import socket
import time
from collections.abc import Callable, MutableMapping

_PATIENCE = 0.2
"""Seconds to wait for room in systemd's queue, which it does not empty while it reloads."""
_LONGEST_STATUS = 1000
"""Characters. systemd drops a whole message of more than 4096 bytes."""


class Notifier:
    """Sends the states of a Type=notify service. Without a socket to send to, every call does nothing.

    A message that cannot be sent is counted in `lost` and never raises: not being heard must not stop the agent.
    """

    def __init__(self, environ: MutableMapping[str, str], monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Take systemd's variables out of `environ`, so that no child process speaks or is watched in our name."""
        self._monotonic_ns = monotonic_ns
        self._address = _address(environ.pop("NOTIFY_SOCKET", ""))
        interval = _microseconds(environ.pop("WATCHDOG_USEC", ""))
        pid = environ.pop("WATCHDOG_PID", "")
        self.watchdog_interval = interval if pid in ("", str(os.getpid())) else None
        """Seconds between calls of watchdog(): half of what systemd allows. None: it does not watch."""
        self.lost = 0

    def ready(self, status: str) -> None:
        """The agent serves, for the first time or again after reloading()."""
        self._send("READY=1", f"STATUS={_line(status)}")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(f"STATUS={_line(text)}")

    def reloading(self) -> None:
        """The configuration is being read again; ready() must follow."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The agent has begun to stop."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """The agent is alive."""
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(_PATIENCE)
                out.sendto("\n".join(assignments).encode("utf-8", "replace"), self._address)
        except OSError:
            self.lost += 1


def _address(name: str) -> str | None:
    """Turn the variable into a socket address: a path, or @ and an abstract name. A vsock is not for services."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _microseconds(text: str) -> float | None:
    """Halve a number of microseconds, in seconds; None when it is none."""
    return int(text) / 2e6 if text.isascii() and text.isdigit() and int(text) else None


def _line(text: str) -> str:
    """Make one line of a text: what follows a line break would be read as another assignment."""
    return " ".join(text.split())[:_LONGEST_STATUS]
