# SPDX-License-Identifier: Apache-2.0
"""The kernel's ethtool call, made of the interfaces that this machine has."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.errors import NotSupported, Unavailable
from agent.system.ethtool import KernelEthtool
from agent.system.netdevs import SysNetDevices

WITHOUT_RIGHTS = """
import json, os, sys
from agent.system.ethtool import KernelEthtool
os.setgroups([]), os.setgid(65534), os.setuid(65534)
ethtool = KernelEthtool()
names = ethtool.names(sys.argv[1])
print(json.dumps([names, list(ethtool.values(sys.argv[1], len(names))), ethtool.driver(sys.argv[1]).name]))
"""


@pytest.fixture
def interface() -> Iterator[str]:
    """Give an interface whose driver has statistics."""
    ethtool = KernelEthtool()
    for one in SysNetDevices().scan():
        try:
            if ethtool.names(one.name):
                yield one.name
                return
        except NotSupported:
            continue
    pytest.skip("no interface of this machine has statistics of its driver")


def test_a_driver_has_as_many_statistics_as_names(interface: str) -> None:
    ethtool = KernelEthtool()
    names = ethtool.names(interface)
    assert len(set(names)) == len(names)
    assert all(names)
    assert len(ethtool.values(interface, len(names))) == len(names)


def test_another_number_of_statistics_than_there_are_is_refused(interface: str) -> None:
    ethtool = KernelEthtool()
    count = len(ethtool.names(interface))
    for wrong in (count - 1, count + 1):
        with pytest.raises(Unavailable):
            ethtool.values(interface, wrong)


def test_loopback_has_no_statistics() -> None:
    with pytest.raises(NotSupported):
        KernelEthtool().names("lo")


@pytest.mark.parametrize("name", ["nosuch0", "a" * 16, "ä" * 8, ""])
def test_an_interface_that_is_not_there_is_not_supported(name: str) -> None:
    ethtool = KernelEthtool()
    for call in (ethtool.names, ethtool.driver):
        with pytest.raises(NotSupported):
            call(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_no_right_is_needed(interface: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHTS, interface],
        check=True,
        capture_output=True,
        text=True,
    )
    names, values, driver = json.loads(done.stdout)
    assert len(values) == len(names) > 0
    assert driver
