# SPDX-License-Identifier: Apache-2.0
"""What the statistics of network drivers mean: a table from their names to metrics.

A statistic is a number and a name; whether it counts or measures, and in what, is only in the driver's documents. So
what is not in the table is not published, and counted. Sources: mlx5's counters.rst in the documentation of Linux, the
documentation of the ENA driver, the names that the bnxt driver has. docs/network.md is the table for readers.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from agent.catalogue.nic import (
    BUFFER_ALMOST_FULL,
    ECN_MARKED,
    ECN_RECEIVED,
    LINK_DOWNS,
    MODULE_EVENTS,
    NIC_DISCARDS,
    NIC_RDMA_IO,
    NIC_RDMA_PACKETS,
    PAUSE_DURATION,
    PAUSE_FRAMES,
    PAUSE_STORMS,
    PAUSE_TRANSITIONS,
    PCI_ERRORS,
    PCI_STALLED,
    PCI_STALLED_DURATION,
    PORT_ERRORS,
    PORT_IO,
    PORT_PACKETS,
    PRIORITY_IO,
)
from agent.metric import Metric, Series
from agent.network_entities import (
    Nic,
    NicAccess,
    NicDiscard,
    NicErrorKind,
    NicEvent,
    NicIo,
    NicPriority,
    NicPriorityIo,
    NicSeverity,
)

_MICRO = 1e-6
_PERCENT = 0.01


class Rule(NamedTuple):
    """Statistics whose names match `names` as a whole, the entity that a match makes, and what one of them is."""

    names: "re.Pattern[str]"
    metric: Metric[Any]
    entity: "Callable[[Nic, re.Match[str]], tuple[Any, ...]]"
    scale: float = 1.0
    used: bool = False
    """Whether it is left out while it is 0: one for each priority, most of which nobody uses."""


class Place(NamedTuple):
    """A statistic that is published: its place among those of the driver, its series, and what one of it is."""

    at: int
    series: Series
    scale: float
    used: bool


def places(nic: Nic, names: Sequence[str]) -> list[Place]:
    """Find what is published of the statistics of a driver. A series that two names stand for is that of the first."""
    found: dict[Series, Place] = {}
    for at, name in enumerate(names):
        for rule in RULES:
            if match := rule.names.fullmatch(name):
                series = rule.metric.series(rule.entity(nic, match))
                found.setdefault(series, Place(at, series, rule.scale, rule.used))
                break
    return list(found.values())


def _way(word: str) -> str:
    return "receive" if word == "rx" else "transmit"


def _io(nic: Nic, found: "re.Match[str]") -> NicIo:
    return NicIo(nic, _way(found["way"]))


def _priority_io(nic: Nic, found: "re.Match[str]") -> NicPriorityIo:
    return NicPriorityIo(nic, int(found["priority"]), _way(found["way"]))


def _link_io(nic: Nic, found: "re.Match[str]") -> NicPriorityIo:
    return NicPriorityIo(nic, None, _way(found["way"]))


def _priority(nic: Nic, found: "re.Match[str]") -> NicPriority:
    priority = found.groupdict().get("priority")
    return NicPriority(nic, None if priority is None else int(priority))


def _nic(nic: Nic, _: "re.Match[str]") -> Nic:
    return nic


def _access(nic: Nic, found: "re.Match[str]") -> NicAccess:
    return NicAccess(nic, "read" if found["access"] == "rd" else "write")


def _severity(nic: Nic, found: "re.Match[str]") -> NicSeverity:
    return NicSeverity(nic, found["severity"])


def _error(kind: str, direction: str | None = None) -> "Callable[[Nic, re.Match[str]], NicErrorKind]":
    def make(nic: Nic, found: "re.Match[str]") -> NicErrorKind:
        named = found.groupdict()
        way = _way(named["way"]) if "way" in named else direction
        return NicErrorKind(nic, kind, way, int(named["lane"]) if "lane" in named else None)

    return make


def _event(kind: str) -> "Callable[[Nic, re.Match[str]], NicEvent]":
    return lambda nic, _: NicEvent(nic, kind)


def _discard(reason: str, direction: str) -> "Callable[[Nic, re.Match[str]], NicDiscard]":
    def make(nic: Nic, found: "re.Match[str]") -> NicDiscard:
        priority = found.groupdict().get("priority")
        return NicDiscard(nic, reason, direction, None if priority is None else int(priority))

    return make


def _rule(
    names: str, metric: Metric[Any], entity: Callable[..., Any], scale: float = 1.0, *, used: bool = False
) -> Rule:
    return Rule(re.compile(names), metric, entity, scale, used)


_WAY = r"(?P<way>rx|tx)"
_PRIORITY = r"(?P<priority>[0-7])"

RULES: tuple[Rule, ...] = (
    # mlx5: RDMA of the function, which the kernel does not see.
    _rule(f"{_WAY}_vport_rdma_unicast_bytes", NIC_RDMA_IO, _io),
    _rule(f"{_WAY}_vport_rdma_unicast_packets", NIC_RDMA_PACKETS, _io),
    # mlx5: the physical port. Virtual functions have none of these.
    _rule(f"{_WAY}_bytes_phy", PORT_IO, _io),
    _rule(f"{_WAY}_packets_phy", PORT_PACKETS, _io),
    _rule("rx_discards_phy", NIC_DISCARDS, _discard("port_buffer", "receive")),
    _rule("tx_discards_phy", NIC_DISCARDS, _discard("port_buffer", "transmit")),
    _rule("rx_out_of_buffer", NIC_DISCARDS, _discard("out_of_buffer", "receive")),
    _rule("dev_out_of_buffer", NIC_DISCARDS, _discard("device_out_of_buffer", "receive")),
    _rule("rx_steer_missed_packets", NIC_DISCARDS, _discard("steering", "receive")),
    _rule(f"rx_prio{_PRIORITY}_discards", NIC_DISCARDS, _discard("priority", "receive"), used=True),
    _rule(f"rx_prio{_PRIORITY}_buf_discard", NIC_DISCARDS, _discard("buffer", "receive"), used=True),
    _rule(f"rx_prio{_PRIORITY}_cong_discard", NIC_DISCARDS, _discard("congestion", "receive"), used=True),
    _rule("tx_errors_phy", PORT_ERRORS, _error("transmit", "transmit")),
    _rule("rx_crc_errors_phy", PORT_ERRORS, _error("crc", "receive")),
    _rule("rx_symbol_err_phy", PORT_ERRORS, _error("symbol", "receive")),
    _rule("rx_pcs_symbol_err_phy", PORT_ERRORS, _error("pcs_symbol", "receive")),
    _rule("rx_corrected_bits_phy", PORT_ERRORS, _error("fec_corrected_bits", "receive")),
    _rule(r"rx_err_lane_(?P<lane>\d)_phy", PORT_ERRORS, _error("lane", "receive")),
    _rule("link_down_events_phy", LINK_DOWNS, _nic),
    _rule("rx_buffer_passed_thres_phy", BUFFER_ALMOST_FULL, _nic),
    _rule(f"{_WAY}_prio{_PRIORITY}_bytes", PRIORITY_IO, _priority_io, used=True),
    # mlx5: pauses. Durations are in microseconds.
    _rule(f"{_WAY}_global_pause", PAUSE_FRAMES, _link_io),
    _rule(f"{_WAY}_pause_ctrl_phy", PAUSE_FRAMES, _link_io),
    _rule(f"{_WAY}_prio{_PRIORITY}_pause", PAUSE_FRAMES, _priority_io),
    _rule(f"{_WAY}_global_pause_duration", PAUSE_DURATION, _link_io, _MICRO),
    _rule(f"{_WAY}_prio{_PRIORITY}_pause_duration", PAUSE_DURATION, _priority_io, _MICRO),
    _rule("rx_global_pause_transition", PAUSE_TRANSITIONS, _priority),
    _rule(f"rx_prio{_PRIORITY}_pause_transition", PAUSE_TRANSITIONS, _priority),
    _rule("tx_pause_storm_(?P<severity>warning|error)_events", PAUSE_STORMS, _severity),
    # mlx5: congestion marks.
    _rule("rx_ecn_mark", ECN_RECEIVED, _nic),
    _rule(f"rx_prio{_PRIORITY}_marked", ECN_MARKED, _priority, used=True),
    # mlx5: the way to the host. Stalls are percents of the last second, and events seconds with more than 30 of them.
    _rule("outbound_pci_stalled_(?P<access>rd|wr)", PCI_STALLED, _access, _PERCENT),
    _rule("outbound_pci_stalled_(?P<access>rd|wr)_events", PCI_STALLED_DURATION, _access),
    _rule("outbound_pci_buffer_overflow", PCI_ERRORS, _error("buffer_overflow", "transmit")),
    _rule(f"{_WAY}_pci_signal_integrity", PCI_ERRORS, _error("signal_integrity")),
    # mlx5: the transceiver or cable.
    _rule("module_plug", MODULE_EVENTS, _event("plug")),
    _rule("module_unplug", MODULE_EVENTS, _event("unplug")),
    _rule("module_bus_stuck", MODULE_EVENTS, _event("bus_stuck")),
    _rule("module_bad_shorted", MODULE_EVENTS, _event("bad_shorted")),
    _rule("module_high_temp", MODULE_EVENTS, _event("high_temperature")),
    # bnxt: all priorities have theirs, whether they may pause or not.
    _rule(f"{_WAY}_pause_frames", PAUSE_FRAMES, _link_io),
    _rule(f"{_WAY}_pfc_ena_frames_pri{_PRIORITY}", PAUSE_FRAMES, _priority_io, used=True),
    _rule(f"pfc_pri{_PRIORITY}_{_WAY}_duration_us", PAUSE_DURATION, _priority_io, _MICRO, used=True),
    _rule(f"pfc_pri{_PRIORITY}_rx_transitions", PAUSE_TRANSITIONS, _priority, used=True),
    _rule(f"{_WAY}_bytes_pri{_PRIORITY}", PRIORITY_IO, _priority_io, used=True),
    _rule("rx_fcs_err_frames", PORT_ERRORS, _error("crc", "receive")),
    _rule("rx_pcs_symbol_err", PORT_ERRORS, _error("pcs_symbol", "receive")),
    _rule("rx_corrected_bits", PORT_ERRORS, _error("fec_corrected_bits", "receive")),
    _rule("rx_buffer_passed_threshold", BUFFER_ALMOST_FULL, _nic),
    _rule("rx_stat_discard", NIC_DISCARDS, _discard("port_buffer", "receive")),
    _rule("link_down_events", LINK_DOWNS, _nic),
    # ENA: packets dropped because the instance used more than it is allowed.
    _rule("bw_in_allowance_exceeded", NIC_DISCARDS, _discard("bandwidth_in", "receive")),
    _rule("bw_out_allowance_exceeded", NIC_DISCARDS, _discard("bandwidth_out", "transmit")),
    _rule("pps_allowance_exceeded", NIC_DISCARDS, _discard("packet_rate", "receive")),
    _rule("conntrack_allowance_exceeded", NIC_DISCARDS, _discard("connections", "receive")),
    _rule("linklocal_allowance_exceeded", NIC_DISCARDS, _discard("link_local", "transmit")),
)
"""The first rule that matches counts."""
