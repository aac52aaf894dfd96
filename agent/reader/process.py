# SPDX-License-Identifier: Apache-2.0
"""The reader process: polls the GPUs on its own clock and tells the agent.

python -m agent.reader.process SOCKET_FD PROGRESS_FD
"""

import gc
import select
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from agent.clock import NS
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target, discover
from agent.entities import Gpu
from agent.errors import DeviceLost, DriverGone, Unavailable
from agent.metric import Sample
from agent.reader.outlet import Layouts, Outlet
from agent.reader.progress import SharedProgress
from agent.reader.wire import TO_READER, Failed, Found, Frames, Include, Log, Lost, Opened, Ran, Setup, XidSeen
from agent.rounds import Due, Rounds
from agent.system.nvml.device import Device, Library

_HEARTBEAT = 1.0
"""Seconds: the agent hears something at least this often."""
_RETRY_LOST = 10.0
"""Seconds between attempts to reach a GPU that was lost."""
_XID_WAIT = 0.5
"""Seconds for which one call waits for XIDs; the thread ends within it."""
_RETRY = "retry lost GPUs"
_GC_EVERY = 50_000
"""Allocations between two collections of the youngest generation."""


class Reader:
    """Polls the GPUs that a library has."""

    def __init__(self, library: Library, setup: Setup, outlet: Outlet, collectors: list[GpuCollector]) -> None:
        """Open every GPU that can be reached and is not to be avoided."""
        self._library = library
        self._setup = setup
        self._outlet = outlet
        self._layouts = Layouts()
        self._collectors = {collector.name: collector for collector in collectors}
        self._avoid = set(setup.avoid)
        self._devices: dict[int, Device] = {}
        self._reads: dict[tuple[str, int], Read] = {}
        self._once: set[tuple[str, int]] = set()
        self._lost: dict[int, Lost] = {}
        self._generations: dict[int, int] = {}
        now = time.monotonic_ns()
        periods = {name: self._period(collector) for name, collector in self._collectors.items()}
        self._rounds = Rounds({**periods, _RETRY: _RETRY_LOST}, now)
        self._count = library.device_count()
        self._introduce()
        for index in range(self._count):
            self._open(index)

    def next_time(self) -> int:
        """When the next collector is due, ns of CLOCK_MONOTONIC."""
        return self._rounds.next_time()

    def run_due(self) -> None:
        """Run every collector that is due, on every GPU, and send what it read. Raises DriverGone."""
        messages: list[Any] = []
        for due in self._rounds.due(time.monotonic_ns()):
            if due.what == _RETRY:
                self._retry_lost()
            else:
                messages += self._run(due)
        if messages and not self._outlet.send(messages):
            self._layouts.forget()  # The names may have been among what was dropped.

    def handle(self, message: Any) -> None:
        """Do what the agent asks."""
        if isinstance(message, Include):
            self._avoid.difference_update(message.indexes)
            for index in message.indexes:
                self._open(index)
        self._resend()

    def _period(self, collector: GpuCollector) -> float:
        return {
            Cadence.FAST: self._setup.fast,
            Cadence.NORMAL: self._setup.normal,
            Cadence.SLOW: self._setup.slow,
            Cadence.PROCESSES: self._setup.processes,
            Cadence.ONCE: self._setup.slow,
        }[collector.cadence]

    def _resend(self) -> None:
        self._introduce()
        self._layouts.forget()
        self._once.clear()
        self._rounds.hasten(time.monotonic_ns())

    def _introduce(self) -> None:
        """Say which driver and which GPUs there are."""
        found = [_found(index, device) for index, device in self._devices.items()]
        self._outlet.send([Opened(self._library.driver_version, self._count), *found, *self._lost.values()])

    def _open(self, index: int) -> None:
        if index in self._avoid or index in self._devices:
            return
        try:
            device = self._library.open(index)
        except Unavailable as error:
            if index not in self._lost:
                self._lost[index] = Lost(None, index, str(error))
                self._outlet.send([self._lost[index]])
            return
        self._lost.pop(index, None)
        self._devices[index] = device
        self._outlet.send([_found(index, device)])

    def _retry_lost(self) -> None:
        for index in tuple(self._lost):
            self._open(index)

    def _lose(self, index: int, error: Exception) -> None:
        device = self._devices.pop(index)
        self._library.release(device)
        self._reads = {key: read for key, read in self._reads.items() if key[1] != index}
        self._once = {key for key in self._once if key[1] != index}
        self._lost[index] = Lost(device.identity.uuid, index, str(error))
        self._layouts.forget()
        self._outlet.send([self._lost[index]])

    def _reopen(self, index: int, device: Device) -> None:
        """Prepare every collector anew: the GPU was set up in another way."""
        if index in self._generations:
            self._reads = {key: read for key, read in self._reads.items() if key[1] != index}
        self._generations[index] = device.generation

    def _run(self, due: Due[str]) -> list[Any]:
        collector = self._collectors[due.what]
        started = time.monotonic_ns()
        messages: list[Any] = []
        failures: Counter[str] = Counter()
        for index, device in tuple(self._devices.items()):
            if collector.cadence is Cadence.ONCE and (collector.name, index) in self._once:
                continue
            try:
                at = time.monotonic_ns()
                samples = self._read(collector, index, device)
                messages += self._layouts.messages(collector.name, device.identity.uuid, at, samples)
                self._once.add((collector.name, index))
            except DeviceLost as error:
                failures[type(error).__name__] += 1
                self._lose(index, error)
            except Unavailable as error:
                failures[type(error).__name__] += 1
            if index in self._devices and device.generation != self._generations.get(index):
                self._reopen(index, device)
            if device.notes.failures:
                failures.update(failure.error for failure in device.notes.take_failures())
        took = (time.monotonic_ns() - started) / NS
        messages.append(Ran(collector.name, started, took, dict(failures), due.missed))
        return messages

    def _read(self, collector: GpuCollector, index: int, device: Device) -> list[Sample]:
        read = self._reads.get((collector.name, index))
        if read is None:
            target = Target(
                Gpu(device.identity.uuid, f"gpu{index}"),
                device,
                self._setup.detail,
                self._library.driver_version,
                self._library.cuda_version,
                self._library.confidential_compute,
            )
            read = self._reads[collector.name, index] = collector.open(target)
        return list(read())


