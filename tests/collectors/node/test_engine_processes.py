# SPDX-License-Identifier: Apache-2.0
"""What engines' processes use, from trees like the kernel's and from a process that is there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from agent.catalogue.gpu import GPU_INFO, PROCESS_MEMORY
from agent.catalogue.requests import ENGINE_GPU
from agent.collectors.node.engine_processes import COLLECTOR
from agent.config import EngineProcessCollector
from agent.entities import Gpu, GpuInfo, GpuProcess
from agent.request_entities import EngineGpu
from agent.snapshot import Snapshot, Snapshots, Source
from tests.collectors.node.bench import FIXTURES, Bench, copied

GPUS = [Gpu(f"GPU-{n}", f"gpu{n}") for n in (0, 1)]
TICKS = os.sysconf("SC_CLK_TCK")
NAMES = "joulespan.engine."


def snapshot(engines: dict[str, list[int]], holders: dict[int, int]) -> Snapshot:
    """Engines with the numbers of their GPUs, and processes with the GPU of each."""
    snapshots = Snapshots()
    snapshots.put_samples(Source("gpu_info"), [GPU_INFO(GpuInfo(gpu), 1) for gpu in GPUS], 0)
    held = [PROCESS_MEMORY(GpuProcess(GPUS[gpu], pid, "x"), 1) for pid, gpu in holders.items()]
    snapshots.put_samples(Source("gpu_processes", "0"), held, 0)
    served = [ENGINE_GPU(EngineGpu(name, GPUS[n].id, "pid"), 1) for name, numbers in engines.items() for n in numbers]
    snapshots.put_samples(Source("requests"), served, 0)
    return snapshots.current


LLAMA = snapshot({"llama": [0, 1]}, {101: 0, 102: 1})


def engine(found: dict[str, float], name: str, more: str = "") -> float | None:
    return found.get(f"{NAMES}{name}{{engine=llama{more}}}")


@pytest.mark.parametrize("version", [1, 2])
def test_an_engine_is_its_front_end_and_its_workers(version: int) -> None:
    made = Bench(COLLECTOR, FIXTURES / f"proc-host-cgroup{version}", snapshot=lambda: LLAMA)
    found = made.lines()
    assert engine(found, "processes") == 3
    assert engine(found, "process.threads") == 99
    assert engine(found, "process.cpu.time", ",cpu.mode=user") == (4000 + 90000 + 91000) / TICKS
    assert engine(found, "process.cpu.time", ",cpu.mode=system") == (500 + 2500 + 2600) / TICKS
    assert engine(found, "process.memory.usage") == 3 * 262144 * os.sysconf("SC_PAGE_SIZE")
    assert engine(found, "process.paging.faults", ",system.paging.fault.type=major") == 36
    assert engine(found, "process.context_switches", ",process.context_switch.type=voluntary") == 300 + 303
    assert engine(found, "process.disk.io", ",disk.io.direction=read") == 3 << 20
    assert found["joulespan.engine.process.left_out{}"] == 0
    assert made.failures == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_control_group_counts_once_for_all_the_processes_in_it(version: int) -> None:
    found = Bench(COLLECTOR, FIXTURES / f"proc-host-cgroup{version}", snapshot=lambda: LLAMA).lines()
    assert engine(found, "cgroup.cpu.periods") == 5000
    assert engine(found, "cgroup.cpu.throttled_periods") == 40
    assert engine(found, "cgroup.cpu.throttled") == 2.5
    assert engine(found, "cgroup.memory.usage") == 64 << 30
    assert engine(found, "cgroup.oom_kills") == 1
    limit, stalled = (128 << 30, 3.0) if version == 2 else (None, None)
    assert engine(found, "cgroup.memory.limit") == limit  # v1 says a number that is none.
    assert engine(found, "cgroup.pressure.stall.duration", ",resource=cpu,stall_type=some") == stalled


def test_a_worker_that_ends_leaves_what_it_counted(tmp_path: Path) -> None:
    root = copied("proc-host-cgroup2", tmp_path)
    made = Bench(COLLECTOR, root, snapshot=lambda: LLAMA)
    before = made.lines()
    shutil.rmtree(root / "proc/102")
    found = made.lines(5)
    assert engine(found, "processes") == 2
    for more in (",cpu.mode=user", ",cpu.mode=system"):
        assert engine(found, "process.cpu.time", more) == engine(before, "process.cpu.time", more)
    assert engine(found, "process.memory.usage") == 2 * 262144 * os.sysconf("SC_PAGE_SIZE")


def test_a_control_group_that_begins_again_under_its_name_does_not_fall(tmp_path: Path) -> None:
    root = copied("proc-host-cgroup2", tmp_path)
    made = Bench(COLLECTOR, root, snapshot=lambda: LLAMA)
    made.samples()
    (stat,) = root.glob("sys/fs/cgroup/kubepods.slice/pod1/*/cpu.stat")
    stat.write_text("nr_periods 10\nnr_throttled 1\nthrottled_usec 1000\n")
    assert engine(made.lines(5), "cgroup.cpu.periods") == 5010


@pytest.mark.parametrize(
    ("file", "lost"),
    [("stat", "process.cpu.time"), ("status", "context_switches"), ("io", "disk.io"), ("cgroup", "cgroup.cpu.periods")],
)
def test_one_broken_file_costs_its_own_series(file: str, lost: str, tmp_path: Path) -> None:
    root = copied("proc-host-cgroup2", tmp_path)
    made = Bench(COLLECTOR, root, snapshot=lambda: LLAMA)
    whole = made.lines()  # It knows the processes from now on.
    for pid in (100, 101, 102):
        (root / f"proc/{pid}/{file}").write_bytes(b"\xff\n)) nonsense: :\n")
    broken = made.lines(5)
    assert any(lost in series for series in whole)
    assert not any(lost in series for series in broken)
    assert (engine(broken, "processes") is None) == (file == "stat")


def test_processes_on_gpus_that_two_engines_share_are_told_apart_by_the_name_of_their_service(tmp_path: Path) -> None:
    root = copied("proc-host-cgroup2", tmp_path)
    for pid, name in ((100, "llama"), (101, "llama"), (102, "qwen")):
        (root / f"proc/{pid}/environ").write_bytes(f"OTEL_SERVICE_NAME={name}\0".encode())
    shared = snapshot({"llama": [0, 1], "qwen": [0, 1]}, {101: 0, 102: 1})
    found = Bench(COLLECTOR, root, snapshot=lambda: shared).lines()
    assert engine(found, "processes") == 2
    assert found["joulespan.engine.processes{engine=qwen}"] == 1
    (root / "proc/102/environ").write_bytes(b"")
    found = Bench(COLLECTOR, root, snapshot=lambda: shared).lines()
    assert "joulespan.engine.processes{engine=qwen}" not in found
    assert found["joulespan.engine.process.left_out{}"] == 1


def test_new_processes_on_gpus_are_found_within_seconds_and_others_within_half_a_minute(tmp_path: Path) -> None:
    root = copied("proc-host-cgroup2", tmp_path)
    now = [snapshot({"llama": [0, 1]}, {})]
    made = Bench(COLLECTOR, root, snapshot=lambda: now[0])
    assert engine(made.lines(), "processes") is None
    now[0] = LLAMA
    assert engine(made.lines(4), "processes") is None
    assert engine(made.lines(1), "processes") == 3


def test_engines_are_chosen_by_their_names() -> None:
    settings = EngineProcessCollector(exclude=("ll*",))
    found = Bench(COLLECTOR, FIXTURES / "proc-host-cgroup2", settings, snapshot=lambda: LLAMA).lines()
    assert not any("engine=llama" in series for series in found)


def test_a_process_of_this_machine_reads_as_psutil_does() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        there = snapshot({"llama": [0]}, {child.pid: 0})
        made = Bench(COLLECTOR, Path("/"), snapshot=lambda: there)
        found = made.lines()
        theirs = psutil.Process(child.pid)
        assert engine(found, "processes") >= 1  # type: ignore[operator]  # the tests' own process is of its family
        resident = engine(found, "process.memory.usage")
        assert resident is not None
        assert resident >= theirs.memory_info().rss * 0.9
        child.kill()
