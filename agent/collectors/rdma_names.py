# SPDX-License-Identifier: Apache-2.0
"""What the counters of RDMA ports mean: a table from their files to metrics, and counters that wrap made whole.

What tells of loss is apart from what adaptive routing makes usual: packets that take several paths come out of order
(`out_of_sequence`) without one of them being lost. docs/network.md is the table for readers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from agent.catalogue.rdma import (
    RDMA_CAST_PACKETS,
    RDMA_CNP,
    RDMA_DISCARDS,
    RDMA_ECN_MARKED,
    RDMA_ERRORS,
    RDMA_IO,
    RDMA_LINK_DOWNS,
    RDMA_LINK_RECOVERIES,
    RDMA_NOT_READY,
    RDMA_OUT_OF_ORDER,
    RDMA_PACKETS,
    RDMA_REQUESTS,
    RDMA_RETRANSMITS,
    RDMA_SLOW_RESTARTS,
    RDMA_TRANSMIT_WAIT,
    RDMA_WORK_ERRORS,
)
from agent.metric import Metric, Series
from agent.network_entities import (
    RdmaCast,
    RdmaError,
    RdmaIo,
    RdmaNotification,
    RdmaPort,
    RdmaReason,
    RdmaRequest,
)
from agent.system.rdma import WORD

_WRAP = 1 << 32
_LIKELY = 1 << 29
"""A 32-bit counter that fell wrapped if it grew by less than this since; else it began anew."""


class Meaning(NamedTuple):
    """A metric, the entity that it is of, and what one of the file's numbers is."""

    metric: Metric[Any]
    entity: Callable[[RdmaPort], tuple[Any, ...]]
    scale: int = 1

    def series(self, port: RdmaPort) -> Series:
        """Name the series of a port."""
        return self.metric.series(self.entity(port))


def _port(port: RdmaPort) -> RdmaPort:
    return port


def _io(direction: str) -> Callable[[RdmaPort], RdmaIo]:
    return lambda port: RdmaIo(port, direction)


def _cast(cast: str, direction: str) -> Callable[[RdmaPort], RdmaCast]:
    return lambda port: RdmaCast(port, cast, direction)


def _error(kind: str) -> Callable[[RdmaPort], RdmaError]:
    return lambda port: RdmaError(port, kind)


def _reason(reason: str) -> Callable[[RdmaPort], RdmaReason]:
    return lambda port: RdmaReason(port, reason)


def _notification(outcome: str) -> Callable[[RdmaPort], RdmaNotification]:
    return lambda port: RdmaNotification(port, outcome)


def _request(operation: str) -> Callable[[RdmaPort], RdmaRequest]:
    return lambda port: RdmaRequest(port, operation)


_PORT_ERRORS = {
    "symbol_error": "symbol",
    "port_rcv_errors": "receive",
    "port_rcv_remote_physical_errors": "receive_remote_physical",
    "port_rcv_switch_relay_errors": "receive_switch_relay",
    "port_xmit_constraint_errors": "transmit_constraint",
    "port_rcv_constraint_errors": "receive_constraint",
    "local_link_integrity_errors": "local_link_integrity",
    "excessive_buffer_overrun_errors": "excessive_buffer_overrun",
}
_RETRANSMITS = {
    "packet_seq_err": "packet_sequence",
    "implied_nak_seq_err": "implied_nak",
    "local_ack_timeout_err": "ack_timeout",
    "roce_adp_retrans": "adaptive",
    "roce_adp_retrans_to": "adaptive_timeout",
    "req_transport_retries_exceeded": "retries_exceeded",
}
_WORK_ERRORS = (
    "resp_local_length_error",
    "resp_cqe_error",
    "req_cqe_error",
    "req_remote_invalid_request",
    "req_remote_access_errors",
    "resp_remote_access_errors",
    "resp_cqe_flush_error",
    "req_cqe_flush_error",
)
_Q_COUNTERS = {
    **{name: Meaning(RDMA_RETRANSMITS, _reason(reason)) for name, reason in _RETRANSMITS.items()},
    **{name: Meaning(RDMA_WORK_ERRORS, _error(name)) for name in _WORK_ERRORS},
    "rx_write_requests": Meaning(RDMA_REQUESTS, _request("write")),
    "rx_read_requests": Meaning(RDMA_REQUESTS, _request("read")),
    "rx_atomic_requests": Meaning(RDMA_REQUESTS, _request("atomic")),
    "rx_dct_connect": Meaning(RDMA_REQUESTS, _request("connect")),
    "out_of_buffer": Meaning(RDMA_DISCARDS, _reason("out_of_buffer")),
    "out_of_sequence": Meaning(RDMA_OUT_OF_ORDER, _reason("out_of_sequence")),
    "duplicate_request": Meaning(RDMA_OUT_OF_ORDER, _reason("duplicate_request")),
    "rnr_nak_retry_err": Meaning(RDMA_NOT_READY, _reason("retried")),
    "req_rnr_retries_exceeded": Meaning(RDMA_NOT_READY, _reason("retries_exceeded")),
    "roce_slow_restart": Meaning(RDMA_SLOW_RESTARTS, _reason("restart")),
    "roce_slow_restart_cnps": Meaning(RDMA_SLOW_RESTARTS, _reason("notification")),
    "roce_slow_restart_trans": Meaning(RDMA_SLOW_RESTARTS, _reason("transition")),
}
"""mlx5's q-counters: 32 bits in the firmware, whatever the file has room for."""

