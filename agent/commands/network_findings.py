# SPDX-License-Identifier: Apache-2.0
"""What `joulespan doctor` finds out about the network: which NICs and RDMA ports are seen, and why one may not be."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from agent.collectors.nic_choice import choose
from agent.config import NicCollector
from agent.errors import JoulespanError, NoPermission
from agent.system.ethtool import Ethtool, KernelEthtool
from agent.system.netdevs import Interface, SysNetDevices
from agent.system.rdma import Port, SysRdmaPorts

ROOT = Path("/")
_SHOWN = 4
_HARDWARE = {"physical", "virtual_function", "sub_function"}


class Found(NamedTuple):
    """See doctor.Finding."""

    level: Literal["ok", "hint", "broken"]
    what: str
    advice: str = ""


def network_findings(root: Path = ROOT, ethtool: Ethtool | None = None) -> Iterator[Found]:
    """Say what of the network is seen from here, with the default settings."""
    try:
        found = SysNetDevices(root).scan()
    except JoulespanError as error:
        yield Found("hint", f"network: {error}", "mount /sys of the host")
        return
    chosen = choose(found, NicCollector())
    rest = ", ".join(f"{number} {kind}" for kind, number in sorted(chosen.left_out.items())) or "none"
    kinds = Counter(nic.kind for nic in chosen.nics)
    read = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())) or "none"
    yield Found("ok", f"network: interfaces read: {read}; left out: {rest}")
    if not any(nic.kind in _HARDWARE for nic in found):
        advice = "in a container run it in the host's network (hostNetwork: true); elsewhere name what counts in "
        yield Found("hint", "network: no interface here has hardware behind it", f"{advice}collectors.nic.include")
    yield from _rdma(found, _ports(root))
    yield from _drivers(chosen.nics, ethtool or KernelEthtool())


def _ports(root: Path) -> Sequence[Port]:
    try:
        return SysRdmaPorts(root).scan()
    except JoulespanError:
        return ()


def _rdma(found: Sequence[Interface], ports: Sequence[Port]) -> Iterator[Found]:
    if ports:
        virtual = sum(port.virtual for port in ports)
        yield Found("ok", f"network: RDMA ports read: {len(ports) - virtual}; left out: {virtual} of virtual functions")
    unseen = sorted({nic.rdma for nic in found if nic.rdma} - {port.device for port in ports})
    if unseen:
        advice = "they are in another network namespace: `rdma system` says exclusive"
        yield Found("hint", f"network: RDMA devices that cannot be seen: {', '.join(unseen)}", advice)


def _drivers(nics: Sequence[Interface], ethtool: Ethtool) -> Iterator[Found]:
    refused = []
    for nic in nics:
        try:
            ethtool.driver(nic.name)
        except NoPermission:
            refused.append(nic.name)
        except JoulespanError:
            continue
    if refused:
        advice = "the ethtool call needs no right; a seccomp filter forbids it: allow ioctl on sockets"
        yield Found("hint", f"network: drivers of {', '.join(refused[:_SHOWN])} may not be asked", advice)
