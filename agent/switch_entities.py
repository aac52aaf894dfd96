# SPDX-License-Identifier: Apache-2.0
"""What the metrics of switches are about: the switches this node hears of, their ports, queues, buffers and parts."""

from typing import Annotated, NamedTuple, TypeAlias

from agent.entity import Attr
from agent.network_entities import Nic

SwitchName: TypeAlias = Annotated[str, Attr("switch", "Name of the switch, or its node GUID where it has no name")]
Port: TypeAlias = Annotated[str, Attr("switch.port", "Port of the switch: interface name, swp1s0, or port number")]
Direction: TypeAlias = Annotated[str, Attr("network.io.direction", "As the switch sees it: transmit, receive")]
TrafficClass: TypeAlias = Annotated[str, Attr("switch.traffic_class", "Egress traffic class, 0 to 15")]
PriorityGroup: TypeAlias = Annotated[str, Attr("switch.priority_group", "Ingress priority group, 0 to 7")]


class Switch(NamedTuple):
    """A switch."""

    switch: SwitchName


class SwitchInfo(NamedTuple):
    """What a switch is, as far as it is told."""

    switch: SwitchName
    kind: Annotated[str, Attr("switch.kind", "spectrum, nvlink, infiniband")]
    source: Annotated[str, Attr("source", "How it is heard of: otlp, or the name of the page in the configuration")]
    description: Annotated[str | None, Attr("switch.description", "What it says of itself over LLDP")] = None
    chassis: Annotated[str | None, Attr("lldp.chassis.id", "Its chassis id in LLDP, mostly a MAC address")] = None
    domain: Annotated[str | None, Attr("nvlink.domain", "Id of the NVLink domain")] = None


class SwitchPort(NamedTuple):
    """A port of a switch."""

    switch: SwitchName
    port: Port


class SwitchPortInfo(NamedTuple):
    """What a port of a switch is, as far as it is told."""

    switch: SwitchName
    port: Port
    guid: Annotated[str | None, Attr("switch.port.guid", "Port GUID")] = None
    type: Annotated[str | None, Attr("switch.port.type", "What a port of the fabric is: GPU, HCA, SWITCH, ROUTER")] = (
        None
    )
    alias: Annotated[str | None, Attr("switch.port.alias", "Description that an operator gave the port")] = None


class SwitchNeighbour(NamedTuple):
    """What is at the other end of a port, as LLDP tells the switch."""

    switch: SwitchName
    port: Port
    system: Annotated[str | None, Attr("lldp.system.name", "Name of the system at the other end")] = None
    neighbour: Annotated[str | None, Attr("lldp.port.id", "Its port: interface name or MAC address")] = None
    kind: Annotated[str | None, Attr("lldp.port.id.type", "What its port id is: ifname, mac, …")] = None
    chassis: Annotated[str | None, Attr("lldp.neighbor.chassis.id", "Its chassis id")] = None


class SwitchLink(NamedTuple):
    """A network interface of this node and the port of a switch that it is connected to."""

    nic: Nic
    switch: SwitchName
    port: Port
    source: Annotated[str, Attr("source", "Whose LLDP tells it: switch, host")]


class SwitchPortIo(NamedTuple):
    """What a port carries in one direction."""

    switch: SwitchName
    port: Port
    direction: Direction


class SwitchPortCast(NamedTuple):
    """Packets of a port in one direction, by how many they are for."""

    switch: SwitchName
    port: Port
    direction: Direction
    cast: Annotated[
        str | None, Attr("network.cast", "unicast, multicast, broadcast; absent where only the total is told")
    ] = None


class SwitchPortCause(NamedTuple):
    """Packets that a port dropped, by cause."""

    switch: SwitchName
    port: Port
    cause: Annotated[str, Attr("cause", "Where and why: the switch's own name of the counter")]


class SwitchPortError(NamedTuple):
    """A kind of error of a port's link."""

    switch: SwitchName
    port: Port
    type: Annotated[str, Attr("error.type", "Kind of error")]


