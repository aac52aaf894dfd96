# SPDX-License-Identifier: Apache-2.0
"""What reading many network interfaces costs: 256 real ones of the kernel's in a network namespace, or files like them.

Everything that happens each second happens: the collectors of interfaces and drivers run as often as they do in the
agent, their batches are made, and the text of a scrape is written. The clock is turned on by hand, so that only the
work takes time. Of veth, whose drivers ask no firmware: what a NIC's firmware takes is waiting for the most part, and
is not in this.
"""

import gc
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from agent.clock import FakeClock
from agent.collectors.node import Node, NodeCollector, Read, discover
from agent.config import Collectors, NodeSettings
from agent.snapshot import Snapshots
from agent.timeline import Timeline
from agent.workers import Failed, Job, Workers
from exporters.prometheus import Format, PrometheusWriter

INTERFACES = 256
_SECONDS = 60
_COLLECTORS = ("nic", "ethtool", "rdma", "affinity")
_NAMESPACE = """
mount -t sysfs none /sys
for number in $(seq {pairs}); do echo link add nic$number type veth peer name cin$number; done | ip -batch -
for name in $(ls /sys/class/net); do echo link set $name up; done | ip -batch -
exec {python} -m tests.bench.network
"""
_ROOT = Path(__file__).parents[2]


class Cost(NamedTuple):
    """Share of a core, ms of one run of each collector, series, and whether the interfaces were the kernel's."""

    share: float
    runs: dict[str, float]
    series: int
    real: bool


def measure(interfaces: int = INTERFACES) -> Cost:
    """Measure in a process of its own, in a network namespace of its own where that is permitted."""
    script = _NAMESPACE.format(pairs=interfaces // 2, python=sys.executable)
    command = ["unshare", "--net", "--mount", "sh", "-ec", script]
    if os.geteuid() == 0:
        made = subprocess.run(command, check=False, capture_output=True, text=True, cwd=_ROOT)
        if made.returncode == 0:
            share, runs, series = json.loads(made.stdout)
            return Cost(share, runs, series, real=True)
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        share, runs, series = _cost(_tree(Path(folder), interfaces))
        return Cost(share, runs, series, real=False)


def _tree(root: Path, interfaces: int) -> Path:
    table = ["", ""]
    for number in range(interfaces):
        folder = root / f"sys/devices/virtual/net/nic{number}"
        (folder / "statistics").mkdir(parents=True)
        told = {"operstate": "up", "carrier_changes": 2, "mtu": 1500, "speed": 10000, "address": "02:00:00:00:00:01"}
        for name, text in told.items():
            (folder / name).write_text(f"{text}\n")
        link = root / f"sys/class/net/nic{number}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"../../devices/virtual/net/nic{number}")
        table.append(f"nic{number}: " + " ".join(["1234567890"] * 16))
    (root / "proc/net").mkdir(parents=True)
    (root / "proc/net/dev").write_text("\n".join(table) + "\n")
    return root


def _open(collector: NodeCollector, root: Path, clock: FakeClock, snapshots: Snapshots, failed: Failed) -> Read:
    settings = _settings(collector.name)
    everything = type(settings)(interval=settings.interval, include=("*",), exclude=("lo",))
    return collector.open(Node(everything, clock, lambda: snapshots.current, failed, root=root))


def _settings(name: str) -> NodeSettings:
    settings: NodeSettings = getattr(Collectors(), name)
    return settings


def _cost(root: Path) -> tuple[float, dict[str, float], int]:
    clock, snapshots, timeline, writer = FakeClock(), Snapshots(), Timeline(900, 0.1), PrometheusWriter({})
    jobs = [
        Job(one, _settings(one.name).interval, partial(_open, one, root, clock, snapshots))
        for one in discover()
        if one.name in _COLLECTORS
    ]
    workers = Workers(jobs, snapshots, timeline, clock)
    spent = dict.fromkeys((job.collector.name for job in jobs), 0.0)
    runs = dict.fromkeys(spent, 0)

    def second(number: int) -> None:
        for job in jobs:
            if number % round(job.period) == 0:
                began = time.process_time()
                workers.take(job.collector.name, workers.workers[job.collector.name].run(0))
                spent[job.collector.name] += time.process_time() - began
                runs[job.collector.name] += 1
        clock.advance(1)
        writer.write(snapshots.current, Format.TEXT)

    for number in range(3):
        second(number)
    # As the agent does once it runs.
    gc.freeze()
    gc.set_threshold(10_000)
    spent, runs = dict.fromkeys(spent, 0.0), dict.fromkeys(spent, 0)
    began = time.process_time()
    for number in range(_SECONDS):
        second(number)
    share = (time.process_time() - began) / _SECONDS
    each = {name: 1000 * spent[name] / max(1, runs[name]) for name in spent}
    return share, each, snapshots.current.series_count()


if __name__ == "__main__":
    print(json.dumps(_cost(Path("/"))))
