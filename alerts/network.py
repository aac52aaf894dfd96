# SPDX-License-Identifier: Apache-2.0
"""Alerts about the network: interfaces, RDMA and its congestion, and the switches that nodes hear of.

Ports without a cable are down for ever, so that only those count that were up of late.
"""

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
from agent.metric import Gauge, UpDownCounter
from agent.promql import Expr, Regex, Scope, now
from alerts import thresholds as to
from alerts.alert import NODE, Alert
from alerts.thresholds import Thresholds

_PORT = (*NODE, "hw.id", "hw.name", "rdma.port")
_FULL = Regex("port_buffer|out_of_buffer|congestion|buffer|priority|transmit")
"""Discards for want of room; those of rules and of clouds' limits are wanted by someone."""


def network(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    """List them."""
    return (
        *_interfaces(scope, limits),
        *_congestion(scope, limits),
        *_rdma(scope, limits),
        *_switches(scope, limits),
    )


def _went_down(scope: Scope, limits: Thresholds, up: Gauge[Any] | UpDownCounter[Any]) -> Expr:
    was_up = scope.of(up).over("max", limits.period(to.NETWORK_REMEMBERED)).equals(1)
    return scope.of(up).equals(0) & was_up


def _interfaces(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    return (
        Alert(
            name="NicDown",
            severity="critical",
            expr=_went_down(scope, limits, NETWORK_UP),
            hold="2m",
            keep="5m",
            thresholds=(to.NETWORK_REMEMBERED,),
            meaning="A network interface that was up of late has lost its carrier.",
            summary="Interface {hw.name} of {instance} is down",
            description="Interface {hw.name} ({hw.id}) of {instance} was up and has no carrier now.",
        ),
        Alert(
            name="NicBondDegraded",
            severity="warning",
            expr=scope.of(BOND_MEMBERS, {"state": "down"}) > 0,
            hold="5m",
            keep="5m",
            meaning="Members of a bond are down.",
            summary="Bond {hw.name} of {instance} lost members",
            description="{value} members of bond {hw.name} of {instance} are down: it has less bandwidth, or no spare.",
        ),
        Alert(
            name="NicFlapping",
            severity="warning",
            expr=scope.increase(CARRIER_CHANGES, None, "1h") > limits.limit(to.CARRIER),
            keep="15m",
            thresholds=(to.CARRIER,),
            meaning="An interface got and lost its carrier again and again.",
            summary="Interface {hw.name} of {instance} goes up and down",
            description="The carrier of {hw.name} of {instance} changed {value} times within an hour.",
        ),
        Alert(
            name="NicErrors",
            severity="warning",
            expr=scope.rate(NIC_ERRORS, None, "15m") > limits.limit(to.NIC_ERROR_RATE),
            hold="15m",
            keep="15m",
            thresholds=(to.NIC_ERROR_RATE,),
            meaning="An interface has errors.",
            summary="Interface {hw.name} of {instance} has errors",
            description="Interface {hw.name} of {instance} has {value} errors a second ({network.io.direction}).",
        ),
    )


def _congestion(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    marked = scope.rate(RDMA_ECN_MARKED, None, "10m").sum(*_PORT)
    received = scope.rate(RDMA_PACKETS, {"network.io.direction": "receive"}, "10m").sum(*_PORT)
    return (
        Alert(
            name="NicDiscarding",
            severity="warning",
            expr=scope.rate(NIC_DISCARDS, {"reason": _FULL}, "10m") > limits.limit(to.DISCARD_RATE),
            hold="10m",
            keep="10m",
            thresholds=(to.DISCARD_RATE,),
            meaning="An interface discards packets for want of room.",
            summary="Interface {hw.name} of {instance} discards packets: {reason}",
            description="Interface {hw.name} of {instance} discards {value} packets a second "
            "({network.io.direction}): {reason}.",
        ),
        Alert(
            name="NicPaused",
            severity="warning",
            expr=scope.rate(PAUSE_DURATION, {"network.io.direction": "receive"}, "10m") > limits.limit(to.PAUSED_SHARE),
            hold="10m",
            keep="10m",
            thresholds=(to.PAUSED_SHARE,),
            meaning="The network keeps an interface from sending by pause frames (PFC) for a share of the time.",
            summary="Interface {hw.name} of {instance} is paused by the network",
            description="For {value:percent} of the time pause frames keep {hw.name} of {instance} from sending.",
        ),
        Alert(
            name="NicPauseStorm",
            severity="critical",
            expr=scope.increase(PAUSE_STORMS, None, limits.period(to.STORM_RECENT)) > 0,
            keep="15m",
            thresholds=(to.STORM_RECENT,),
            meaning="An interface paused its switch for too long: its host takes nothing in.",
            summary="{hw.name} of {instance} pauses the network ({severity})",
            description="{value} times of late {hw.name} of {instance} paused its switch for too long. Traffic of "
            "others waits behind it.",
        ),
        Alert(
            name="RdmaCongestion",
            severity="warning",
            expr=marked / (received > 0) > limits.limit(to.MARKED_SHARE),
            hold="15m",
            keep="15m",
            thresholds=(to.MARKED_SHARE,),
            meaning="Many RDMA packets meet congestion on their way.",
            summary="RDMA to {hw.name} of {instance} meets congestion",
            description="{value:percent} of the packets that {hw.name} port {rdma.port} of {instance} receives were "
            "marked on their way.",
        ),
    )


def _rdma(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    unstable = limits.limit(to.LINK_DOWNS)
    downs, recoveries = (scope.increase(one, None, "1h") > unstable for one in (RDMA_LINK_DOWNS, RDMA_LINK_RECOVERIES))
    return (
        Alert(
            name="RdmaDown",
            severity="critical",
            expr=_went_down(scope, limits, RDMA_UP),
            hold="2m",
            keep="5m",
            thresholds=(to.NETWORK_REMEMBERED,),
            meaning="An RDMA port that was active of late is not.",
            summary="RDMA port {hw.name}/{rdma.port} of {instance} is down",
            description="Port {rdma.port} of {hw.name} ({hw.id}) of {instance} was active and is not now. Collectives "
            "and transfers of KV cache between nodes fail.",
        ),
        Alert(
            name="RdmaRetransmits",
            severity="warning",
            expr=scope.rate(RDMA_RETRANSMITS, None, "10m") > limits.limit(to.RETRANSMIT_RATE),
            hold="10m",
            keep="10m",
            thresholds=(to.RETRANSMIT_RATE,),
            meaning="RDMA loses packets and sends them again.",
            summary="RDMA of {hw.name} of {instance} loses packets: {reason}",
            description="{hw.name} port {rdma.port} of {instance} counts {value} signs of loss a second: {reason}.",
        ),
        Alert(
            name="RdmaLinkUnstable",
            severity="warning",
            expr=downs | recoveries,
            keep="15m",
            thresholds=(to.LINK_DOWNS,),
            meaning="The link of an RDMA port goes down or recovers again and again.",
            summary="The link of {hw.name}/{rdma.port} of {instance} is unstable",
            description="The link of {hw.name} port {rdma.port} of {instance} went down or recovered {value} times "
            "within an hour.",
        ),
    )


def _switches(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    # Several nodes may hear of the same switch.
    heard = scope.of(LAST_SEEN).max("cluster", "switch")
    return (
        Alert(
            name="SwitchSilent",
            severity="warning",
            expr=now() - heard > limits.limit(to.SWITCH_SILENCE),
            hold="5m",
            thresholds=(to.SWITCH_SILENCE,),
            meaning="A switch that told of itself has fallen silent.",
            summary="Switch {switch} is silent",
            description="Switch {switch} was last heard of {value:duration} ago.",
        ),
        Alert(
            name="SwitchPageDown",
            severity="warning",
            expr=scope.of(PAGE_UP).equals(0),
            hold="10m",
            keep="5m",
            meaning="A page that tells of switches does not answer.",
            summary="Page {page} of switches does not answer {instance}",
            description="joulespan on {instance} cannot read page {page}; nothing is known of its switches.",
        ),
        Alert(
            name="SwitchPortDown",
            severity="warning",
            expr=_went_down(scope, limits, PORT_UP).max("cluster", "switch", "switch.port"),
            hold="5m",
            keep="5m",
            thresholds=(to.NETWORK_REMEMBERED,),
            meaning="A port of a switch that was up of late is down.",
            summary="Port {switch.port} of switch {switch} is down",
            description="Port {switch.port} of switch {switch} was up and is down now.",
        ),
        Alert(
            name="SwitchPortDiscarding",
            severity="warning",
            expr=scope.rate(PORT_DISCARDS, None, "10m").max("cluster", "switch", "switch.port", "network.io.direction")
            > limits.limit(to.DISCARD_RATE),
            hold="10m",
            keep="10m",
            thresholds=(to.DISCARD_RATE,),
            meaning="A port of a switch drops packets that have no error: its buffers are full.",
            summary="Port {switch.port} of switch {switch} drops packets",
            description="Port {switch.port} of switch {switch} drops {value} packets a second "
            "({network.io.direction}).",
        ),
        Alert(
            name="SwitchPartFailed",
            severity="warning",
            expr=scope.of(PART_STATE, {"hw.state": "failed"})
            .equals(1)
            .max("cluster", "switch", "switch.part.kind", "switch.part"),
            hold="5m",
            keep="5m",
            meaning="A fan, power supply or sensor of a switch has failed.",
            summary="{switch.part} of switch {switch} has failed",
            description="Switch {switch} says that its {switch.part.kind} {switch.part} has failed.",
        ),
    )
