# SPDX-License-Identifier: Apache-2.0
"""Interfaces of the node and ports of switches are joined by LLDP, whoever's it is."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.catalogue.nic import NIC_INFO
from agent.catalogue.switch import LINK
from agent.clock import FakeClock
from agent.collectors.node import Node
from agent.collectors.node.lldp import SwitchLinks
from agent.config import LldpCollector
from agent.errors import NotSupported, Unavailable
from agent.metric import Sample
from agent.network_entities import Nic, NicInfo
from agent.snapshot import Source
from agent.switch_entities import SwitchLink
from agent.system.lldp import LldpNeighbour, neighbours, parse
from tests.switches.told import FIXTURES, Hearing, export

RAIL0, RAIL1 = Nic("0000:18:00.0", "eth_rail0"), Nic("0000:2a:00.0", "eth_rail1")
ANSWER = (FIXTURES / "lldpcli.json").read_bytes()
NICS = (
    NicInfo(RAIL0, "physical", address="b8:3f:d2:00:00:10"),
    NicInfo(RAIL1, "physical", address="b8:3f:d2:00:00:11"),
)


def nobody(_: Sequence[str]) -> list[LldpNeighbour]:
    raise NotSupported("lldpcli: no such command")


def host(_: Sequence[str]) -> list[LldpNeighbour]:
    return parse(ANSWER)


def node(hearing: Hearing, nics: Sequence[NicInfo] = NICS) -> tuple[Node, list[Exception]]:
    failures: list[Exception] = []
    hearing.snapshots.put_samples(Source("nic"), [NIC_INFO(one, 1) for one in nics], 0)
    return Node(LldpCollector(), FakeClock(), lambda: hearing.snapshots.current, failures.append), failures


def links(samples: Sequence[Sample]) -> list[SwitchLink]:
    assert all(one.series.metric is LINK and one.value == 1 for one in samples)
    return [one.series.entity for one in samples if isinstance(one.series.entity, SwitchLink)]


def test_what_the_switch_hears_names_the_interface_or_its_address() -> None:
    told, failures = node(Hearing().hear(export("spectrum.json")))
    found = links([*SwitchLinks(told, ("lldpcli",), ("node-a",), nobody).read()])
    assert found == [
        SwitchLink(RAIL0, "leaf-01", "swp1s0", "switch"),
        SwitchLink(RAIL1, "leaf-01", "swp1s1", "switch"),
    ]
    assert failures == []


def test_a_name_that_every_host_has_is_not_this_hosts() -> None:
    told, _ = node(Hearing().hear(export("spectrum.json")))
    found = links([*SwitchLinks(told, ("lldpcli",), ("node-b",), nobody).read()])
    assert found == [SwitchLink(RAIL1, "leaf-01", "swp1s1", "switch")]


def test_an_address_that_several_interfaces_have_names_none() -> None:
    bond = NicInfo(Nic("bond0", "bond0"), "bond", address="b8:3f:d2:00:00:11")
    told, _ = node(Hearing().hear(export("spectrum.json")), (*NICS, bond))
    assert links([*SwitchLinks(told, ("lldpcli",), ("node-b",), nobody).read()]) == []


def test_what_the_host_hears_counts_where_no_switch_tells() -> None:
    told, _ = node(Hearing())
    found = links([*SwitchLinks(told, ("lldpcli",), ("node-a",), host).read()])
    assert found == [SwitchLink(RAIL0, "leaf-01", "swp1s0", "host")]
    both, _ = node(Hearing().hear(export("spectrum.json")))
    found = links([*SwitchLinks(both, ("lldpcli",), ("node-a",), host).read()])
    assert [one.source for one in found] == ["switch", "switch"]


def test_a_daemon_that_does_not_answer_is_told_and_costs_only_what_it_would_say() -> None:
    told, failures = node(Hearing().hear(export("spectrum.json")))

    def silent(_: Sequence[str]) -> list[LldpNeighbour]:
        raise Unavailable("lldpcli: no answer")

    collector = SwitchLinks(told, ("lldpcli",), ("node-a",), silent)
    assert len([*collector.read(), *collector.read()]) == 2 * 2
    assert len(failures) == 1
    assert isinstance(told.clock, FakeClock)
    told.clock.advance(30)
    assert len([*collector.read()]) == 2
    assert len(failures) == 2


def test_a_host_without_a_daemon_is_asked_once() -> None:
    told, failures = node(Hearing())
    asked: list[Sequence[str]] = []

    def missing(command: Sequence[str]) -> list[LldpNeighbour]:
        asked.append(command)
        raise NotSupported("lldpcli: no such command")

    collector = SwitchLinks(told, ("lldpcli",), ("node-a",), missing)
    assert [*collector.read()] == []
    assert isinstance(told.clock, FakeClock)
    told.clock.advance(60)
    assert [*collector.read()] == []
    assert (len(asked), failures) == (1, [])


def test_what_lldpcli_says_is_read() -> None:
    assert parse(ANSWER) == [
        LldpNeighbour("eth_rail0", "leaf-01", "94:6d:ae:ab:00:ea", "swp1s0"),
        LldpNeighbour("eth_mgmt", None, "00:11:22:33:44:55", "17"),
    ]
    assert parse(b'{"lldp":[{"interface":[{"name":"eth0"},{"name":7},4]}]}') == [
        LldpNeighbour("eth0", None, None, None)
    ]
    assert parse(b"{}") == []
    for broken in (b"{", b"", b'"\xff"', b"[" * 100_000):
        with pytest.raises(Unavailable):
            parse(broken)


def test_the_command_is_bounded_and_its_failure_is_told(tmp_path: Path) -> None:
    def program(text: str) -> tuple[str, ...]:
        (tmp_path / "lldpcli.py").write_text(text)
        return (sys.executable, str(tmp_path / "lldpcli.py"))

    found = neighbours(program(f"print(open({str(FIXTURES / 'lldpcli.json')!r}).read())"))
    assert len(found) == 2
    with pytest.raises(Unavailable, match="no answer"):
        neighbours(program("raise SystemExit(1)"))
    with pytest.raises(Unavailable, match="more than"):
        neighbours(program("import sys\nwhile True: sys.stdout.write('x' * 65536)"))
    with pytest.raises(NotSupported):
        neighbours((str(tmp_path / "nothing"),))
