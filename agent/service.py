# SPDX-License-Identifier: Apache-2.0
"""The life of the agent: start, tick, reload, let go of the driver, stop within a bound."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from agent.errors import ConfigError
from agent.reader.intake import Intake
from agent.reader.link import Link
from agent.reader.supervisor import Supervisor
from agent.scheduler import Scheduler
from agent.system.kmsg import KernelLog
from agent.systemd import Notifier

LOG = logging.getLogger("joulespan")

_TICK = 0.5
_GC_EVERY = 10_000
"""Allocations between two collections of the youngest generation."""
_RELEASE = 60.0
"""Seconds for which SIGUSR1 releases the driver."""
_GRACE = 1.5
"""Seconds that readers get to finish their calls at the end. Killing one in the middle of a call has frozen hosts."""


class Server(Protocol):
    """Answers requests while the agent runs."""

    async def start(self) -> None:
        """Serve from now on."""
        ...

    async def stop(self) -> None:
        """Finish what is being answered and stop, within a second."""
        ...


class Pusher(Protocol):
    """Sends something out in a thread of its own."""

    def start(self) -> None:
        """Start the thread."""
        ...

    def stop(self, grace_seconds: float) -> None:
        """Send what can be sent within the grace and stop."""
        ...


class Service:
    """Runs the parts in one event loop."""

    def __init__(
        self,
        supervisor: Supervisor,
        scheduler: Scheduler,
        servers: Sequence[Server],
        pushers: Sequence[Pusher],
        notifier: Notifier,
        *,
        kernel_log: KernelLog | None = None,
        reload: Callable[[], None] = lambda: None,
        seconds: float | None = None,
    ) -> None:
        """Run these parts; with `seconds`, stop by itself after that time. `reload` raises ConfigError."""
        self._supervisor = supervisor
        self._scheduler = scheduler
        self._servers = servers
        self._pushers = pushers
        self._notifier = notifier
        self._kernel_log = kernel_log
        self._reload = reload
        self._seconds = seconds
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run until a signal says stop."""
        loop = asyncio.get_running_loop()
        self._supervisor.attach()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloaded)
        loop.add_signal_handler(signal.SIGUSR1, self._supervisor.release, _RELEASE)
        if self._kernel_log is not None:
            loop.add_reader(self._kernel_log.fileno(), _follow, self._kernel_log, self._supervisor.intake)
        for server in self._servers:
            await server.start()
        for pusher in self._pushers:
            pusher.start()
        self._scheduler.run_due()
        self._notifier.ready("running")
        # What is loaded now stays, and what comes in makes few cycles: collect seldom, and only what is new.
        gc.freeze()
        gc.set_threshold(_GC_EVERY)
        ending = None if self._seconds is None else loop.call_later(self._seconds, self._stop.set)
        while not self._stop.is_set():
            self._supervisor.tick()
            self._scheduler.run_due()
            self._notifier.watchdog()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), min(_TICK, self._scheduler.seconds_to_next()))
        if ending:
            ending.cancel()
        await self._end()

    async def _end(self) -> None:
        """Stop everything at the same time, within about three seconds whatever hangs."""
        LOG.info("stopping")
        self._notifier.stopping()
        loop = asyncio.get_running_loop()
        if self._kernel_log is not None:
            loop.remove_reader(self._kernel_log.fileno())
            self._kernel_log.close()
        links = self._supervisor.stop()
        pushing = [asyncio.to_thread(pusher.stop, _GRACE) for pusher in self._pushers]
        await asyncio.gather(*(server.stop() for server in self._servers), _leave(links), *pushing)

    def _reloaded(self) -> None:
        self._notifier.reloading()
        try:
            self._reload()
        except ConfigError as error:
            LOG.error("reload: %s; the configuration stays as it was", error)  # noqa: TRY400 - one line is enough
        else:
            LOG.info("reload: done")
        self._notifier.ready("running")


async def _leave(links: Sequence[Link]) -> None:
    """Give the readers a grace, then end them. One that hangs in the kernel is left to it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _GRACE
    while any(link.exit_code() is None for link in links) and loop.time() < deadline:  # noqa: ASYNC110 - processes set no event
        await asyncio.sleep(0.02)
    for link in links:
        if link.exit_code() is None:
            link.kill()
    await asyncio.sleep(0.02)
    for link in links:
        link.exit_code()
        link.close()


def _follow(log: KernelLog, intake: Intake) -> None:
    for xid in log.read():
        intake.kernel_xid(xid.pci, xid.xid, xid.time)
