# SPDX-License-Identifier: Apache-2.0
"""What the metrics of NICs and RDMA ports are about. The order of the fields is that of the attributes."""

from typing import Annotated, NamedTuple, TypeAlias

from agent.entities import Gpu
from agent.entity import Attr, hardware

Direction: TypeAlias = Annotated[str, Attr("network.io.direction", "transmit, receive")]
Priority: TypeAlias = Annotated[
    int | None, Attr("priority", "Priority of priority flow control, 0 to 7; absent: of the link as a whole")
]


@hardware("network")
class Nic(NamedTuple):
    """A network interface."""

    id: Annotated[str, Attr("hw.id", "PCI address; of an interface without a PCI function of its own its name")]
    name: Annotated[str, Attr("hw.name", "Name of the interface")]


class NicInfo(NamedTuple):
    """What a network interface is."""

    nic: Nic
    kind: Annotated[
        str,
        Attr("kind", "physical, virtual_function, sub_function, representor, bond, vlan, bridge, virtual, loopback"),
    ]
    parent: Annotated[
        str | None, Attr("hw.parent", "Bond, physical function or interface that it is part of, by its hw.id")
    ] = None
    driver: Annotated[str | None, Attr("hw.driver", "Name of the driver")] = None
    firmware: Annotated[str | None, Attr("hw.firmware_version", "Firmware version")] = None
    model: Annotated[str | None, Attr("hw.model", "PCI vendor and device, in hex")] = None
    pci: Annotated[str | None, Attr("pci.bus_id", "domain:bus:device.function")] = None
    numa: Annotated[int | None, Attr("numa.node", "NUMA node that it is attached to")] = None
    address: Annotated[str | None, Attr("network.interface.address", "Link layer address")] = None
    rdma: Annotated[str | None, Attr("rdma.device", "Name of the RDMA device of the same function")] = None


class NicIo(NamedTuple):
    """What a network interface moves in one direction."""

    nic: Nic
    direction: Direction


class NicPriorityIo(NamedTuple):
    """What a network interface moves in one direction, by priority."""

    nic: Nic
    priority: Priority
    direction: Direction


class NicError(NamedTuple):
    """Errors of a network interface in one direction, as the kernel counts them."""

    nic: Nic
    type: Annotated[str, Attr("error.type", "interface: what the kernel counts as errors of the interface")]
    direction: Direction


class NicErrorKind(NamedTuple):
    """A kind of error of a network interface."""

    nic: Nic
    type: Annotated[str, Attr("error.type", "Kind of error")]
    direction: Annotated[str | None, Attr("network.io.direction", "transmit, receive")] = None
    lane: Annotated[int | None, Attr("lane", "Lane of the cable, where errors are told by lane")] = None


class NicDiscard(NamedTuple):
    """Packets that a network interface discarded, by why."""

    nic: Nic
    reason: Annotated[
        str,
        Attr(
            "reason",
            "port_buffer, out_of_buffer, steering, congestion, buffer, priority, transmit; of clouds: bandwidth_in, "
            "bandwidth_out, packet_rate, connections, link_local",
        ),
    ]
    direction: Direction
    priority: Priority = None


class NicPriority(NamedTuple):
    """A priority of a network interface."""

    nic: Nic
    priority: Priority = None


class NicSeverity(NamedTuple):
    """Warnings or errors about a network interface."""

    nic: Nic
    severity: Annotated[str, Attr("severity", "warning, error")]


class NicAccess(NamedTuple):
    """Accesses of a network interface to the memory of the host."""

    nic: Nic
    access: Annotated[str, Attr("access", "read, write")]


class NicEvent(NamedTuple):
    """Events of the module, the transceiver or cable, of a network interface."""

    nic: Nic
    event: Annotated[str, Attr("event", "plug, unplug, bus_stuck, bad_shorted, high_temperature")]


