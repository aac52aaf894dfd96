# SPDX-License-Identifier: Apache-2.0
"""When alerts about the network fire, and when they must not."""

from typing import Any

from agent.catalogue.nic import (
    BOND_MEMBERS,
    CARRIER_CHANGES,
    NETWORK_UP,
    NIC_DISCARDS,
    NIC_ERRORS,
    PAUSE_DURATION,
    PAUSE_STORMS,
)
from agent.catalogue.rdma import (
    RDMA_ECN_MARKED,
    RDMA_LINK_DOWNS,
    RDMA_LINK_RECOVERIES,
    RDMA_PACKETS,
    RDMA_RETRANSMITS,
    RDMA_UP,
)
from agent.catalogue.switch import LAST_SEEN, PAGE_UP, PART_STATE, PORT_DISCARDS, PORT_UP
from agent.metric import Metric
from tests.alerts.cases import Case, Input, Told, fires, silent, stored

RECEIVE, TRANSMIT = {"network.io.direction": "receive"}, {"network.io.direction": "transmit"}
NIC = {"hw.id": "0000:3b:00.0", "hw.name": "eth0", "hw.type": "network"}
PORT: Told = {"hw.id": "0000:3b:00.0", "hw.name": "mlx5_0", "hw.type": "network", "rdma.port": 1}
FIRST = {"instance": "n1"}
LEAF = {"switch": "leaf1"}
ETHERNET = {**LEAF, "switch.port": "swp1"}


def of_nic(metric: Metric[Any], values: str, told: Told | None = None, node: str = "n1") -> Input:
    return stored(metric, values, {**NIC, **(told or {})}, node=node)


def of_port(metric: Metric[Any], values: str, told: Told | None = None, node: str = "n1") -> Input:
    return stored(metric, values, {**PORT, **(told or {})}, node=node)


