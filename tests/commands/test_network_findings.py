# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of the network, from trees of nodes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.commands.network_findings import network_findings
from agent.errors import NoPermission
from agent.system.ethtool import Driver
from tests.nodes import FAST, TreeEthtool, plant


class Forbidden(TreeEthtool):
    """A kernel that does not let its drivers be asked."""

    def driver(self, interface: str) -> Driver:
        raise NoPermission(interface)


@pytest.fixture
def hgx() -> Iterator[Path]:
    with TemporaryDirectory(dir=FAST) as folder:
        yield plant("hgx-h100", Path(folder))


def said(root: Path) -> list[tuple[str, str]]:
    return [(one.level, one.what) for one in network_findings(root, TreeEthtool(root))]


def test_what_is_read_and_what_is_left_out_is_counted(hgx: Path) -> None:
    read = "1 bond, 10 physical, 1 vlan"
    left_out = "1 bridge, 1 loopback, 1 representor, 2 virtual, 1 virtual_function"
    assert said(hgx) == [
        ("ok", f"network: interfaces read: {read}; left out: {left_out}"),
        ("ok", "network: RDMA ports read: 8; left out: 1 of virtual functions"),
    ]


def test_a_network_without_hardware_is_a_containers(hgx: Path) -> None:
    for link in (hgx / "sys/class/net").iterdir():
        if link.name not in ("lo", "veth0a1b2c3"):
            link.unlink()
    shutil.rmtree(hgx / "sys/class/infiniband")
    found = list(network_findings(hgx, TreeEthtool(hgx)))
    assert [one.what for one in found if one.level == "hint"] == ["network: no interface here has hardware behind it"]
    assert "hostNetwork: true" in found[1].advice


def test_rdma_devices_of_another_namespace_are_missed(hgx: Path) -> None:
    (hgx / "sys/class/infiniband/mlx5_3").unlink()
    assert ("hint", "network: RDMA devices that cannot be seen: mlx5_3") in said(hgx)


def test_a_filter_that_forbids_the_call_is_told(hgx: Path) -> None:
    found = list(network_findings(hgx, Forbidden(hgx)))
    assert "seccomp" in found[-1].advice
    assert found[-1].level == "hint"


def test_without_sysfs_it_says_so(tmp_path: Path) -> None:
    ((level, what),) = said(tmp_path)
    assert level == "hint"
    assert "sys/class/net" in what
