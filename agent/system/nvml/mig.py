# SPDX-License-Identifier: Apache-2.0
"""MIG instances of a GPU, through NVML.

A MIG handle answers memory, processes and GPM; utilization, power, clocks and temperatures belong to the whole GPU.
"""

from collections.abc import Sequence
from typing import Any

import pynvml

from agent.system.nvml.ask import Asker, Progress
from agent.system.nvml.device import Gpm, Memory, MigDevice, MigIdentity, Notes, ProcessUse
from agent.system.nvml.gpm import GpmSampler
from agent.system.nvml.usage import read_memory, read_processes


class PynvmlMig:
    """A MIG instance, by its MIG device handle."""

    def __init__(self, parent: Any, handle: Any, index: int, progress: Progress) -> None:
        """Identify the instance. Raises NVMLError when it cannot be."""
        self.notes = Notes()
        self._handle = handle
        self._ask = Asker(index, self.notes, progress)
        gpu_instance = pynvml.nvmlDeviceGetGpuInstanceId(handle)
        name = pynvml.nvmlDeviceGetName(handle)
        attributes = self._ask("nvmlDeviceGetAttributes_v2", pynvml.nvmlDeviceGetAttributes_v2, handle)
        self.identity = MigIdentity(
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            profile=name.rsplit("MIG ", 1)[-1] if "MIG " in name else "mig",
            gpu_instance=gpu_instance,
            compute_instance=pynvml.nvmlDeviceGetComputeInstanceId(handle),
            multiprocessors=None if attributes is None else attributes.multiprocessorCount,
        )
        self._gpm = GpmSampler(self._ask, lambda sample: pynvml.nvmlGpmMigSampleGet(parent, gpu_instance, sample))

    def memory(self) -> Memory | None:
        """See MigDevice."""
        return read_memory(self._ask, self._handle)

    def processes(self) -> Sequence[ProcessUse] | None:
        """See MigDevice."""
        return read_processes(self._ask, self._handle)

    def gpm(self) -> Gpm | None:
        """See MigDevice."""
        return self._gpm.read()

    def close(self) -> None:
        """Give back what it holds."""
        self._gpm.close()


class MigInstances:
    """The MIG instances of a GPU, looked up again when asked."""

    def __init__(self, handle: Any, index: int, ask: Asker, notes: Notes, progress: Progress) -> None:
        """Look up by the GPU's handle. The GPU's notes get the failures of its instances: nobody else takes them."""
        self._handle = handle
        self._notes = notes
        self._index = index
        self._ask = ask
        self._progress = progress
        self._known: dict[str, PynvmlMig] = {}

    def list(self) -> list[MigDevice]:
        """List the instances there are now. Indexes have holes."""
        limit = self._ask("nvmlDeviceGetMaxMigDeviceCount", pynvml.nvmlDeviceGetMaxMigDeviceCount, self._handle) or 0
        found: dict[str, PynvmlMig] = {}
        for place in range(limit):
            self._progress.enter(self._index, "nvmlDeviceGetMigDeviceHandleByIndex")
            try:
                handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(self._handle, place)
                uuid = pynvml.nvmlDeviceGetUUID(handle)
                found[uuid] = self._known.get(uuid) or PynvmlMig(self._handle, handle, self._index, self._progress)
            except pynvml.NVMLError:
                continue
        for uuid in self._known.keys() - found.keys():
            self._known[uuid].close()
        self._known = found
        for instance in found.values():
            self._notes.failures += instance.notes.take_failures()
        return list(found.values())
