# SPDX-License-Identifier: Apache-2.0
"""What the host does, from trees like the kernel's, and of the machine that runs the tests."""

import os
from pathlib import Path

import psutil
import pytest

from agent.clock import SystemClock
from agent.collectors.node import Node
from agent.collectors.node import host as module
from agent.collectors.node.host import COLLECTOR, DISKS, HostReading
from agent.config import HostCollector
from agent.errors import NoPermission, Unavailable
from agent.metric import Sample
from agent.snapshot import EMPTY
from agent.system import mounts
from tests.collectors.node.bench import FIXTURES, Bench, copied, lines

GOLDEN = Path(__file__).parents[2] / "golden"
HGX, VM = FIXTURES / "proc-host-hgx", FIXTURES / "proc-host-vm"


def space(path: str) -> os.statvfs_result:
    """Any file system: 1000 blocks of 4 KiB, 400 free, 350 of them for everybody."""
    return os.statvfs_result((4096, 4096, 1000, 400, 350, 64, 32, 32, 0, 255))


def bench(root: Path, settings: HostCollector | None = None) -> Bench:
    made = Bench(COLLECTOR, root, settings)
    made.read = HostReading(made.node, detail=settings is not None and settings.detail, statvfs=space).read
    return made


@pytest.mark.parametrize("tree", ["hgx", "vm"])
def test_a_host_reads_as_the_golden_file_says(tree: str) -> None:
    made = bench(FIXTURES / f"proc-host-{tree}")
    found = [f"{series} {value!r}" for series, value in made.lines().items()]
    assert made.failures == []
    golden = GOLDEN / f"host-{tree}.txt"
    if not golden.exists():
        golden.write_text("\n".join(found) + "\n")
        pytest.fail(f"{golden.name} was missing and has been written: read it, and run again")
    assert found == golden.read_text().splitlines()


def test_a_node_of_192_cpus_and_10_disks_has_fewer_than_120_series() -> None:
    assert 80 < len(bench(HGX).samples()) < 120


def test_each_cpu_has_its_series_in_detail_only() -> None:
    modes = [line for line in bench(HGX).lines() if line.startswith("system.cpu.time")]
    each = [line for line in bench(HGX, HostCollector(detail=True)).lines() if line.startswith("system.cpu.time")]
    assert (len(modes), len(each)) == (7, 7 * 192)
    assert "system.cpu.time{cpu.mode=idle,cpu.logical_number=191}" in each


def test_operations_of_disks_have_series_in_detail_only() -> None:
    name = "system.disk.operation_time{system.device=nvme3n1,disk.io.direction=read}"
    assert name not in bench(HGX).lines()
    assert bench(HGX, HostCollector(detail=True)).lines()[name] == 8.4


@pytest.mark.parametrize(
    ("file", "lost"),
    [
        ("proc/stat", "system.cpu.time"),
        ("proc/loadavg", "joulespan.host.load"),
        ("proc/uptime", "system.uptime"),
        ("proc/meminfo", "system.memory.limit"),
        ("proc/pressure/io", "joulespan.host.pressure.stall.duration{resource=io"),
        ("sys/devices/system/node/node1/meminfo", "joulespan.numa.memory.limit{numa.node=1}"),
    ],
)
def test_one_broken_file_costs_its_own_series(file: str, lost: str, tmp_path: Path) -> None:
    root = copied("proc-host-hgx", tmp_path)
    whole = bench(root).lines()
    (root / file).write_bytes(b"\xff garbage \n\n")
    broken = bench(root)
    left = broken.lines()
    gone = whole.keys() - left.keys()
    assert gone
    assert any(series.startswith(lost) for series in gone)
    assert not any(series.startswith(lost) for series in left)
    assert {whole[series] for series in left} == {left[series] for series in left}
    assert [type(error) for error in broken.failures] == [Unavailable]


def test_what_a_kernel_does_not_have_is_left_out_and_is_no_failure() -> None:
    made = bench(VM)
    found = made.lines()
    assert not any("pressure" in series or "numa" in series or "oom" in series for series in found)
    assert made.failures == []


def test_of_a_disk_without_hardware_behind_it_nothing_is_read_unless_it_is_asked_for() -> None:
    usual = {series for series in bench(HGX).lines() if "system.disk.io{" in series}
    assert len(usual) == 20
    asked = bench(HGX, HostCollector(include=("md*", "nvme0n1"), exclude=("nvme*",))).lines()
    devices = {series.split("system.device=")[1].split(",")[0] for series in asked if "system.disk.io{" in series}
    assert devices == {"md127"}


