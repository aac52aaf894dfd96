# SPDX-License-Identifier: Apache-2.0
"""What the collectors of the host cost on a large node: 384 CPUs, 40 disks, two sockets with RAPL.

On a tree of files, as the kernel's own work to make them depends on the machine. `python -m tests.bench.host` prints it
alone.
"""

import shutil
import tempfile
import time
from pathlib import Path

from agent.clock import SystemClock
from agent.collectors.node import Node, NodeCollector, cpu_power, host, tcp, temperatures
from agent.config import Collectors
from agent.snapshot import EMPTY

_FIXTURES = Path(__file__).parents[1] / "fixtures"
_CPUS, _DISKS, _RUNS = 384, 40, 100
_COLLECTORS = (host.COLLECTOR, tcp.COLLECTOR, cpu_power.COLLECTOR, temperatures.COLLECTOR)


def costs() -> str:
    """Measure each collector, and say it as a table."""
    with tempfile.TemporaryDirectory() as folder:
        root = _tree(Path(folder) / "node")
        rows = [_cost(collector, root) for collector in _COLLECTORS]
    total = sum(share for *_, share in rows)
    what = f"Collectors of the host, {_CPUS} CPUs, {_DISKS} disks, two sockets with RAPL"
    lines = [
        f"{what}: {sum(row[1] for row in rows)} series and {total:.3%} of a core.",
        "",
        "| collector | series | CPU time of a run | interval | of a core |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {series} | {us:.0f} µs | {every:g} s | {share:.3%} |"
            for name, series, us, every, share in rows
        ),
    ]
    return "\n".join(lines)


def _cost(collector: NodeCollector, root: Path) -> tuple[str, int, float, float, float]:
    settings = getattr(Collectors(), collector.name)
    read = collector.open(Node(settings, SystemClock(), lambda: EMPTY, _broken, root))
    series = len(list(read()))
    began = time.process_time()
    for _ in range(_RUNS):
        series = len(list(read()))
    seconds = (time.process_time() - began) / _RUNS
    return collector.name, series, seconds * 1e6, settings.interval, seconds / settings.interval


def _broken(error: Exception) -> None:
    raise error


def _tree(root: Path) -> Path:
    shutil.copytree(_FIXTURES / "proc-host-hgx", root, symlinks=True)
    shutil.copytree(_FIXTURES / "sys-power-rapl" / "sys/class/powercap", root / "sys/class/powercap")
    cpus = "".join(f"cpu{number} 180000 20 42000 9000000 900 0 310 0 0 0\n" for number in range(_CPUS))
    interrupts = f"intr 918273645 {'0 12 0 9811 ' * 2500}\nctxt 4\nprocesses 8\nprocs_running 1\nprocs_blocked 0\n"
    (root / "proc/stat").write_text(f"cpu  69120000 7680 16128000 3456000000 345600 0 119040 0 0 0\n{cpus}{interrupts}")
    row = " 259 {n} nvme{n}n1 1 0 {n} 0 1 0 0 0 0 0 0 0 0 0 0 0 0\n"
    (root / "proc/diskstats").write_text("".join(row.format(n=number) for number in range(_DISKS)))
    for number in range(_DISKS):
        (root / f"sys/block/nvme{number}n1/device").mkdir(parents=True, exist_ok=True)
    line = (root / "proc/net/softnet_stat").read_text().splitlines()[0]
    (root / "proc/net/softnet_stat").write_text(f"{line}\n" * _CPUS)
    return root


if __name__ == "__main__":
    print(costs())
