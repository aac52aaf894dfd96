# SPDX-License-Identifier: Apache-2.0
"""Network interfaces: what they carry, drop and mark, and what is wrong with their links.

Of one that RDMA uses the kernel's counters leave RDMA out: see joulespan.nic.rdma.io, joulespan.nic.port.io and the
RDMA ports.
"""

from agent.catalogue import gpu, health
from agent.metric import Counter, Gauge, Info, UpDownCounter
from agent.network_entities import (
    Nic,
    NicAccess,
    NicDiscard,
    NicError,
    NicErrorKind,
    NicEvent,
    NicInfo,
    NicIo,
    NicMembers,
    NicPriority,
    NicPriorityIo,
    NicSensor,
    NicSeverity,
    NicsLeftOut,
)
from agent.unit import Unit

NIC_INFO = Info("joulespan.nic.info", NicInfo, "Kind, driver, firmware and place of a network interface.")
NICS_LEFT_OUT = UpDownCounter(
    "joulespan.nic.left_out",
    Unit.ITEMS,
    NicsLeftOut,
    "Network interfaces of the node that are not read, because of their kind or of the configuration.",
)
NETWORK_IO = Counter(
    "hw.network.io", Unit.BYTES, NicIo, "Bytes of the interface, as the kernel counts them: without RDMA's."
)
NETWORK_PACKETS = Counter(
    "hw.network.packets", Unit.PACKETS, NicIo, "Packets of the interface, as the kernel counts them: without RDMA's."
)
NETWORK_UP = UpDownCounter(
    "hw.network.up", Unit.RATIO, Nic, "1 while the interface is up and has a carrier, 0 while it has not."
)
NETWORK_BANDWIDTH = UpDownCounter(
    "hw.network.bandwidth.limit", Unit.BYTES_PER_SECOND, Nic, "Speed of the link in one direction, while it is up."
)
NIC_ERRORS = health.HW_ERRORS.of(NicError)
NIC_TEMPERATURE = gpu.TEMPERATURE.of(NicSensor)
NIC_DROPPED = Counter(
    "joulespan.nic.dropped",
    Unit.PACKETS,
    NicIo,
    "Packets that the kernel or the driver dropped, for want of buffers for one; those the NIC discarded before are in "
    "joulespan.nic.discards.",
)
NIC_ERROR_KINDS = Counter(
    "joulespan.nic.errors", Unit.ERRORS, NicErrorKind, "Errors of the interface as the kernel counts them, by kind."
)
CARRIER_CHANGES = Counter(
    "joulespan.nic.carrier_changes", Unit.EVENTS, Nic, "How often the interface got or lost its carrier."
)
NIC_MTU = Gauge("joulespan.nic.mtu", Unit.BYTES, Nic, "Largest packet of the interface.")
BOND_MEMBERS = UpDownCounter(
    "joulespan.nic.bond.members", Unit.ITEMS, NicMembers, "Members of a bond by whether their link is up."
)
VIRTUAL_FUNCTIONS = UpDownCounter(
    "joulespan.nic.virtual_functions", Unit.ITEMS, Nic, "Virtual functions that a physical one is divided into."
)

PORT_IO = Counter(
    "joulespan.nic.port.io",
    Unit.BYTES,
    NicIo,
    "Bytes on the wire of the physical port, of all its functions, RDMA and Ethernet headers included.",
)
PORT_PACKETS = Counter(
    "joulespan.nic.port.packets", Unit.PACKETS, NicIo, "Packets on the wire of the physical port, RDMA included."
)
NIC_RDMA_IO = Counter(
    "joulespan.nic.rdma.io",
    Unit.BYTES,
    NicIo,
    "RDMA bytes of the interface's function (RoCE), which pass the kernel by.",
)
NIC_RDMA_PACKETS = Counter(
    "joulespan.nic.rdma.packets", Unit.PACKETS, NicIo, "RDMA packets of the interface's function (RoCE)."
)
PRIORITY_IO = Counter(
    "joulespan.nic.priority.io",
    Unit.BYTES,
    NicPriorityIo,
    "Bytes on the wire by priority; only of priorities that have carried something.",
)
PAUSE_FRAMES = Counter(
    "joulespan.nic.pause.frames",
    Unit.PACKETS,
    NicPriorityIo,
    "Pause frames; received ones stop this NIC from sending, sent ones its neighbour. Absent where pausing is off.",
)
PAUSE_DURATION = Counter(
    "joulespan.nic.pause.duration",
    Unit.SECONDS,
    NicPriorityIo,
    "Time for which sending was paused: this NIC's by frames received, its neighbour's by frames sent.",
)
PAUSE_TRANSITIONS = Counter(
    "joulespan.nic.pause.transitions", Unit.EVENTS, NicPriority, "How often this NIC went from sending to paused."
)
PAUSE_STORMS = Counter(
    "joulespan.nic.pause.storms",
    Unit.EVENTS,
    NicSeverity,
    "Times for which this NIC paused its neighbour for too long: its host does not take what comes in.",
)
ECN_RECEIVED = Counter(
    "joulespan.nic.ecn.received",
    Unit.PACKETS,
    Nic,
    "Packets, other than RDMA's, that came in with a mark of congestion on their way.",
)
ECN_MARKED = Counter(
    "joulespan.nic.ecn.marked",
    Unit.PACKETS,
    NicPriority,
    "Packets that this NIC marked: its own buffers are congested.",
)
NIC_DISCARDS = Counter(
    "joulespan.nic.discards", Unit.PACKETS, NicDiscard, "Packets that NIC or driver discarded, by reason."
)
BUFFER_ALMOST_FULL = Counter(
    "joulespan.nic.buffer.almost_full",
    Unit.EVENTS,
    Nic,
    "How often the receive buffer of the port was more than 85 % full.",
)
PORT_ERRORS = Counter(
    "joulespan.nic.port.errors",
    Unit.ERRORS,
    NicErrorKind,
    "Errors of the physical port, by kind. Corrected bits are usual, as forward error correction is part of the link.",
)
LINK_DOWNS = Counter(
    "joulespan.nic.link_downs", Unit.EVENTS, Nic, "How often the link went down, as the firmware counts it."
)
PCI_STALLED = Gauge(
    "joulespan.nic.pci.stalled",
    Unit.RATIO,
    NicAccess,
    "Share of the last second in which the NIC had something for the host's memory and PCIe did not take it.",
)
PCI_STALLED_DURATION = Counter(
    "joulespan.nic.pci.stalled.duration",
    Unit.SECONDS,
    NicAccess,
    "Seconds of which more than 30 % were stalled; see joulespan.nic.pci.stalled.",
)
PCI_ERRORS = Counter("joulespan.nic.pci.errors", Unit.ERRORS, NicErrorKind, "Errors of the NIC's PCIe link, by kind.")
MODULE_EVENTS = Counter(
    "joulespan.nic.module.events", Unit.EVENTS, NicEvent, "Events of the transceiver or cable, by kind."
)
STATISTICS_UNKNOWN = Gauge(
    "joulespan.nic.statistics.unknown",
    Unit.ITEMS,
    Nic,
    "Statistics of the driver that no metric is made of: whether they count or measure is not known.",
)
