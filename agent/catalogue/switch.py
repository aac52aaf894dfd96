# SPDX-License-Identifier: Apache-2.0
"""Switches that this node hears of: which of their names becomes what is in [switch-metrics.md](switch-metrics.md)."""

from agent.metric import Counter, Gauge, Histogram, Info, UpDownCounter
from agent.switch_entities import (
    Switch,
    SwitchBuffer,
    SwitchInfo,
    SwitchLink,
    SwitchNeighbour,
    SwitchPage,
    SwitchPageFault,
    SwitchPart,
    SwitchPartState,
    SwitchPoints,
    SwitchPool,
    SwitchPort,
    SwitchPortCast,
    SwitchPortCause,
    SwitchPortClass,
    SwitchPortClassCause,
    SwitchPortError,
    SwitchPortGroup,
    SwitchPortInfo,
    SwitchPortIo,
    SwitchPortOutcome,
    SwitchPortPriority,
    SwitchPortState,
    SwitchQueue,
    SwitchSensor,
)
from agent.unit import Unit

INFO = Info("joulespan.switch.info", SwitchInfo, "Switches that this node hears of.")
LAST_SEEN = Gauge(
    "joulespan.switch.last_seen",
    Unit.SECONDS,
    Switch,
    "Unix time at which the switch was last heard of; stays for an hour when it falls silent, which nothing else does.",
)
PORT_INFO = Info("joulespan.switch.port.info", SwitchPortInfo, "Ports of the switch.")
NEIGHBOUR = Info("joulespan.switch.neighbor.info", SwitchNeighbour, "What is at the other end of a port, by LLDP.")
LINK = Info("joulespan.switch.link.info", SwitchLink, "Which port of which switch a network interface is connected to.")
PORT_UP = Gauge("joulespan.switch.port.up", Unit.NONE, SwitchPort, "1 while the port is up, 0 while it is not.")
PORT_BANDWIDTH = Gauge(
    "joulespan.switch.port.bandwidth.limit", Unit.BYTES_PER_SECOND, SwitchPort, "Speed of the port in one direction."
)
PORT_IO = Counter("joulespan.switch.port.io", Unit.BYTES, SwitchPortIo, "Bytes of the port.")
PORT_PACKETS = Counter("joulespan.switch.port.packets", Unit.PACKETS, SwitchPortCast, "Packets of the port.")
PORT_ERRORS = Counter("joulespan.switch.port.errors", Unit.ERRORS, SwitchPortIo, "Packets of the port with an error.")
PORT_DISCARDS = Counter(
    "joulespan.switch.port.discards", Unit.PACKETS, SwitchPortIo, "Packets that the port dropped without an error."
)
PORT_DISCARD_CAUSES = Counter(
    "joulespan.switch.port.discard_causes",
    Unit.PACKETS,
    SwitchPortCause,
    "Packets that the port dropped, by cause; causes overlap with each other and are no parts of the discards.",
)
PORT_MARKED = Counter(
    "joulespan.switch.port.ecn.marked", Unit.PACKETS, SwitchPort, "Packets marked as having met congestion."
)
PORT_PAUSES = Counter(
    "joulespan.switch.port.pause.frames", Unit.PACKETS, SwitchPortIo, "Pause frames of the whole port (IEEE 802.3x)."
)
PORT_WAIT = Counter(
    "joulespan.switch.port.transmit.wait",
    Unit.SECONDS,
    SwitchPort,
    "Time in which the port had something to send and could not.",
)
PORT_WAIT_TICKS = Counter(
    "joulespan.switch.port.transmit.wait_ticks",
    Unit.ITEMS,
    SwitchPort,
    "The same of InfiniBand and NVLink, in ticks whose length is not told: to be compared with itself only.",
)
PORT_BUFFER_EVENTS = Counter(
    "joulespan.switch.port.buffer.events", Unit.EVENTS, SwitchPortState, "How often the receive buffer ran full."
)
PORT_CARRIER = Counter(
    "joulespan.switch.port.carrier.changes", Unit.EVENTS, SwitchPortState, "How often the link came up or went down."
)
PORT_LINK_DOWNS = Counter(
    "joulespan.switch.port.link.downs", Unit.EVENTS, SwitchPort, "How often the physical link was lost."
)
PORT_LINK_ERRORS = Counter(
    "joulespan.switch.port.link.errors", Unit.ERRORS, SwitchPortError, "Errors of the physical link, by kind."
)
PORT_CORRECTED = Counter(
    "joulespan.switch.port.link.corrected_bits", Unit.ITEMS, SwitchPort, "Bits that error correction repaired."
)
PORT_BER = Gauge(
    "joulespan.switch.port.bit_error_rate",
    Unit.RATIO,
    SwitchPortError,
    "Bit error rate of the link: raw, effective (after correction), symbol.",
)
PORT_RETRANSMISSIONS = Counter(
    "joulespan.switch.port.link.retransmissions",
    Unit.EVENTS,
    SwitchPortError,
    "Physical layer retransmission of NVLink: code words received, in error and lost, and retries.",
)
CLASS_IO = Counter("joulespan.switch.class.io", Unit.BYTES, SwitchPortClass, "Bytes sent in a traffic class.")
CLASS_PACKETS = Counter(
    "joulespan.switch.class.packets", Unit.PACKETS, SwitchPortClass, "Packets sent in a traffic class."
)
CLASS_MARKED = Counter(
    "joulespan.switch.class.ecn.marked",
    Unit.PACKETS,
    SwitchPortClass,
    "Packets of a traffic class marked as having met congestion.",
)
CLASS_DISCARDS = Counter(
    "joulespan.switch.class.discards", Unit.PACKETS, SwitchPortClassCause, "Packets that a traffic class dropped."
)
GROUP_IO = Counter("joulespan.switch.group.io", Unit.BYTES, SwitchPortGroup, "Bytes received in a priority group.")
GROUP_PACKETS = Counter(
    "joulespan.switch.group.packets", Unit.PACKETS, SwitchPortGroup, "Packets received in a priority group."
)
PRIORITY_PAUSES = Counter(
    "joulespan.switch.priority.pause.frames",
    Unit.PACKETS,
    SwitchPortPriority,
    "Pause frames of one priority (priority flow control).",
)
PRIORITY_DISCARDS = Counter(
    "joulespan.switch.priority.discards", Unit.PACKETS, SwitchPortPriority, "Packets of a priority that were dropped."
)
BUFFER_USAGE = UpDownCounter(
    "joulespan.switch.buffer.usage", Unit.BYTES, SwitchBuffer, "Buffer that is in use now, of a port."
)
BUFFER_WATERMARK = Gauge(
    "joulespan.switch.buffer.watermark",
    Unit.BYTES,
    SwitchBuffer,
    "Most of the buffer that was in use since the switch last cleared its watermarks.",
)
POOL_USAGE = UpDownCounter("joulespan.switch.pool.usage", Unit.BYTES, SwitchPool, "Shared buffer in use now, by pool.")
POOL_WATERMARK = Gauge(
    "joulespan.switch.pool.watermark",
    Unit.BYTES,
    SwitchPool,
    "Most of the shared buffer that was in use since the switch last cleared its watermarks.",
)
QUEUE_DEPTH = Histogram(
    "joulespan.switch.queue.depth", Unit.BYTES, SwitchQueue, "Depth of a queue, sampled by the switch many times a ms."
)
LATENCY = Histogram(
    "joulespan.switch.latency",
    Unit.SECONDS,
    SwitchPortClass,
    "Time that packets of a traffic class spent in the switch.",
)
ADAPTIVE_ROUTING = Counter(
    "joulespan.switch.adaptive_routing.selections",
    Unit.PACKETS,
    Switch,
    "Packets for which adaptive routing chose the port; it counts traffic, not congestion.",
)
TRIMMED = Counter("joulespan.switch.trimmed", Unit.PACKETS, Switch, "Packets cut down to their header for congestion.")
PORT_TRIMMED = Counter(
    "joulespan.switch.port.trimmed", Unit.PACKETS, SwitchPortOutcome, "Packets of the port cut down to their header."
)
STEP_TIME = Gauge(
    "joulespan.switch.port.step_time", Unit.SECONDS, SwitchPort, "Step of the training behind the port, as estimated."
)
TEMPERATURE = Gauge("joulespan.switch.temperature", Unit.CELSIUS, SwitchSensor, "Temperatures of the switch.")
POWER = Gauge("joulespan.switch.power", Unit.WATTS, SwitchPart, "Power of the switch or of one of its power supplies.")
FAN_SPEED = Gauge("joulespan.switch.fan.speed", Unit.RPM, SwitchPart, "Fan speeds of the switch.")
PART_STATE = UpDownCounter(
    "joulespan.switch.part.status", Unit.RATIO, SwitchPartState, "1 for the state that a part of the switch is in."
)
POINTS = Counter("joulespan.switch.points", Unit.POINTS, SwitchPoints, "What switches told, by what was made of it.")
PAGE_UP = Gauge("joulespan.switch.page.up", Unit.NONE, SwitchPage, "1 when the last scrape of the page succeeded.")
PAGE_DURATION = Gauge(
    "joulespan.switch.page.duration", Unit.SECONDS, SwitchPage, "Time the last scrape of the page took."
)
PAGE_LAST_SUCCESS = Gauge(
    "joulespan.switch.page.last_success", Unit.SECONDS, SwitchPage, "Unix time of the last scrape that succeeded."
)
PAGE_FAILURES = Counter(
    "joulespan.switch.page.failures", Unit.ERRORS, SwitchPageFault, "Scrapes of the page that failed, by why."
)