class SwitchPortState(NamedTuple):
    """Changes of a port to a state."""

    switch: SwitchName
    port: Port
    state: Annotated[str, Attr("state", "up, down; of a receive buffer: almost_full, full")]


class SwitchPortOutcome(NamedTuple):
    """Packets of a port that were trimmed, by what became of them."""

    switch: SwitchName
    port: Port
    outcome: Annotated[str, Attr("outcome", "trimmed: all of them; sent; dropped")]


class SwitchPortClass(NamedTuple):
    """An egress traffic class of a port."""

    switch: SwitchName
    port: Port
    traffic_class: TrafficClass


class SwitchPortClassCause(NamedTuple):
    """Packets that an egress traffic class of a port dropped, by cause."""

    switch: SwitchName
    port: Port
    traffic_class: TrafficClass
    cause: Annotated[str, Attr("cause", "no_buffer; wred: dropped early, at random")]


class SwitchPortGroup(NamedTuple):
    """An ingress priority group of a port."""

    switch: SwitchName
    port: Port
    group: PriorityGroup


class SwitchPortPriority(NamedTuple):
    """A switch priority of a port in one direction."""

    switch: SwitchName
    port: Port
    priority: Annotated[str, Attr("switch.priority", "Switch priority, 0 to 7")]
    direction: Direction


class SwitchBuffer(NamedTuple):
    """A part of the buffer that a port uses."""

    switch: SwitchName
    port: Port
    buffer: Annotated[
        str,
        Attr("switch.buffer", "priority_group, ingress_pool: of what came in; traffic_class, egress_pool, multicast: "
                              "of what is to go out; headroom: of what comes in after a pause was asked for"),
    ]  # fmt: skip
    number: Annotated[str | None, Attr("switch.buffer.number", "Number of the priority group, class or pool")] = None


class SwitchPool(NamedTuple):
    """A pool of a switch's shared buffer."""

    switch: SwitchName
    pool: Annotated[str, Attr("switch.pool", "Number or name of the pool")]


class SwitchQueue(NamedTuple):
    """A queue of a port whose depth is sampled."""

    switch: SwitchName
    port: Port
    buffer: Annotated[str, Attr("switch.buffer", "egress, ingress")]
    number: Annotated[str | None, Attr("switch.buffer.number", "Egress traffic class, or ingress priority group")] = (
        None
    )


class SwitchSensor(NamedTuple):
    """A sensor of a switch."""

    switch: SwitchName
    sensor: Annotated[str, Attr("sensor", "Name of the sensor")]
    location: Annotated[str | None, Attr("hw.sensor_location", "Where it is")] = None


class SwitchPart(NamedTuple):
    """A fan or power supply of a switch."""

    switch: SwitchName
    part: Annotated[str, Attr("switch.part", "Name of the part: PSU1, FAN1/1")]


class SwitchPartState(NamedTuple):
    """A fan, power supply or sensor of a switch in a state."""

    switch: SwitchName
    kind: Annotated[str, Attr("switch.part.kind", "fan, power_supply, temperature, leak")]
    part: Annotated[str, Attr("switch.part", "Name of the part")]
    state: Annotated[str, Attr("hw.state", "ok, failed: what the switch calls failed or bad")]


class SwitchPoints(NamedTuple):
    """What became of what switches told, in points of OTLP and samples of pages."""

    outcome: Annotated[
        str,
        Attr("outcome", "taken; left_out: on purpose; unknown: no rule has its name; malformed; late: older than what "
                        "was told before; old: of a page that is no longer true; full: no room"),
    ]  # fmt: skip


class SwitchPage(NamedTuple):
    """A page of the configuration that tells of switches."""

    page: Annotated[str, Attr("page", "Its name in the configuration")]


class SwitchPageFault(NamedTuple):
    """Scrapes of a page that failed, by why."""

    page: Annotated[str, Attr("page", "Its name in the configuration")]
    reason: Annotated[str, Attr("reason", "What failed: refused, timeout, tls, status_401, …")]
