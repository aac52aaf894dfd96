# SPDX-License-Identifier: Apache-2.0
"""RDMA: the ports of InfiniBand and RoCE devices, what they carry, how they are slowed down, and what they lose."""

from agent.metric import Counter, Info, UpDownCounter
from agent.network_entities import (
    RdmaCast,
    RdmaError,
    RdmaInfo,
    RdmaIo,
    RdmaNotification,
    RdmaPort,
    RdmaReason,
    RdmaRequest,
    RdmaState,
)
from agent.unit import Unit

RDMA_INFO = Info("joulespan.rdma.info", RdmaInfo, "Link layer, GUIDs, firmware and network interface of an RDMA port.")
RDMA_UP = UpDownCounter("joulespan.rdma.up", Unit.RATIO, RdmaPort, "1 while the port is active, 0 while it is not.")
RDMA_STATE = UpDownCounter(
    "joulespan.rdma.state", Unit.RATIO, RdmaState, "1 for the state that the port is in: active is the good one."
)
RDMA_LINK_STATE = UpDownCounter(
    "joulespan.rdma.link.state", Unit.RATIO, RdmaState, "1 for the state that the link is in: linkup is the good one."
)
RDMA_BANDWIDTH = UpDownCounter(
    "joulespan.rdma.bandwidth.limit", Unit.BYTES_PER_SECOND, RdmaPort, "Speed of the port in one direction."
)
RDMA_IO = Counter("joulespan.rdma.io", Unit.BYTES, RdmaIo, "Bytes of the port, of RDMA and of what else it carries.")
RDMA_PACKETS = Counter("joulespan.rdma.packets", Unit.PACKETS, RdmaIo, "Packets of the port.")
RDMA_CAST_PACKETS = Counter(
    "joulespan.rdma.cast.packets", Unit.PACKETS, RdmaCast, "Packets of the port for one and for many."
)
RDMA_TRANSMIT_WAIT = Counter(
    "joulespan.rdma.transmit.wait",
    Unit.TICKS,
    RdmaPort,
    "Ticks in which the port had something to send and could not. How long a tick is depends on the device: only "
    "compare it with itself.",
)
RDMA_ECN_MARKED = Counter(
    "joulespan.rdma.ecn.marked",
    Unit.PACKETS,
    RdmaPort,
    "RoCE packets that came in with a mark of congestion on their way; each sender is to be told by a notification.",
)
RDMA_CNP = Counter(
    "joulespan.rdma.cnp",
    Unit.PACKETS,
    RdmaNotification,
    "Congestion notifications. Sent ones grow where many send to one; handled ones slow this sender down.",
)
RDMA_RETRANSMITS = Counter(
    "joulespan.rdma.retransmits",
    Unit.EVENTS,
    RdmaReason,
    "Signs that packets were lost: sequence errors, time-outs, retransmissions, connections given up, by reason.",
)
RDMA_OUT_OF_ORDER = Counter(
    "joulespan.rdma.out_of_order",
    Unit.PACKETS,
    RdmaReason,
    "Packets that came out of order or twice. Usual where adaptive routing spreads packets over paths, and no loss.",
)
RDMA_NOT_READY = Counter(
    "joulespan.rdma.receiver_not_ready",
    Unit.EVENTS,
    RdmaReason,
    "Requests refused because the other side had no receive buffer posted: a slow receiver, no loss in the network.",
)
RDMA_SLOW_RESTARTS = Counter(
    "joulespan.rdma.slow_restarts", Unit.EVENTS, RdmaReason, "Slow restarts of RoCE after losses, by what is counted."
)
RDMA_DISCARDS = Counter(
    "joulespan.rdma.discards", Unit.PACKETS, RdmaReason, "Packets that the port discarded, by reason."
)
RDMA_ERRORS = Counter("joulespan.rdma.errors", Unit.ERRORS, RdmaError, "Errors of the port's link, by kind.")
RDMA_WORK_ERRORS = Counter(
    "joulespan.rdma.work.errors",
    Unit.ERRORS,
    RdmaError,
    "Errors of RDMA work, as requester and responder, by kind: mostly of programs and of connections that end.",
)
RDMA_LINK_DOWNS = Counter("joulespan.rdma.link_downs", Unit.EVENTS, RdmaPort, "How often the link went down.")
RDMA_LINK_RECOVERIES = Counter(
    "joulespan.rdma.link_recoveries", Unit.EVENTS, RdmaPort, "How often the link recovered from an error by itself."
)
RDMA_REQUESTS = Counter(
    "joulespan.rdma.requests", Unit.REQUESTS, RdmaRequest, "Requests received from other nodes, by operation."
)