INTERFACES: tuple[Case, ...] = (
    fires(
        "NicDown",
        "one node of two loses it",
        "10m",
        of_nic(NETWORK_UP, "1x4 0x20"),
        of_nic(NETWORK_UP, "1x24", node="n2"),
        who=[FIRST],
    ),
    silent("NicDown", "a port without a cable", "10m", of_nic(NETWORK_UP, "0x24")),
    silent("NicDown", "it is up", "10m", of_nic(NETWORK_UP, "1x24")),
    fires("NicBondDegraded", "one member of two", "10m", of_nic(BOND_MEMBERS, "1x20", {"state": "down"}), who=[FIRST]),
    silent("NicBondDegraded", "all members are up", "10m", of_nic(BOND_MEMBERS, "0x20", {"state": "down"})),
    fires("NicFlapping", "three times down and up", "30m", of_nic(CARRIER_CHANGES, "2x9 4 6 8x60"), who=[FIRST]),
    silent("NicFlapping", "once down and up", "30m", of_nic(CARRIER_CHANGES, "2x9 4x60")),
    silent("NicFlapping", "the node was restarted", "30m", of_nic(CARRIER_CHANGES, "90x9 2x60")),
    fires(
        "NicErrors",
        "one a second",
        "45m",
        of_nic(NIC_ERRORS, "0+60x60", {**RECEIVE, "error.type": "interface"}),
        who=[FIRST],
    ),
    silent(
        "NicErrors", "one in an hour", "45m", of_nic(NIC_ERRORS, "0x20 1x60", {**RECEIVE, "error.type": "interface"})
    ),
)
CONGESTION: tuple[Case, ...] = (
    fires(
        "NicDiscarding",
        "its buffers are full",
        "30m",
        of_nic(NIC_DISCARDS, "0+600x60", {**RECEIVE, "reason": "out_of_buffer"}),
        who=[{"reason": "out_of_buffer"}],
    ),
    silent(
        "NicDiscarding", "rules discard", "30m", of_nic(NIC_DISCARDS, "0+600x60", {**RECEIVE, "reason": "steering"})
    ),
    silent("NicDiscarding", "none", "30m", of_nic(NIC_DISCARDS, "7x60", {**RECEIVE, "reason": "out_of_buffer"})),
    fires(
        "NicPaused",
        "a third of the time",
        "30m",
        of_nic(PAUSE_DURATION, "0+20x60", {**RECEIVE, "priority": 3}),
        who=[FIRST],
    ),
    silent("NicPaused", "it pauses others", "30m", of_nic(PAUSE_DURATION, "0+20x60", {**TRANSMIT, "priority": 3})),
    silent("NicPaused", "a second in a minute", "30m", of_nic(PAUSE_DURATION, "0+1x60", {**RECEIVE, "priority": 3})),
    fires(
        "NicPauseStorm", "the first one", "12m", of_nic(PAUSE_STORMS, "0x9 1x60", {"severity": "error"}), who=[FIRST]
    ),
    silent(
        "NicPauseStorm", "one before the agent came", "12m", of_nic(PAUSE_STORMS, "_x9 5x60", {"severity": "error"})
    ),
    silent("NicPauseStorm", "one long ago", "60m", of_nic(PAUSE_STORMS, "0x9 1x90", {"severity": "error"})),
    fires(
        "RdmaCongestion",
        "a tenth of the packets",
        "45m",
        of_port(RDMA_ECN_MARKED, "0+100x60"),
        of_port(RDMA_PACKETS, "0+1000x60", RECEIVE),
        who=[FIRST],
    ),
    silent(
        "RdmaCongestion",
        "one in a thousand",
        "45m",
        of_port(RDMA_ECN_MARKED, "0+1x60"),
        of_port(RDMA_PACKETS, "0+1000x60", RECEIVE),
    ),
    silent(
        "RdmaCongestion",
        "there is no traffic",
        "45m",
        of_port(RDMA_ECN_MARKED, "9x60"),
        of_port(RDMA_PACKETS, "9x60", RECEIVE),
    ),
)
RDMA: tuple[Case, ...] = (
    fires(
        "RdmaDown",
        "one node of two",
        "10m",
        of_port(RDMA_UP, "1x4 0x20"),
        of_port(RDMA_UP, "1x24", node="n2"),
        who=[FIRST],
    ),
    silent("RdmaDown", "a port that was never used", "10m", of_port(RDMA_UP, "0x24")),
    fires(
        "RdmaRetransmits",
        "two a second",
        "30m",
        of_port(RDMA_RETRANSMITS, "0+120x60", {"reason": "packet_sequence"}),
        who=[FIRST],
    ),
    silent(
        "RdmaRetransmits", "one in a minute", "30m", of_port(RDMA_RETRANSMITS, "0+1x60", {"reason": "packet_sequence"})
    ),
    silent(
        "RdmaRetransmits",
        "the device was reset",
        "30m",
        of_port(RDMA_RETRANSMITS, "9999x20 0x60", {"reason": "timeout"}),
    ),
    fires(
        "RdmaLinkUnstable", "it goes down five times", "30m", of_port(RDMA_LINK_DOWNS, "0x9 1 2 3 4 5x60"), who=[FIRST]
    ),
    fires(
        "RdmaLinkUnstable",
        "it recovers five times",
        "30m",
        of_port(RDMA_LINK_RECOVERIES, "0x9 1 2 3 4 5x60"),
        who=[FIRST],
    ),
    silent(
        "RdmaLinkUnstable",
        "it goes down once",
        "30m",
        of_port(RDMA_LINK_DOWNS, "0x9 1x60"),
        of_port(RDMA_LINK_RECOVERIES, "0x60"),
    ),
)
SWITCHES: tuple[Case, ...] = (
    fires(
        "SwitchSilent",
        "one of two, which two nodes hear of",
        "20m",
        *(stored(LAST_SEEN, "0 60x30", LEAF, node=node) for node in ("n1", "n2")),
        stored(LAST_SEEN, "0+60x30", {"switch": "leaf2"}),
        who=[LEAF],
    ),
    silent(
        "SwitchSilent",
        "one node of two hears of it",
        "20m",
        stored(LAST_SEEN, "0 60x30", LEAF),
        stored(LAST_SEEN, "0+60x30", LEAF, node="n2"),
    ),
    fires("SwitchPageDown", "it does not answer", "20m", stored(PAGE_UP, "0x30", {"page": "ufm"}), who=[FIRST]),
    silent("SwitchPageDown", "it answers", "20m", stored(PAGE_UP, "1x30", {"page": "ufm"})),
    fires("SwitchPortDown", "a port goes down", "20m", stored(PORT_UP, "1x4 0x30", ETHERNET), who=[ETHERNET]),
    silent("SwitchPortDown", "a port is not used", "20m", stored(PORT_UP, "0x30", ETHERNET)),
    fires(
        "SwitchPortDiscarding",
        "ten a second",
        "30m",
        stored(PORT_DISCARDS, "0+600x60", {**ETHERNET, **TRANSMIT}),
        who=[ETHERNET],
    ),
    silent("SwitchPortDiscarding", "none", "30m", stored(PORT_DISCARDS, "7x60", {**ETHERNET, **TRANSMIT})),
    fires(
        "SwitchPartFailed",
        "a fan of many",
        "10m",
        stored(PART_STATE, "1x20", {**LEAF, "switch.part.kind": "fan", "switch.part": "fan1", "hw.state": "failed"}),
        stored(PART_STATE, "1x20", {**LEAF, "switch.part.kind": "fan", "switch.part": "fan2", "hw.state": "ok"}),
        who=[{"switch.part": "fan1"}],
    ),
    silent(
        "SwitchPartFailed",
        "all are fine",
        "10m",
        stored(PART_STATE, "1x20", {**LEAF, "switch.part.kind": "fan", "switch.part": "fan1", "hw.state": "ok"}),
    ),
)
CASES = (*INTERFACES, *CONGESTION, *RDMA, *SWITCHES)
