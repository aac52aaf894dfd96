# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in the files of network interfaces and RDMA ports, what can be read is read, and told once."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from agent.clock import NS, FakeClock
from agent.collectors.ethtool_names import places
from agent.collectors.node.affinity import Affinity
from agent.collectors.node.ethtool import EthtoolReader
from agent.collectors.node.nic import NicReader
from agent.collectors.node.rdma import RdmaReader
from agent.errors import NotSupported, Unavailable
from agent.metric import Sample
from agent.network_entities import Nic
from agent.system.net_dev import parse
from agent.system.netdevs import SysNetDevices
from agent.system.pci import SysBus, components, normal
from agent.system.rdma import SysRdmaPorts, parse_rate, parse_state
from tests.collectors.test_node_network import gpus
from tests.nodes import FAST, Failures, TreeEthtool, node, plant

_TREES = ("dgx-infiniband", "plain-vm")
_TOKENS = (b"", b"-1", b"0", b"9" * 30, b"9" * 5000, b"1e999", b"nan", b"\x00", b"\xff", b"\n", b" ", b":", b"/", b"..",
           b"4: ", b" Gb/sec", b"0000:00:00.0", b"DEVTYPE=vlan", b"pf0vf0", b"18446744073709551616")  # fmt: skip
_FOLDER, _GONE, _LOOP = "folder", "gone", "loop"


class Plugging:
    """Damages files of a tree, has all readers read it, and mends it."""

    def __init__(self, random: Random) -> None:
        """Plant the trees."""
        self._random = random
        self._folder = TemporaryDirectory(dir=FAST)
        self._roots = {name: plant(name, Path(self._folder.name) / name) for name in _TREES}
        self._gpus = {root: gpus(root) for root in self._roots.values()}
        # What drivers answer is no file of the kernel's.
        self._files = {
            name: sorted(
                str(path.relative_to(root))
                for path in root.rglob("*")
                if (path.is_symlink() or path.is_file()) and path.relative_to(root).parts[0] != "ethtool"
            )
            for name, root in self._roots.items()
        }

    def close(self) -> None:
        """Remove the trees."""
        self._folder.cleanup()

    def case(self) -> dict[str, Any]:
        """Make a case: a tree, and what stands in some of its files, or in place of them."""
        tree = self._random.choice(_TREES)
        files = self._random.sample(self._files[tree], self._random.randrange(1, 8))
        return {"tree": tree, "damage": {file: self._damage(self._roots[tree] / file) for file in files}}

    def run(self, case: Mapping[str, Any]) -> None:
        """Read the tree."""
        root = self._roots[case["tree"]]
        kept = {file: _state(root / file) for file in case["damage"]}
        for file, damage in case["damage"].items():
            _replace(root / file, damage)
        try:
            self._read(root)
        finally:
            for file, state in kept.items():
                _replace(root / file, state)

    def settle(self) -> None:
        """See that an undamaged tree is read without a failure."""
        for root in self._roots.values():
            assert not self._read(root)

    def _read(self, root: Path) -> Failures:
        clock, failures = FakeClock(), Failures()
        seen = self._gpus[root]
        about = node(root, failures, clock, lambda: seen, include=("*",))
        devices = SysNetDevices(root)
        readers = (
            NicReader(about, devices, TreeEthtool(root)).read,
            EthtoolReader(about, devices, TreeEthtool(root)).read,
            RdmaReader(about, SysRdmaPorts(root)).read,
            Affinity(about, devices, SysRdmaPorts(root), SysBus(root)).read,
        )
        for _ in range(2):
            for read in readers:
                found: list[Sample] = []
                with suppress(NotSupported, Unavailable):
                    found += read()
                assert len({one.series for one in found}) == len(found)
                assert all(isfinite(float(one.value)) for one in found)
            clock.now += 20 * NS
        return failures

    def _damage(self, path: Path) -> str:
        random = self._random
        what = random.random()
        if what < 0.2:
            return random.choice((_FOLDER, _GONE, _LOOP))
        before = path.read_bytes() if path.is_file() else b""
        begin = random.randrange(len(before) + 1)
        end = min(len(before), begin + random.choice((0, 1, 8, 200)))
        noise = random.choice((random.randbytes(random.randrange(12)), random.choice(_TOKENS), before[begin:end] * 3))
        body = noise if what < 0.5 else before[:begin] + noise + before[end:]
        _alone(body)
        return f"text {body.hex()}"


def _alone(body: bytes) -> None:
    """Give it to the parsers themselves."""
    assert all(min(one) >= 0 for one in parse(b"\n\n" + body).values())
    text = body.decode("utf-8", "replace")
    assert parse_state(text) != ""
    with suppress(NotSupported, Unavailable):
        assert 0 < parse_rate(text) < 1 << 70
    normal(text)
    components(Path(text.replace("\0", "")))
    assert len(places(Nic("a", "a"), text.split())) <= len(text.split())


def _state(path: Path) -> str:
    if path.is_symlink():
        return f"link {path.readlink()}"
    return f"text {path.read_bytes().hex()}"


def _replace(path: Path, state: str) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    kind, _, rest = state.partition(" ")
    if kind == "link":
        path.symlink_to(rest)
    elif kind == _LOOP:
        path.symlink_to(path.name)
    elif kind == _FOLDER:
        path.mkdir()
    elif kind == "text":
        path.write_bytes(bytes.fromhex(rest))
