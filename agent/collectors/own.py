# SPDX-License-Identifier: Apache-2.0
"""CPU, memory and descriptors of the agent's own processes."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import psutil

from agent.catalogue.own import CPU_TIME, MEMORY, OPEN_FDS
from agent.entities import Process
from agent.metric import Sample


class OwnProcesses:
    """Reads the agent's process and those of its readers, added up."""

    def __init__(self, readers: Callable[[], Sequence[int]]) -> None:
        """`readers` gives the process ids of the readers of the moment."""
        self._readers = readers
        self._agent = psutil.Process()
        self._known: dict[int, psutil.Process] = {}

    def read(self) -> Iterable[Sample]:
        """Read both."""
        yield from _samples("agent", [self._agent])
        pids = self._readers()
        self._known = {pid: found for pid in pids if (found := self._known.get(pid) or _open(pid))}
        yield from _samples("reader", list(self._known.values()))


def _open(pid: int) -> psutil.Process | None:
    with suppress(psutil.Error):
        return psutil.Process(pid)
    return None


def _samples(name: str, processes: Sequence[psutil.Process]) -> Iterable[Sample]:
    seconds = memory = descriptors = 0.0
    for process in processes:
        with suppress(psutil.Error), process.oneshot():
            times = process.cpu_times()
            seconds += times.user + times.system
            memory += process.memory_info().rss
            descriptors += process.num_fds()
    if processes:
        yield CPU_TIME(Process(name), seconds)
        yield MEMORY(Process(name), memory)
        yield OPEN_FDS(Process(name), descriptors)
