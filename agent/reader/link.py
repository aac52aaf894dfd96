# SPDX-License-Identifier: Apache-2.0
"""One reader process and the socket to it, as the agent sees them."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from agent.clock import NS, Clock
from agent.reader.progress import Call, SharedProgress
from agent.reader.wire import FROM_READER, Broken, Frames, Setup, ToReader, pack


class Link(Protocol):
    """A reader process as its supervisor sees it. Nothing here waits."""

    @property
    def pid(self) -> int:
        """Process id."""
        ...

    @property
    def started_at(self) -> int:
        """When it was started, ns."""
        ...

    @property
    def heard_at(self) -> int | None:
        """When it was last heard, ns; None before the first word."""
        ...

    @property
    def broken(self) -> str | None:
        """What makes no sense in what it said, if anything."""
        ...

    def attach(self) -> None:
        """Listen from now on. To be called in the event loop."""
        ...

    def send(self, message: ToReader) -> None:
        """Tell the reader something."""
        ...

    def silence(self) -> float:
        """Seconds since it was last heard, or since it was started."""
        ...

    def call(self) -> Call | None:
        """The driver call it entered last."""
        ...

    def exit_code(self) -> int | None:
        """How it ended; None while it lives."""
        ...

    def terminate(self) -> None:
        """Ask it to end after the calls under way."""
        ...

    def kill(self) -> None:
        """End it. One that hangs in the kernel stays until its call returns."""
        ...

    def close(self) -> None:
        """Let go of what connects to it."""
        ...


Heard = Callable[[Link, list[Any]], None]
"""Called with every list of messages that a reader says."""


class ReaderLink(asyncio.Protocol):
    """A reader process: started, spoken to, listened to, ended. Never waited for."""

    def __init__(self, setup: Setup, clock: Clock, heard: Heard) -> None:
        """Start the process. `heard` is called with every list of messages, in the event loop."""
        self.setup = setup
        self.heard_at: int | None = None
        self.started_at = clock.monotonic_ns()
        self.broken: str | None = None
        self._clock = clock
        self._heard = heard
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._ours, theirs = socket.socketpair()
        progress_fd = SharedProgress.create()
        self._progress = SharedProgress(progress_fd)
        try:
            # -P keeps the working directory off the module path: what lies there must not run as the agent.
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "agent.reader.process", str(theirs.fileno()), str(progress_fd)],
                pass_fds=[theirs.fileno(), progress_fd],
                stdin=subprocess.DEVNULL,
            )
        finally:
            theirs.close()
            os.close(progress_fd)
        self._ours.sendall(pack([setup]))
        self._ours.setblocking(False)  # noqa: FBT003 - the socket module's signature

    @property
    def pid(self) -> int:
        """See Link."""
        return self._process.pid

    def attach(self) -> None:
        """See Link."""
        loop = asyncio.get_running_loop()
        self._attaching = loop.create_task(loop.create_connection(lambda: self, sock=self._ours))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. A stream that makes no sense ends the process."""
        self.heard_at = self._clock.monotonic_ns()
        try:
            for body in self._frames.feed(data):
                self._heard(self, FROM_READER.decode(body))
        except (Broken, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.broken = str(error)
            self.terminate()
            self.close()

    def send(self, message: ToReader) -> None:
        """See Link."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(pack([message]))

    def silence(self) -> float:
        """See Link."""
        return (self._clock.monotonic_ns() - (self.heard_at or self.started_at)) / NS

    def call(self) -> Call | None:
        """See Link."""
        return self._progress.current()

    def exit_code(self) -> int | None:
        """See Link."""
        return self._process.poll()

    def terminate(self) -> None:
        """See Link."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """See Link."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """See Link."""
        if self._transport:
            self._transport.abort()
        else:
            self._ours.close()