def test_of_many_disks_the_busiest_keep_their_series_and_the_rest_is_counted(tmp_path: Path) -> None:
    root = copied("proc-host-hgx", tmp_path)
    row = " 259 {n} nvme{n}n1 1 0 {traffic} 0 1 0 0 0 0 0 0 0 0 0 0 0 0\n"
    for number in range(40):
        (root / f"sys/block/nvme{number}n1/device").mkdir(parents=True, exist_ok=True)
    (root / "proc/diskstats").write_text("".join(row.format(n=n, traffic=n) for n in range(40)))
    made = bench(root)
    busiest = {series for series in made.lines() if series.startswith("system.disk.io_time")}
    assert len(busiest) == DISKS
    assert "system.disk.io_time{system.device=nvme39n1}" in busiest
    (root / "proc/diskstats").write_text("".join(row.format(n=n, traffic=99 - n) for n in range(40)))
    found = made.lines()
    assert {series for series in found if series.startswith("system.disk.io_time")} == busiest
    assert found["joulespan.series.dropped{collector=host}"] == (40 - DISKS) * 3


def test_idle_time_that_goes_back_a_little_stands_still_and_one_that_begins_again_does(tmp_path: Path) -> None:
    root = copied("proc-host-vm", tmp_path)
    made, idle = bench(root), "system.cpu.time{cpu.mode=idle}"
    row = "cpu  0 0 0 {ticks} 0 0 0 0 0 0\n"
    seen = []
    for ticks in (100_000, 99_900, 100_100, 5):
        (root / "proc/stat").write_text(row.format(ticks=ticks))
        seen.append(made.lines()[idle])
    assert seen == [1000.0, 1000.0, 1001.0, 0.05]


@pytest.mark.parametrize(
    ("line", "mode"),
    [
        ("27 1 259:2 / / ro,relatime shared:1 - ext4 /dev/a rw,errors=remount-ro", "rw"),  # ProtectSystem=strict
        ("27 1 259:2 / / rw,relatime - ext4 /dev/a ro,errors=remount-ro", "ro"),  # the kernel has found an error
        ("27 1 259:2 / / rw,relatime shared:1 master:2 - xfs /dev/a rw", "rw"),
    ],
)
def test_a_file_system_is_read_only_where_it_is_and_not_where_a_sandbox_says_so(line: str, mode: str) -> None:
    ((_, mount),) = mounts.parse_mounts(line.encode())
    assert mount == mounts.Mount("a", "/", mount.type, mode)


def test_a_file_system_that_cannot_be_asked_costs_its_own_series() -> None:
    def refusing(path: str) -> os.statvfs_result:
        if path == "/raid":
            raise PermissionError(13, "Permission denied")
        if path == "/boot/efi":
            raise FileNotFoundError(2, "No such file")
        return space(path)

    made = bench(HGX)
    made.read = HostReading(made.node, statvfs=refusing).read
    points = {series for series in made.lines() if series.startswith("system.filesystem.limit")}
    assert len(points) == 2
    assert [type(error) for error in made.failures] == [Unavailable]


def test_this_machine_reads_as_psutil_does() -> None:
    failures: list[Exception] = []
    node = Node(HostCollector(), SystemClock(), lambda: EMPTY, failures.append)
    found = lines([one for one in module.COLLECTOR.open(node)() if isinstance(one, Sample)])
    assert [error for error in failures if not isinstance(error, NoPermission)] == []
    times = psutil.cpu_times()
    assert found["system.cpu.time{cpu.mode=user}"] == pytest.approx(times.user, rel=0.02, abs=5)
    assert found["system.cpu.time{cpu.mode=interrupt}"] == pytest.approx(times.irq + times.softirq, rel=0.02, abs=5)
    assert found["system.cpu.logical.count{}"] == psutil.cpu_count()
    memory = psutil.virtual_memory()
    assert found["system.memory.limit{}"] == memory.total
    assert found["system.memory.linux.available{}"] == pytest.approx(memory.available, rel=0.2)
    assert found["system.paging.usage{system.paging.state=free}"] == psutil.swap_memory().free
    counters = psutil.disk_io_counters(perdisk=True)
    for name in {series.split("system.device=")[1].split(",")[0] for series in found if "system.disk.io{" in series}:
        ours = found[f"system.disk.io{{system.device={name},disk.io.direction=read}}"]
        assert ours == pytest.approx(counters[name].read_bytes, rel=0.02, abs=1 << 26)
    limits = [value for series, value in found.items() if "filesystem.limit" in series and "mountpoint=/," in series]
    assert limits in ([], [psutil.disk_usage("/").total])