MEANINGS: dict[str, Meaning] = {
    "counters/port_xmit_data": Meaning(RDMA_IO, _io("transmit"), WORD),
    "counters/port_rcv_data": Meaning(RDMA_IO, _io("receive"), WORD),
    "counters/port_xmit_packets": Meaning(RDMA_PACKETS, _io("transmit")),
    "counters/port_rcv_packets": Meaning(RDMA_PACKETS, _io("receive")),
    "counters/unicast_xmit_packets": Meaning(RDMA_CAST_PACKETS, _cast("unicast", "transmit")),
    "counters/unicast_rcv_packets": Meaning(RDMA_CAST_PACKETS, _cast("unicast", "receive")),
    "counters/multicast_xmit_packets": Meaning(RDMA_CAST_PACKETS, _cast("multicast", "transmit")),
    "counters/multicast_rcv_packets": Meaning(RDMA_CAST_PACKETS, _cast("multicast", "receive")),
    "counters/port_xmit_wait": Meaning(RDMA_TRANSMIT_WAIT, _port),
    "counters/port_xmit_discards": Meaning(RDMA_DISCARDS, _reason("transmit")),
    "counters/VL15_dropped": Meaning(RDMA_DISCARDS, _reason("vl15")),
    "counters/link_downed": Meaning(RDMA_LINK_DOWNS, _port),
    "counters/link_error_recovery": Meaning(RDMA_LINK_RECOVERIES, _port),
    **{f"counters/{name}": Meaning(RDMA_ERRORS, _error(kind)) for name, kind in _PORT_ERRORS.items()},
    **{f"hw_counters/{name}": meaning for name, meaning in _Q_COUNTERS.items()},
    "hw_counters/rp_cnp_ignored": Meaning(RDMA_CNP, _notification("ignored")),
    "hw_counters/rp_cnp_handled": Meaning(RDMA_CNP, _notification("handled")),
    "hw_counters/np_cnp_sent": Meaning(RDMA_CNP, _notification("sent")),
    "hw_counters/np_ecn_marked_roce_packets": Meaning(RDMA_ECN_MARKED, _port),
    "hw_counters/rx_icrc_encapsulated": Meaning(RDMA_ERRORS, _error("icrc")),
    # Optional ones, which root switches on with `rdma statistic set`.
    "hw_counters/cc_rx_cnp_pkts": Meaning(RDMA_CNP, _notification("received")),
    "hw_counters/cc_tx_cnp_pkts": Meaning(RDMA_CNP, _notification("transmitted")),
    # EFA has no port counters.
    "hw_counters/tx_bytes": Meaning(RDMA_IO, _io("transmit")),
    "hw_counters/rx_bytes": Meaning(RDMA_IO, _io("receive")),
    "hw_counters/tx_pkts": Meaning(RDMA_PACKETS, _io("transmit")),
    "hw_counters/rx_pkts": Meaning(RDMA_PACKETS, _io("receive")),
    "hw_counters/rx_drops": Meaning(RDMA_DISCARDS, _reason("receive")),
    "hw_counters/retrans_pkts": Meaning(RDMA_RETRANSMITS, _reason("packets")),
    "hw_counters/retrans_timeout_events": Meaning(RDMA_RETRANSMITS, _reason("ack_timeout")),
    "hw_counters/impaired_remote_conn_events": Meaning(RDMA_RETRANSMITS, _reason("impaired")),
    "hw_counters/unresponsive_remote_events": Meaning(RDMA_RETRANSMITS, _reason("unresponsive")),
    # bnxt_re.
    "hw_counters/to_retransmits": Meaning(RDMA_RETRANSMITS, _reason("ack_timeout")),
    "hw_counters/seq_err_naks_rcvd": Meaning(RDMA_RETRANSMITS, _reason("packet_sequence")),
    "hw_counters/missing_resp": Meaning(RDMA_RETRANSMITS, _reason("missing_response")),
    "hw_counters/max_retry_exceeded": Meaning(RDMA_RETRANSMITS, _reason("retries_exceeded")),
    "hw_counters/rnr_naks_rcvd": Meaning(RDMA_NOT_READY, _reason("retried")),
    "hw_counters/dup_req": Meaning(RDMA_OUT_OF_ORDER, _reason("duplicate_request")),
    "hw_counters/tx_roce_discards": Meaning(RDMA_DISCARDS, _reason("transmit")),
    "hw_counters/rx_roce_discards": Meaning(RDMA_DISCARDS, _reason("receive")),
    "hw_counters/tx_roce_errors": Meaning(RDMA_ERRORS, _error("transmit")),
    "hw_counters/rx_roce_errors": Meaning(RDMA_ERRORS, _error("receive")),
}
"""Files that are published, by their path below the port's folder."""


def meaning(file: str) -> Meaning | None:
    """Look a file up. In switchdev mode mlx5 may write `vport_` before the names of its counters."""
    group, _, name = file.partition("/")
    return MEANINGS.get(f"{group}/{name.removeprefix('vport_')}")


def wraps(file: str, driver: str | None) -> bool:
    """Say whether the numbers of a file begin anew after 2^32 - 1."""
    group, _, name = file.partition("/")
    return driver == "mlx5_core" and group == "hw_counters" and name.removeprefix("vport_") in _Q_COUNTERS


class Whole:
    """A counter of 32 bits that goes on when it wraps."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._last = 0
        self._before = 0

    def take(self, value: int) -> int:
        """Take what the file says, and give what it would say with more bits. One that begins anew does so here."""
        if value < self._last:
            wrapped = value < _WRAP and self._last < _WRAP and value + _WRAP - self._last < _LIKELY
            self._before = self._before + _WRAP if wrapped else 0
        self._last = value
        return self._before + value
