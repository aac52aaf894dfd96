# SPDX-License-Identifier: Apache-2.0
"""The activity of simulated GPUs between two looks, and their MIG instances."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.system.nvml import waves
from agent.system.nvml.ask import Progress
from agent.system.nvml.device import Gpm, Memory, MigIdentity, Notes, ProcessUse
from agent.system.nvml.fake_board import Questions, SimulatedGpu

_PERCENT = 100.0
_GPM_MIN_GAP = 0.12
_GRAPHICS, _SM, _OCCUPANCY, _DRAM = 1, 2, 3, 10
_PIPES = {"int": 4, "any_tensor": 5, "hmma": 7, "dmma": 8, "imma": 9, "fp64": 11, "fp32": 12, "fp16": 13}
_MIG_SHARE = 8
_MIG_MEMORY = 9728 * waves.MIB
_FIRST_GPU_INSTANCE = 7


class _Look(NamedTuple):
    """A GPU's counters at a time; empty where its waves know what was between two times."""

    t: float
    seconds: Mapping[int, float]
    bytes: Mapping[str, tuple[float, float]]


class GpmWindow:
    """The time between two looks at a GPU's activity."""

    def __init__(self, gpu: SimulatedGpu, ask: Questions, *, instance: bool = False) -> None:
        """Look at a GPU or at one of its MIG instances."""
        self._gpu = gpu
        self._ask = ask
        self._instance = instance
        self._last: _Look | None = None

    def read(self) -> Gpm | None:
        """See Device.gpm."""
        last = self._last
        if last is not None and self._gpu.now() - last.t < _GPM_MIN_GAP:
            return None
        self._last = self._ask("nvmlGpmSampleGet", self._look, has=self._gpu.board.since("hopper"))
        return None if last is None or self._last is None else self._between(last, self._last)

    def _look(self, t: float) -> _Look:
        links: dict[str, tuple[float, float]] = {}
        if load := self._gpu.load:
            links["pcie"] = load.pcie_bytes(t)
            if self._gpu.links:
                links["nvlink"] = load.nvlink_bytes(t)
        return _Look(t, self._gpu.active_seconds(t), links)

    def _between(self, start: _Look, end: _Look) -> Gpm:
        def ratio(metric: int) -> float:
            if end.seconds:
                return (end.seconds[metric] - start.seconds[metric]) / (end.t - start.t)
            return waves.gpm_percent(metric, self._gpu.index, start.t, end.t) / _PERCENT

        return Gpm(
            graphics_active=ratio(_GRAPHICS),
            sm_active=ratio(_SM),
            sm_occupancy=ratio(_OCCUPANCY),
            dram_active=ratio(_DRAM),
            pipes={pipe: ratio(metric) for pipe, metric in _PIPES.items()},
            throughput={} if self._instance else self._throughput(start, end),
        )

    def _throughput(self, start: _Look, end: _Look) -> Mapping[tuple[str, str], float]:
        if end.bytes:
            seconds = end.t - start.t
            rates = {
                name: ((sent - start.bytes[name][0]) / seconds, (received - start.bytes[name][1]) / seconds)
                for name, (sent, received) in end.bytes.items()
            }
        else:
            rates = self._waves()
        return {
            (link, direction): rate
            for link, both in rates.items()
            for direction, rate in zip(("transmit", "receive"), both, strict=True)
        }

    def _waves(self) -> dict[str, tuple[float, float]]:
        rates = {"pcie": waves.pcie_rates(self._gpu.index)}
        if links := [waves.nvlink_rates(self._gpu.index, link) for link in range(self._gpu.links)]:
            rates["nvlink"] = sum(sent for sent, _ in links), sum(received for _, received in links)
        return rates


class FakeMig:
    """A MIG instance of a simulated GPU: an eighth of it."""

    def __init__(self, gpu: SimulatedGpu, place: int, progress: Progress) -> None:
        """Make the instance at a place."""
        self.notes = Notes()
        self.identity = MigIdentity(
            uuid=waves.mig_uuid(gpu.index, place),
            profile="1g.10gb",
            gpu_instance=_FIRST_GPU_INSTANCE + place,
            compute_instance=0,
            multiprocessors=gpu.board.multiprocessors // _MIG_SHARE,
        )
        self._gpu = gpu
        self._place = place
        self._ask = Questions(gpu, self.notes, progress)
        self._gpm = GpmWindow(gpu, self._ask, instance=True)

    def memory(self) -> Memory | None:
        """See MigDevice."""
        return self._ask("nvmlDeviceGetMemoryInfo_v2", self._memory)

    def processes(self) -> Sequence[ProcessUse] | None:
        """See MigDevice. The GPU's processes are dealt to its instances in turn."""
        places = self._gpu.mig_places()
        turn = places.index(self._place)
        reading = "nvmlDeviceGetComputeRunningProcesses_v3"
        return self._ask(reading, lambda _: list(self._gpu.processes[turn :: len(places)]))

    def gpm(self) -> Gpm | None:
        """See MigDevice."""
        return self._gpm.read()

    def _memory(self, t: float) -> Memory:
        used = self._gpu.memory_used(t) // _MIG_SHARE
        reserved = waves.MEMORY_RESERVED // _MIG_SHARE
        return Memory(_MIG_MEMORY, used, _MIG_MEMORY - used - reserved, reserved)
