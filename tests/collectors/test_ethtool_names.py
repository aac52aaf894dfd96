# SPDX-License-Identifier: Apache-2.0
"""The table of drivers' statistics: what each is, in base units, and that what is not known stays unknown."""

import pytest

from agent.collectors.ethtool_names import RULES, places
from agent.entity import attributes
from agent.metric import Counter, Gauge
from agent.network_entities import Nic

NIC = Nic("0000:18:00.0", "eth0")


def told(name: str) -> tuple[str, dict[str, str], float] | None:
    found = places(NIC, [name])
    if not found:
        return None
    (place,) = found
    own = dict(attributes(place.series.entity)[3:])  # Without hw.id, hw.type and hw.name.
    return place.series.metric.name, own, place.scale


RECEIVE, TRANSMIT = {"network.io.direction": "receive"}, {"network.io.direction": "transmit"}


@pytest.mark.parametrize(
    ("name", "metric", "own", "scale"),
    [
        ("rx_vport_rdma_unicast_bytes", "joulespan.nic.rdma.io", RECEIVE, 1),
        ("tx_bytes_phy", "joulespan.nic.port.io", TRANSMIT, 1),
        ("rx_prio3_pause_duration", "joulespan.nic.pause.duration", {"priority": "3", **RECEIVE}, 1e-6),
        ("tx_global_pause", "joulespan.nic.pause.frames", TRANSMIT, 1),
        ("rx_prio7_cong_discard", "joulespan.nic.discards", {"reason": "congestion", **RECEIVE, "priority": "7"}, 1),
        ("outbound_pci_stalled_wr", "joulespan.nic.pci.stalled", {"access": "write"}, 0.01),
        ("outbound_pci_stalled_wr_events", "joulespan.nic.pci.stalled.duration", {"access": "write"}, 1),
        ("rx_err_lane_2_phy", "joulespan.nic.port.errors", {"error.type": "lane", **RECEIVE, "lane": "2"}, 1),
        ("module_high_temp", "joulespan.nic.module.events", {"event": "high_temperature"}, 1),
        ("pfc_pri3_rx_duration_us", "joulespan.nic.pause.duration", {"priority": "3", **RECEIVE}, 1e-6),
        ("tx_pfc_ena_frames_pri3", "joulespan.nic.pause.frames", {"priority": "3", **TRANSMIT}, 1),
        ("pps_allowance_exceeded", "joulespan.nic.discards", {"reason": "packet_rate", **RECEIVE}, 1),
    ],
)
def test_a_known_statistic_is_what_its_driver_says(name: str, metric: str, own: dict[str, str], scale: float) -> None:
    assert told(name) == (metric, own, scale)


@pytest.mark.parametrize(
    "name",
    ["rx_bytes", "rx0_bytes", "ch12_events", "rx_prio8_bytes", "rx_prio3_bytes_phy", "RX_ECN_MARK", "", "rx_ecn_mark "],
)
def test_an_unknown_statistic_is_not_guessed(name: str) -> None:
    assert told(name) is None


def test_only_the_stalls_are_gauges() -> None:
    kinds = {rule.metric.name: type(rule.metric) for rule in RULES}
    assert {name for name, kind in kinds.items() if kind is Gauge} == {"joulespan.nic.pci.stalled"}
    assert {kind for name, kind in kinds.items() if name != "joulespan.nic.pci.stalled"} == {Counter}


def test_of_two_names_of_the_same_the_first_counts() -> None:
    found = places(NIC, ["x", "rx_global_pause", "rx_pause_ctrl_phy", "rx_pause_frames"])
    assert [place.at for place in found] == [1]
