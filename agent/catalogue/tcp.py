# SPDX-License-Identifier: Apache-2.0
"""TCP: what the kernel counts for the network namespace of the agent, which should be the host's; RDMA is not in it."""

from agent.host_entities import (
    ConnectionState,
    EcnMark,
    Host,
    TcpDirection,
    TcpEvent,
    TcpReason,
    TcpRetransmit,
)
from agent.metric import Counter, UpDownCounter
from agent.unit import Unit

CONNECTIONS = UpDownCounter(
    "system.network.connection.count", Unit.CONNECTIONS, ConnectionState, "TCP connections by state."
)
SEGMENTS = Counter(
    "joulespan.tcp.segments", Unit.SEGMENTS, TcpDirection, "TCP segments; those sent again are not in what was sent."
)
RETRANSMITS = Counter("joulespan.tcp.retransmits", Unit.SEGMENTS, Host, "TCP segments that were sent again.")
RETRANSMITS_BY_KIND = Counter(
    "joulespan.tcp.retransmits.kind",
    Unit.SEGMENTS,
    TcpRetransmit,
    "TCP segments that were sent again, by why. Some of them are in two kinds, and some in none.",
)
TIMEOUTS = Counter(
    "joulespan.tcp.timeouts", Unit.EVENTS, Host, "Retransmission time-outs: nothing was heard for 200 ms or more."
)
SPURIOUS_TIMEOUTS = Counter(
    "joulespan.tcp.timeouts.spurious", Unit.EVENTS, Host, "Retransmission time-outs after which the answer came yet."
)
CONNECTION_EVENTS = Counter(
    "joulespan.tcp.connections", Unit.CONNECTIONS, TcpEvent, "TCP connections opened, failed and reset."
)
RESETS_SENT = Counter("joulespan.tcp.resets.sent", Unit.SEGMENTS, Host, "TCP segments sent with the reset flag.")
ERRORS = Counter(
    "joulespan.tcp.errors", Unit.SEGMENTS, Host, "TCP segments that came in malformed, a wrong checksum for one."
)
LISTEN_OVERFLOWS = Counter(
    "joulespan.tcp.listen.overflows",
    Unit.EVENTS,
    Host,
    "Connections that found the queue of a listening socket full: a server accepts too slowly.",
)
LISTEN_DROPS = Counter(
    "joulespan.tcp.listen.drops", Unit.EVENTS, Host, "Connections that were dropped while opened, overflows included."
)
DROPS = Counter(
    "joulespan.tcp.drops",
    Unit.SEGMENTS,
    TcpReason,
    "TCP segments that came in and were dropped: backlog, receive_queue, zero_window, out_of_order, request_queue.",
)
ABORTS = Counter(
    "joulespan.tcp.aborts",
    Unit.CONNECTIONS,
    TcpReason,
    "TCP connections that the kernel gave up: timeout, memory, or with data unread: data, close.",
)
MEMORY_PRESSURES = Counter(
    "joulespan.tcp.memory.pressures", Unit.EVENTS, Host, "Times that TCP began to save memory (net.ipv4.tcp_mem)."
)
DELIVERED_CE = Counter(
    "joulespan.tcp.delivered.ce",
    Unit.SEGMENTS,
    Host,
    "TCP segments sent whose receiver told that a switch had marked congestion on the way.",
)
ECN_PACKETS = Counter(
    "joulespan.ip.ecn.packets", Unit.PACKETS, EcnMark, "IPv4 and IPv6 packets that came in, by their ECN field."
)
SOFTNET_DROPPED = Counter(
    "joulespan.softnet.dropped",
    Unit.PACKETS,
    Host,
    "Packets dropped between driver and protocols, because a CPU's queue was full.",
)
SOFTNET_SQUEEZED = Counter(
    "joulespan.softnet.squeezed", Unit.EVENTS, Host, "Times that a CPU stopped to take in packets with more waiting."
)
