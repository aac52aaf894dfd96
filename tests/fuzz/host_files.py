# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in a file of the kernel's, its parser reads it or says that it cannot, and gives no odd numbers."""

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any

from agent.errors import Unavailable
from agent.system import (
    cgroup_stat,
    cpu_times,
    disks,
    kernel_files,
    mounts,
    numa,
    power_meters,
    pressure,
    process_stat,
    tcp_stat,
)

_TREES = Path(__file__).parents[1] / "fixtures"
_TOKENS = (b"", b"-1", b"9" * 30, b"9" * 5000, b"1e999", b"nan", b"\x00", b"\xff", b"\n", b" ", b":", b"=", b")", b"kB",
           b"total=", b" - ", b"\\040", b"\\777", b"0x", b"Socket 99999", b"..")  # fmt: skip
_LONGEST = 64 << 10


def _label(text: bytes) -> object:
    return power_meters.parse_label(text.decode("utf-8", "replace"))


_PARSERS: Mapping[str, tuple[str, Callable[[bytes], object]]] = {
    "stat": ("proc-host-vm/proc/stat", lambda text: cpu_times.parse_stat(text, each=True)),
    "load": ("proc-host-hgx/proc/loadavg", cpu_times.parse_load),
    "uptime": ("proc-host-hgx/proc/uptime", cpu_times.parse_uptime),
    "pressure": ("proc-host-hgx/proc/pressure/io", pressure.parse_pressure),
    "meminfo": ("proc-host-hgx/proc/meminfo", kernel_files.named_numbers),
    "vmstat": ("proc-host-hgx/proc/vmstat", kernel_files.named_numbers),
    "disks": ("proc-host-hgx/proc/diskstats", lambda text: list(disks.parse_disks(text))),
    "mounts": ("proc-host-hgx/proc/self/mountinfo", lambda text: mounts.chosen(mounts.parse_mounts(text))),
    "numa": ("proc-host-hgx/sys/devices/system/node/node0/meminfo", lambda text: numa.parse_meminfo(text, "x")),
    "netstat": ("proc-host-hgx/proc/net/netstat", tcp_stat.parse_pairs),
    "snmp6": ("proc-host-hgx/proc/net/snmp6", tcp_stat.parse_six),
    "sockstat": ("proc-host-hgx/proc/net/sockstat", tcp_stat.parse_sockets),
    "softnet": ("proc-host-hgx/proc/net/softnet_stat", tcp_stat.parse_softnet),
    "process": ("proc-host-cgroup2/proc/101/stat", process_stat.parse_use),
    "switches": ("proc-host-cgroup2/proc/101/status", process_stat.parse_switches),
    "io": ("proc-host-cgroup2/proc/101/io", process_stat.parse_io),
    "cgroup": ("proc-host-cgroup1/proc/101/cgroup", lambda text: cgroup_stat.parse_groups(text, "/sys/fs/cgroup")),
    "label": ("sys-power-gb200/sys/devices/LNXSYSTM:00/ACPI000D:01/power1_oem_info", _label),
}


class Tabulating:
    """Damages files, and gives them to their parsers."""

    def __init__(self, random: Random) -> None:
        """Begin with the files of the fixtures."""
        self._random = random
        self._corpus = {name: (_TREES / path).read_bytes() for name, (path, _) in _PARSERS.items()}
        self.read = 0
        self.refused = 0

    def case(self) -> dict[str, Any]:
        """Make a case: a file's content, and whose it is."""
        name = self._random.choice(tuple(_PARSERS))
        text = bytearray(self._corpus[self._random.choice((name, name, name, *_PARSERS))])
        for _ in range(self._random.randrange(1, 8)):
            start = self._random.randrange(len(text) + 1)
            text[start : start + self._random.choice((0, 1, 1, 2, 8, 60))] = self._random.choice(_TOKENS)
        return {"parser": name, "text": bytes(text[:_LONGEST]).hex()}

    def run(self, case: Mapping[str, Any]) -> None:
        """Parse it."""
        try:
            found = _PARSERS[case["parser"]][1](bytes.fromhex(case["text"]))
        except Unavailable:
            self.refused += 1
            return
        self.read += 1
        for number in _numbers(found):
            assert isfinite(number), number

    def settle(self) -> None:
        """There is nothing to see."""


def _numbers(found: object) -> Iterable[float]:
    if isinstance(found, Mapping):
        for value in found.values():
            yield from _numbers(value)
    elif isinstance(found, list | tuple):
        for value in found:
            yield from _numbers(value)
    elif isinstance(found, int | float):
        yield float(found)
