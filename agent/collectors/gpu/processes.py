# SPDX-License-Identifier: Apache-2.0
"""The processes on every GPU: what memory they hold and what share of its engines they take."""

from collections.abc import Iterable, Sequence

from agent.catalogue.gpu import MIG_PROCESS_MEMORY, PROCESS_COUNT, PROCESS_MEMORY, PROCESS_UTILIZATION
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target
from agent.collectors.gpu.mig import mig_instance
from agent.entities import Gpu, GpuProcess, GpuProcessTask, MigProcess
from agent.metric import Sample
from agent.system.nvml.device import Device, ProcessUse
from agent.system.procfs import process_name

LIMIT = 64
"""Processes per GPU that get series: those that hold most memory."""


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device

    def read() -> Iterable[Sample]:
        for mig in device.mig_instances():
            instance = mig_instance(gpu, mig)
            for use in _largest(mig.processes() or ()):
                if use.memory is not None:
                    yield MIG_PROCESS_MEMORY(MigProcess(instance, use.pid, process_name(use.pid)), use.memory)
        if (found := device.processes()) is not None:
            yield PROCESS_COUNT(gpu, len(found))
            yield from _processes(gpu, device, _largest(found))

    return read


def _processes(gpu: Gpu, device: Device, uses: Sequence[ProcessUse]) -> Iterable[Sample]:
    processes = {use.pid: GpuProcess(gpu, use.pid, process_name(use.pid)) for use in uses}
    for use in uses:
        if use.memory is not None:
            yield PROCESS_MEMORY(processes[use.pid], use.memory)
    for load in device.process_loads() or ():
        if process := processes.get(load.pid):
            for task, share in load.shares.items():
                if share or task == "general":
                    yield PROCESS_UTILIZATION(GpuProcessTask(process, task), share)


def _largest(uses: Iterable[ProcessUse]) -> Sequence[ProcessUse]:
    return sorted(uses, key=lambda use: use.memory or 0, reverse=True)[:LIMIT]


COLLECTOR = GpuCollector("gpu_processes", Cadence.PROCESSES, _open)
