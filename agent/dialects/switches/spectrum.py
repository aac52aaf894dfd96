# SPDX-License-Identifier: Apache-2.0
"""Spectrum switches with Cumulus Linux: the names of their OTLP export.

Source: "Open Telemetry Export", "ASIC Monitoring" and "High Frequency Telemetry" of Cumulus Linux 5.19.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from agent.catalogue import switch
from agent.dialects.rules import LeftOut
from agent.dialects.switches.rules import SwitchRule, SwitchTable, rule
from agent.metric import Metric

PREFIX = "nvswitch_"
_PORT = "nvswitch_interface_"
_BUFFER = f"{_PORT}shared_buffer_port_"
_PHY = f"{_PORT}phy_stats_"
_ENVIRONMENT = "nvswitch_platform_environment_"
_UP = 1
_BITS = 8
_NS = 1e9
_STATES = {1: "ok", 2: "failed", 3: "failed"}
_SENDS, _RECEIVES = {"direction": "transmit"}, {"direction": "receive"}
_CLASS, _GROUP, _PRIORITY = {"traffic_class": "tc"}, {"group": "pg"}, {"priority": "sp"}


def _directions(metric: Metric[Any], received: str, sent: str) -> Iterator[SwitchRule]:
    yield rule(metric, f"{_PORT}{received}", fixed=_RECEIVES)
    yield rule(metric, f"{_PORT}{sent}", fixed=_SENDS)


def _casts() -> Iterator[SwitchRule]:
    for word, cast in (("ucast", "unicast"), ("multicast", "multicast"), ("broadcast", "broadcast")):
        yield rule(switch.PORT_PACKETS, f"{_PORT}if_in_{word}_pkts", fixed={**_RECEIVES, "cast": cast})
        yield rule(switch.PORT_PACKETS, f"{_PORT}if_out_{word}_pkts", fixed={**_SENDS, "cast": cast})


def _causes() -> Iterator[SwitchRule]:
    for cause in (
        "ingress_policy_engine",
        "ingress_vlan_membership",
        "ingress_tag_frame_type",
        "ingress_tx_link_down",
        "egress_vlan_membership",
        "egress_policy_engine",
        "egress_stp_filter",
        "egress_hoq",
        "egress_hoq_stall",
        "egress_sll",
        "loopback_filter",
    ):
        yield rule(switch.PORT_DISCARD_CAUSES, f"{_PORT}discards_{cause}", fixed={"cause": cause})


def _buffers() -> Iterator[SwitchRule]:
    parts: tuple[tuple[str, str, Mapping[str, str]], ...] = (
        (f"{_BUFFER}pg", "priority_group", {"number": "pg"}),
        (f"{_BUFFER}tc", "traffic_class", {"number": "tc"}),
        (f"{_BUFFER}ingress_pool", "ingress_pool", {"number": "pool"}),
        (f"{_BUFFER}egress_pool", "egress_pool", {"number": "pool"}),
        (f"{_PORT}shared_buffer_mc_port", "multicast", {}),
        (f"{_PORT}headroom_buffer_pg", "headroom", {"number": "pg"}),
    )
    for name, buffer, labels in parts:
        told: dict[str, Any] = {"labels": labels, "fixed": {"buffer": buffer}, "cells": True}
        yield rule(switch.BUFFER_USAGE, f"{name}_curr_occupancy", **told)
        yield rule(switch.BUFFER_WATERMARK, f"{name}_watermark", **told)
    pool: dict[str, Any] = {"labels": {"pool": "pool"}, "cells": True}
    yield rule(switch.POOL_USAGE, "nvswitch_shared_buffer_pool_curr_occupancy", **pool)
    yield rule(switch.POOL_WATERMARK, "nvswitch_shared_buffer_pool_watermark", **pool)


def _parts() -> Iterator[SwitchRule]:
    name = {"part": "name"}
    sensor = {"sensor": "name", "location": "description"}
    yield rule(switch.TEMPERATURE, f"{_ENVIRONMENT}temp_current", labels=sensor)
    # The newer name first: both are sent for three releases.
    yield rule(switch.POWER, f"{_ENVIRONMENT}power_supply_power", f"{_ENVIRONMENT}psu_power", labels=name)
    yield rule(switch.FAN_SPEED, f"{_ENVIRONMENT}fan_cur_speed", labels=name)
    for kind, source in (("fan", "fan_state"), ("power_supply", "psu_state"), ("temperature", "temp_state")):
        fixed = {"kind": kind}
        yield rule(switch.PART_STATE, f"{_ENVIRONMENT}{source}", labels=name, fixed=fixed, states=_STATES)


SPECTRUM = SwitchTable(
    "spectrum",
    "Spectrum with Cumulus Linux",
    "Sent by the switch over OTLP. The table decides what is a counter: the switch sends most of its counters as "
    "gauges, some as sums, and a few as sums of no temporality. Buffers are told in cells and become bytes with the "
    "cell size that the switch sends beside them.",
    (
        rule(switch.PORT_UP, f"{_PORT}oper_state", bit=_UP),
        rule(switch.PORT_BANDWIDTH, f"{_PORT}oper_aggregate_speed", divide=_BITS),
        rule(switch.PORT_INFO, f"{_PORT}info", labels={"alias": "ifalias"}),
        rule(
            switch.NEIGHBOUR,
            "nvswitch_lldp_neighbor_info",
            labels={"system": "system_name", "neighbour": "port_id", "kind": "port_id_type", "chassis": "chassis_id"},
        ),
        rule(
            switch.INFO,
            "nvswitch_lldp_chassis_info",
            labels={"description": "system_description", "chassis": "chassis_id"},
            fixed={"kind": "spectrum", "source": "otlp"},
        ),
        # Octets of all that was received are told twice; with errors in it where the first is not sent.
        rule(switch.PORT_IO, f"{_PORT}if_in_octets", f"{_PORT}ether_stats_octets", fixed=_RECEIVES),
        rule(switch.PORT_IO, f"{_PORT}if_out_octets", fixed=_SENDS),
        *_casts(),
        *_directions(switch.PORT_ERRORS, "if_in_errors", "if_out_errors"),
        *_directions(switch.PORT_DISCARDS, "if_in_discards", "if_out_discards"),
        *_causes(),
        rule(switch.PORT_MARKED, f"{_PORT}performance_marked_packets"),
        *_directions(switch.PORT_PAUSES, "dot3_in_pause_frames", "dot3_out_pause_frames"),
        rule(switch.PORT_WAIT, f"{_PORT}tx_wait", divide=_NS),
        rule(switch.PORT_BUFFER_EVENTS, f"{_PORT}rx_buffer_almost_full", fixed={"state": "almost_full"}),
        rule(switch.PORT_BUFFER_EVENTS, f"{_PORT}rx_buffer_full", fixed={"state": "full"}),
        rule(switch.PORT_CARRIER, f"{_PORT}carrier_up_changes_total", fixed={"state": "up"}),
        rule(switch.PORT_CARRIER, f"{_PORT}carrier_down_changes_total", fixed={"state": "down"}),
        rule(switch.PORT_LINK_DOWNS, f"{_PHY}link_down_events"),
        rule(switch.PORT_LINK_ERRORS, f"{_PORT}dot3_stats_fcs_errors", fixed={"type": "fcs"}),
        rule(switch.PORT_LINK_ERRORS, f"{_PHY}phy_symbol_errors", fixed={"type": "symbol"}),
        rule(switch.PORT_LINK_ERRORS, f"{_PHY}phy_effective_errors", fixed={"type": "effective"}),
        rule(switch.PORT_CORRECTED, f"{_PHY}phy_corrected_bits"),
        rule(switch.PORT_BER, f"{_PHY}raw_ber", fixed={"type": "raw"}),
        rule(switch.PORT_BER, f"{_PHY}effective_ber", fixed={"type": "effective"}),
        rule(switch.PORT_BER, f"{_PHY}symbol_ber", fixed={"type": "symbol"}),
        rule(switch.CLASS_IO, f"{_PORT}tc_tx_octet", labels=_CLASS),
        rule(switch.CLASS_PACKETS, f"{_PORT}tc_tx_frames", labels=_CLASS),
        rule(switch.CLASS_MARKED, f"{_PORT}tc_tx_ecn_marked_tc", labels=_CLASS),
        rule(switch.CLASS_DISCARDS, f"{_PORT}tc_tx_no_buffer_discard_uc", labels=_CLASS, fixed={"cause": "no_buffer"}),
        rule(switch.CLASS_DISCARDS, f"{_PORT}tc_tx_wred_discard", labels=_CLASS, fixed={"cause": "wred"}),
        rule(switch.GROUP_IO, f"{_PORT}pg_rx_octet", labels=_GROUP),
        rule(switch.GROUP_PACKETS, f"{_PORT}pg_rx_frames", labels=_GROUP),
        rule(switch.PRIORITY_PAUSES, f"{_PORT}sp_rx_pause", labels=_PRIORITY, fixed=_RECEIVES),
        rule(switch.PRIORITY_PAUSES, f"{_PORT}sp_tx_pause", labels=_PRIORITY, fixed=_SENDS),
        rule(switch.PRIORITY_DISCARDS, f"{_PORT}sp_rx_discard", labels=_PRIORITY, fixed=_RECEIVES),
        *_buffers(),
        rule(
            switch.QUEUE_DEPTH,
            "nvswitch_histogram_interface_egress_buffer",
            labels={"number": "tc"},
            fixed={"buffer": "egress"},
        ),
        rule(
            switch.QUEUE_DEPTH,
            "nvswitch_histogram_interface_ingress_buffer",
            labels={"number": "pg"},
            fixed={"buffer": "ingress"},
        ),
        rule(switch.LATENCY, "nvswitch_histogram_interface_latency", labels=_CLASS, divide=_NS),
        rule(switch.ADAPTIVE_ROUTING, "nvswitch_ar_congestion_changes"),
        rule(switch.TRIMMED, "nvswitch_qos_trimmed_unicast_pkts"),
        rule(switch.PORT_TRIMMED, f"{_PORT}trimmed_unicast_pkts", fixed={"outcome": "trimmed"}),
        rule(switch.PORT_TRIMMED, f"{_PORT}trimmed_tx_unicast_pkts", fixed={"outcome": "sent"}),
        rule(switch.PORT_TRIMMED, f"{_PORT}trimmed_drop_unicast_pkts", fixed={"outcome": "dropped"}),
        rule(switch.STEP_TIME, f"{_PORT}step_time_estimate"),
        *_parts(),
    ),
    (
        LeftOut(
            "its unit is not documented",
            (
                f"{_PORT}sp_rx_pause_duration",
                f"{_PORT}sp_tx_pause_duration",
                f"{_PORT}tc_tx_queue",
                f"{_PORT}phy_layer_*",
            ),
        ),
        LeftOut(
            "is told by another name, in part or as a sum",
            (
                f"{_PORT}carrier_changes_total",
                f"{_PORT}if_out_pkts",
                f"{_PORT}tc_tx_uc_frames",
                f"{_PORT}802_dot3_a_frames_transmitted_ok",
                f"{_PORT}ether_stats_*",
                f"{_PORT}tx_stats_*",
                f"{_PORT}sp_rx_*",
                f"{_PORT}sp_tx_*",
                f"{_PORT}tc_trimmed_*",
                f"{_PHY}intentional_link_down_events",
                f"{_PHY}unintentional_link_down_events",
                f"{_ENVIRONMENT}power_supply_*",
                "nvswitch_interface_shared_buffer_port_tc_watermark_recorded_max_bytes",
            ),
        ),
        LeftOut(
            "counts since an operator's command, descriptors and not bytes, or how long ago watermarks were cleared",
            (f"{_BUFFER}*", f"{_PORT}shared_buffer_*", f"{_PORT}headroom_*", "nvswitch_shared_buffer_*"),
        ),
        LeftOut(
            "describes the switch itself and its configuration, not what passes through it",
            (
                f"{_PORT}mtu_bytes",
                f"{_PORT}iface_id",
                f"{_PORT}flags",
                f"{_PORT}proto_down",
                f"{_PORT}number_of_lanes",
                f"{_PORT}type",
                f"{_PORT}hw_address_info",
                f"{_PORT}carrier_last_change_time_ms",
                f"{_PORT}link_debounce_*",
                f"{_PORT}latency_measurement_*",
                f"{_ENVIRONMENT}*",
                "nvswitch_lldp_*",
                "nvswitch_platform_*",
                "nvswitch_acl_*",
                "nvswitch_dot1x_*",
                "nvswitch_srv6_*",
                "nvswitch_qos_*",
                "nvswitch_control_plane_*",
                "nvswitch_wjh_*",
                "nvrouting_*",
                "node_*",
            ),
        ),
        LeftOut(
            "is rare, or of no use for what this agent explains",
            (
                f"{_PORT}dot3_*",
                f"{_PORT}if_in_unknown_protos",
                f"{_PORT}no_buffer_discard_mc",
                f"{_PORT}rx_ebp",
                f"{_PORT}tx_ebp",
                f"{_PORT}tx_int_cksm_err",
                f"{_PORT}phy_rs_fec_histogram",
                f"{_PHY}*",
                "nvswitch_histogram_interface_counter*",
                "nvswitch_histogram_interface_microburst*",
            ),
        ),
    ),
    labels={"port": "interface"},
    cell_size="nvswitch_buffer_cell_size_bytes",
)
