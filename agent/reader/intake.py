# SPDX-License-Identifier: Apache-2.0
"""What the reader says becomes batches in the snapshot, rows in the timeline, and counts."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from agent.catalogue import health, own
from agent.clock import NS, Clock
from agent.entities import Agent, Gpu, GpuState, GpuXid, NodeGpus
from agent.metric import Sample, Series
from agent.reader.wire import Block, Dropped, Failed, Found, Layout, Log, Lost, Opened, Ran, XidSeen, restore
from agent.reader.xids import Xids
from agent.runs import Runs
from agent.snapshot import Batch, Snapshots, Source
from agent.timeline import Timeline

LOG = logging.getLogger("joulespan.reader")
TIMELINE = frozenset({"gpu_energy", "gpu_utilization", "gpu_clocks", "gpu_activity"})
"""The collectors whose every reading is kept in the timeline."""
_FAST = "gpu_energy"
"""The one among them that reports so often that nobody is told."""
EVENTS, KERNEL = "nvml events", "kernel log"


class Intake:
    """The agent's memory of what the readers said. Outlives each of them."""

    def __init__(self, snapshots: Snapshots, timeline: Timeline, clock: Clock) -> None:
        """Write into these."""
        self.xids = Xids()
        self.gpus: dict[int, Gpu] = {}
        self.reachable: set[int] = set()
        self.lost: set[int] = set()
        self.hung: set[int] = set()
        self.opened = False
        self.failure: str | None = None
        self.updated: Callable[[], None] = lambda: None
        self._snapshots = snapshots
        self._timeline = timeline
        self._clock = clock
        self._layouts: dict[int, tuple[Source, tuple[Series, ...]]] = {}
        self._names: dict[Source, int] = {}
        self._runs: dict[str, Runs] = {}
        self._last_read: dict[str, int] = {}
        self._pci: dict[str, str] = {}
        self._dropped = 0

    def take(self, messages: list[Any]) -> None:
        """Take in what a reader said, in order."""
        batches: dict[Source, Batch] = {}
        for message in messages:
            if isinstance(message, Block):
                self._block(message, batches)
            else:
                if isinstance(message, Lost):  # It ends what was said before it, not what comes after.
                    self._snapshots.put(batches)
                    batches = {}
                self._other(message)
        if batches:
            self._snapshots.put(batches)
            if any(source.collector != _FAST for source in batches):
                self.updated()

    def forget(self) -> None:
        """Drop every series that came from a reader: it is gone or silent."""
        sources = set(self._names)
        self._snapshots.drop(lambda source: source in sources)
        self.reachable.clear()
        self.opened = False

    def restart(self) -> None:
        """Prepare for another reader, which numbers its layouts anew."""
        self.forget()
        self._layouts.clear()
        self._names.clear()

    def kernel_xid(self, pci: str, xid: int, time: int) -> None:
        """Take in an XID from the kernel log."""
        if uuid := self._pci.get(pci):
            self._xid(KERNEL, uuid, xid, time)

    def samples(self) -> Iterator[Sample]:
        """Say what is known about GPUs and collectors beyond what the reader measures."""
        yield from self._gpu_samples()
        for runs in self._runs.values():
            yield from runs.samples(self._clock)
        yield own.READER_DROPPED(Agent(), self._dropped)
        yield own.XID_SERIES_DROPPED(Agent(), self.xids.dropped)

    def _gpu_samples(self) -> Iterator[Sample]:
        yield health.NODE_GPUS(NodeGpus("reachable"), len(self.reachable))
        yield health.NODE_GPUS(NodeGpus("lost"), len(self.lost))
        yield health.NODE_GPUS(NodeGpus("hung"), len(self.hung))
        for index in self.lost | self.hung:
            if gpu := self.gpus.get(index):
                yield health.STATUS(GpuState(gpu, "failed"), 1)
        known = {gpu.id: gpu for gpu in self.gpus.values()}
        for uuid, time in self._last_read.items():
            if gpu := known.get(uuid):
                yield health.LAST_READ(gpu, self._clock.unix_ns(time) / NS)
        for (uuid, xid), seen in self.xids.counts.items():
            if gpu := known.get(uuid):
                yield health.XID(GpuXid(gpu, xid), seen.events)
                yield health.XID_LAST_SEEN(GpuXid(gpu, xid), self._clock.unix_ns(seen.last_seen) / NS)

    def _block(self, block: Block, batches: dict[Source, Batch]) -> None:
        found = self._layouts.get(block.layout)
        if found is None or len(found[1]) != len(block.values):
            return  # Its names were dropped; the reader says them again.
        source, series = found
        batches[source] = Batch(series, block.values, block.time)
        self._last_read[source.device] = block.time
        if source.collector in TIMELINE:
            self._timeline.append(source, series, block.time, block.values)

    def _other(self, message: Any) -> None:  # noqa: C901 - one branch a message
        match message:
            case Layout():
                source = Source(message.collector, message.device)
                self._layouts.pop(self._names.get(source, -1), None)
                self._names[source] = message.id
                self._layouts[message.id] = (source, tuple(restore(*series) for series in message.series))
            case Ran():
                runs = self._runs.setdefault(message.collector, Runs(message.collector))
                runs.note(message.time, message.duration, message.failures, message.missed)
            case Found():
                self._found(message)
            case Lost():
                self._lose(message)
            case XidSeen():
                self._xid(EVENTS, message.uuid, message.xid, message.time)
            case Opened():
                self.opened, self.failure = True, None
                LOG.info("nvml: driver %s, %d GPUs", message.driver_version, message.devices)
            case Failed():
                if self.failure != message.reason:
                    LOG.warning("nvml: no driver: %s", message.reason)
                self.opened, self.failure = False, message.reason
            case Dropped():
                self._dropped += message.count
            case Log():
                LOG.log(logging.getLevelNamesMapping()[message.level.upper()], "%s", message.text)

    def _found(self, found: Found) -> None:
        if found.index in self.lost | self.hung:
            LOG.info("nvml: gpu%d (%s) answers again", found.index, found.uuid)
        self.gpus[found.index] = Gpu(found.uuid, f"gpu{found.index}")
        self.reachable.add(found.index)
        self.lost.discard(found.index)
        self.hung.discard(found.index)
        if found.pci:
            self._pci[found.pci] = found.uuid

    def _lose(self, lost: Lost) -> None:
        if lost.index not in self.lost:
            LOG.warning("nvml: lost gpu%d (%s): %s", lost.index, lost.uuid or "not identified", lost.reason)
        self.lost.add(lost.index)
        self.hung.discard(lost.index)
        self.reachable.discard(lost.index)
        if lost.uuid:
            self._snapshots.drop(lambda source: source.device == lost.uuid)

    def _xid(self, witness: str, uuid: str, xid: int, time: int) -> None:
        if self.xids.report(witness, uuid, xid, time):
            LOG.warning("nvml: Xid %d on %s (%s)", xid, uuid, witness)