def _found(index: int, device: Device) -> Found:
    return Found(device.identity.uuid, index, device.identity.pci)


def watch_xids(library: Library, outlet: Outlet, stop: threading.Event) -> None:
    """Send every XID as it comes. Runs in a thread of its own: waiting for events blocks."""
    while not stop.is_set():
        try:
            event = library.wait_xid(_XID_WAIT)
            if event is not None:
                outlet.send([XidSeen(event.uuid, event.xid, time.monotonic_ns())])
        except (DriverGone, ConnectionError):
            return  # The polling thread meets the same and ends the process.
        except Unavailable as error:
            outlet.send([Log("warning", f"nvml: cannot wait for XIDs: {error}")])
            stop.wait(_RETRY_LOST)


def serve(sock: socket.socket, open_library: Callable[[Setup], Library]) -> int:
    """Read until the agent goes or says stop, or the driver goes. Returns the exit code."""
    frames, outlet = Frames(), Outlet(sock)
    setup = _receive_setup(sock, frames)
    sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A terminal's ^C reaches the agent too, which then stops us.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())  # Finish the calls under way: see facts on killed monitors.
    try:
        library = open_library(setup)
    except DriverGone as error:
        outlet.send([Failed(str(error))])
        return 1
    watcher = threading.Thread(target=watch_xids, args=(library, outlet, stop), daemon=True)
    try:
        reader = Reader(library, setup, outlet, discover())
        watcher.start()
        _loop(reader, sock, frames, outlet, stop)
    except DriverGone as error:
        outlet.send([Failed(str(error))])
        return 1
    except ConnectionError:
        pass  # The agent is gone, and so are we.
    stop.set()
    if watcher.ident is not None:
        watcher.join(2 * _XID_WAIT)
    if not watcher.is_alive():  # Never shut the library down under a call.
        library.close()
    return 0


def _loop(reader: Reader, sock: socket.socket, frames: Frames, outlet: Outlet, stop: threading.Event) -> None:
    reader.run_due()
    # What there is now stays, and samples make no cycles: there is next to nothing to collect from now on.
    gc.freeze()
    gc.set_threshold(_GC_EVERY)
    while not stop.is_set():
        reader.run_due()
        wait = max(0.0, (reader.next_time() - time.monotonic_ns()) / NS)
        readable, _, _ = select.select([sock], [sock] if outlet.waiting else [], [], min(wait, _HEARTBEAT))
        outlet.flush()
        if readable:
            data = sock.recv(65536)
            if not data:
                return
            for body in frames.feed(data):
                for message in TO_READER.decode(body):
                    reader.handle(message)


def _receive_setup(sock: socket.socket, frames: Frames) -> Setup:
    while data := sock.recv(65536):
        for body in frames.feed(data):
            for message in TO_READER.decode(body):
                if isinstance(message, Setup):
                    return message
    raise SystemExit(0)


def _simulated(setup: Setup) -> Library:
    from agent.simulation import deployments  # noqa: PLC0415 - only the demo needs it
    from agent.simulation.faults import faults  # noqa: PLC0415 - as above
    from agent.simulation.load import holders, loads  # noqa: PLC0415 - as above
    from agent.system.nvml.device import ProcessUse  # noqa: PLC0415 - as above
    from agent.system.nvml.fake import FakeLibrary  # noqa: PLC0415 - as above

    if not setup.engines:
        return FakeLibrary(setup.simulate)
    deployed = deployments(faults=setup.faults)
    started = setup.engines[0].started_ns / NS
    return FakeLibrary(
        setup.simulate,
        loads=dict(enumerate(loads(setup.simulate, setup.engines, deployed))),
        processes={gpu: [ProcessUse(*holder)] for gpu, holder in holders(setup.engines, deployed).items()},
        faults=faults(setup.simulate, started) if setup.faults else None,
    )


def main() -> int:
    """Run as a process: see the module."""
    progress = SharedProgress(int(sys.argv[2]))

    def open_library(setup: Setup) -> Library:
        if setup.simulate:
            return _simulated(setup)
        from agent.system.nvml.library import PynvmlLibrary  # noqa: PLC0415 - not in the demo: loads the driver's library

        return PynvmlLibrary(progress)

    try:
        return serve(socket.socket(fileno=int(sys.argv[1])), open_library)
    except ConnectionError:
        return 0  # The agent is gone, and so are we.


if __name__ == "__main__":
    sys.exit(main())
