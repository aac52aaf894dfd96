# SPDX-License-Identifier: Apache-2.0
"""The processes on every GPU: what memory they hold and what share of its engines they take."""

from collections.abc import Iterable

from agent.catalogue.gpu import PROCESS_COUNT, PROCESS_MEMORY, PROCESS_UTILIZATION
from agent.collectors.gpu import Cadence, GpuCollector, Read, Target
from agent.entities import GpuProcess, GpuProcessTask
from agent.metric import Sample
from agent.system.procfs import process_name

LIMIT = 64
"""Processes per GPU that get series: those that hold most memory."""


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device

    def read() -> Iterable[Sample]:
        if (found := device.processes()) is None:
            return
        yield PROCESS_COUNT(gpu, len(found))
        uses = sorted(found, key=lambda use: use.memory or 0, reverse=True)[:LIMIT]
        processes = {use.pid: GpuProcess(gpu, use.pid, process_name(use.pid)) for use in uses}
        for use in uses:
            if use.memory is not None:
                yield PROCESS_MEMORY(processes[use.pid], use.memory)
        for load in device.process_loads() or ():
            if process := processes.get(load.pid):
                for task, share in load.shares.items():
                    if share or task == "general":
                        yield PROCESS_UTILIZATION(GpuProcessTask(process, task), share)

    return read


COLLECTOR = GpuCollector("gpu_processes", Cadence.PROCESSES, _open)