class NicSensor(NamedTuple):
    """A temperature sensor of a network interface."""

    nic: Nic
    location: Annotated[str, Attr("hw.sensor_location", "asic; module and its number: the transceiver")]


class NicMembers(NamedTuple):
    """The members of a bond in a state."""

    nic: Nic
    state: Annotated[str, Attr("state", "up, down")]


class NicsLeftOut(NamedTuple):
    """Network interfaces that are not read, by what they are."""

    kind: Annotated[
        str,
        Attr("kind", "physical, virtual_function, sub_function, representor, bond, vlan, bridge, virtual, loopback"),
    ]


@hardware("network")
class RdmaPort(NamedTuple):
    """A port of an RDMA device."""

    id: Annotated[str, Attr("hw.id", "PCI address, that of its network interface; without one the device's name")]
    name: Annotated[str, Attr("hw.name", "Name of the RDMA device")]
    port: Annotated[int, Attr("rdma.port", "Number of the port")]


class RdmaInfo(NamedTuple):
    """What an RDMA port is."""

    rdma: RdmaPort
    layer: Annotated[str | None, Attr("rdma.link_layer", "InfiniBand, Ethernet")] = None
    node_guid: Annotated[str | None, Attr("rdma.node_guid", "GUID of the device")] = None
    port_guid: Annotated[str | None, Attr("rdma.port_guid", "GUID of the port, from its first GID")] = None
    nic: Annotated[str | None, Attr("network.interface.name", "Network interface of the port")] = None
    firmware: Annotated[str | None, Attr("hw.firmware_version", "Firmware version")] = None
    model: Annotated[str | None, Attr("hw.model", "Device type, and board id where it is told")] = None
    gid_type: Annotated[str | None, Attr("rdma.gid_type", "Of its GIDs: IB, RoCE v1, RoCE v2")] = None


class RdmaIo(NamedTuple):
    """What an RDMA port moves in one direction."""

    rdma: RdmaPort
    direction: Direction


class RdmaCast(NamedTuple):
    """Packets of an RDMA port in one direction, by how many they are for."""

    rdma: RdmaPort
    cast: Annotated[str, Attr("cast", "unicast, multicast")]
    direction: Direction


class RdmaState(NamedTuple):
    """An RDMA port in a state."""

    rdma: RdmaPort
    state: Annotated[str, Attr("state", "down, init, armed, active; of the link: sleep, polling, linkup, …")]


class RdmaError(NamedTuple):
    """A kind of error of an RDMA port."""

    rdma: RdmaPort
    type: Annotated[str, Attr("error.type", "Kind of error")]


class RdmaReason(NamedTuple):
    """Something an RDMA port counts, by why."""

    rdma: RdmaPort
    reason: Annotated[str, Attr("reason", "Why, or which")]


class RdmaNotification(NamedTuple):
    """Congestion notifications of an RDMA port, by what became of them."""

    rdma: RdmaPort
    outcome: Annotated[
        str,
        Attr("outcome", "sent, as receiver of marked packets; handled, ignored as sender; received, transmitted: all"),
    ]


class RdmaRequest(NamedTuple):
    """Requests that an RDMA port received, by what they ask for."""

    rdma: RdmaPort
    operation: Annotated[str, Attr("operation", "read, write, atomic, connect")]


class GpuNic(NamedTuple):
    """How near a network interface is to a GPU."""

    gpu: Gpu
    nic: Annotated[str, Attr("nic.id", "hw.id of the network interface")]
    interface: Annotated[str | None, Attr("network.interface.name", "Name of the network interface")] = None
    rdma: Annotated[str | None, Attr("rdma.device", "Name of its RDMA device")] = None
    path: Annotated[
        str,
        Attr("path", "PIX: one PCIe switch; PXB: several; PHB: a host bridge; NODE: a NUMA node; SYS: between them"),
    ] = "SYS"
    nearest: Annotated[str, Attr("nearest", "true: no other is nearer to the GPU; false")] = "false"
