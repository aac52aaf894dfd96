# SPDX-License-Identifier: Apache-2.0
"""Spectrum switches over OTLP: what they tell comes out with the right type and unit, each of their quirks included."""

from pathlib import Path

import pytest

from agent.catalogue import switch
from agent.dialects.switches.spectrum import SPECTRUM
from agent.metric import Counter, Gauge
from tests.switches.told import Hearing, buckets, export, gauge, point, request

GOLDEN = Path(__file__).parents[1] / "golden" / "switch-spectrum.txt"
OUT = "nvswitch_interface_if_out_octets"
SENT = {"switch_port": "swp1s0", "network_io_direction": "transmit"}


def outcomes(hearing: Hearing) -> dict[str, float]:
    return {one.series.entity[0]: one.value for one in hearing.told if one.series.metric is switch.POINTS}


def test_an_export_comes_out_whole() -> None:
    hearing = Hearing().hear(export("spectrum.json"))
    hearing.clock.advance(1)
    found = hearing.hear(export("spectrum-next.json")).text()
    if not GOLDEN.exists():
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_what_comes_as_a_gauge_is_a_counter_where_the_table_says_so() -> None:
    hearing = Hearing().hear(request(gauge(OUT, point(100, 0, interface="swp1s0"))))
    assert isinstance(switch.PORT_IO, Counter)
    assert hearing.value(switch.PORT_IO, **SENT) == 100
    hearing.hear(request(gauge(OUT, point(160, 1, interface="swp1s0"))))
    assert hearing.value(switch.PORT_IO, **SENT) == 160


def test_a_counter_that_falls_began_again_and_what_is_told_of_it_goes_on() -> None:
    hearing = Hearing()
    for second, value in enumerate((1000, 1500, 20, 50)):
        hearing.hear(request(gauge(OUT, point(value, second, interface="swp1s0"))))
    assert hearing.value(switch.PORT_IO, **SENT) == 1550


def test_a_monotonic_sum_and_a_sum_of_no_temporality_and_a_gauge_say_the_same() -> None:
    for form in (
        {"sum": {"dataPoints": [point(7, 1, interface="swp1s0")], "aggregationTemporality": 2, "isMonotonic": True}},
        {"sum": {"dataPoints": [point(7, 1, interface="swp1s0")]}},
        {"gauge": {"dataPoints": [point(7, 1, interface="swp1s0")]}},
    ):
        hearing = Hearing().hear(request(gauge(OUT, point(5, 0, interface="swp1s0"))), request({"name": OUT, **form}))
        assert hearing.value(switch.PORT_IO, **SENT) == 7


def test_a_sum_of_deltas_is_added_up_and_one_that_comes_twice_counts_once() -> None:
    hearing = Hearing()
    for second in (0, 1, 1, 2):
        points = [point(5, second, interface="swp1s0")]
        hearing.hear(request({"name": OUT, "sum": {"dataPoints": points, "aggregationTemporality": 1}}))
    assert hearing.value(switch.PORT_IO, **SENT) == 15
    assert outcomes(hearing)["late"] == 1


def test_a_gauge_stays_one_whatever_type_it_comes_with() -> None:
    name = "nvswitch_interface_oper_aggregate_speed"
    points = [point(4e11, 0, interface="swp1s0")]
    hearing = Hearing().hear(request({"name": name, "sum": {"dataPoints": points, "aggregationTemporality": 1}}))
    assert isinstance(switch.PORT_BANDWIDTH, Gauge)
    assert hearing.value(switch.PORT_BANDWIDTH, switch_port="swp1s0") == 5e10
    hearing.hear(request(gauge(name, point(2e11, 1, interface="swp1s0"))))
    assert hearing.value(switch.PORT_BANDWIDTH, switch_port="swp1s0") == 2.5e10


def histogram(*points: object, temporality: int) -> dict[str, object]:
    data = {"dataPoints": [*points], "aggregationTemporality": temporality}
    return {"name": "nvswitch_histogram_interface_egress_buffer", "unit": "bytes", "histogram": data}


@pytest.mark.parametrize("temporality", [0, 1])
def test_histograms_are_deltas_by_default_and_are_added_up(temporality: int) -> None:
    hearing = Hearing()
    for second in range(3):
        told = buckets([5, 2, 1], [863, 1180511], second, interface="swp1s0", tc=3)
        hearing.hear(request(histogram(told, temporality=temporality)))
    found = hearing.distribution(switch.QUEUE_DEPTH)
    assert found is not None
    assert (found.counts, found.buckets, found.total) == ((15, 6, 3), (863, 1180511), None)


def test_cumulative_histograms_are_as_they_are_until_they_begin_again() -> None:
    hearing = Hearing()
    for second, counts in enumerate(([5, 2, 1], [9, 2, 1], [1, 0, 0], [2, 0, 1])):
        told = buckets(counts, [863, 1180511], second, interface="swp1s0", tc=3)
        hearing.hear(request(histogram(told, temporality=2)))
    found = hearing.distribution(switch.QUEUE_DEPTH)
    assert found is not None
    assert found.counts == (11, 2, 2)


def test_a_histogram_that_is_configured_anew_begins_again() -> None:
    hearing = Hearing()
    for second, bounds in enumerate(([863, 1180511], [863, 1180511], [767, 9600])):
        told = buckets([5, 2, 1], [*map(float, bounds)], second, interface="swp1s0", tc=3)
        hearing.hear(request(histogram(told, temporality=1)))
    found = hearing.distribution(switch.QUEUE_DEPTH)
    assert found is not None
    assert (found.counts, found.buckets) == ((5, 2, 1), (767, 9600))


def test_a_priority_group_is_the_same_as_a_text_and_as_a_number() -> None:
    name = "nvswitch_interface_pg_rx_octet"
    text, number = point(100, 0, interface="swp1s0", pg="3"), point(130, 1, interface="swp1s0", pg=3)
    hearing = Hearing().hear(request(gauge(name, text)), request(gauge(name, number)))
    assert hearing.value(switch.GROUP_IO, switch_port="swp1s0", switch_priority_group="3") == 130


def test_cells_become_bytes_and_are_absent_until_the_size_of_a_cell_is_known() -> None:
    usage = gauge("nvswitch_interface_shared_buffer_port_pg_curr_occupancy", point(1000, 0, interface="swp1s0", pg=3))
    hearing = Hearing().hear(request(usage))
    assert hearing.value(switch.BUFFER_USAGE) is None
    hearing.hear(request(gauge("nvswitch_buffer_cell_size_bytes", point(192))), request(usage))
    assert hearing.value(switch.BUFFER_USAGE, switch_buffer="priority_group", switch_buffer_number="3") == 192_000


def test_waiting_is_told_in_ns_and_latency_too() -> None:
    hearing = Hearing().hear(export("spectrum.json"))
    assert hearing.value(switch.PORT_WAIT, switch_port="swp1s0") == 1.5
    latency = hearing.distribution(switch.LATENCY)
    assert latency is not None
    assert latency.buckets[:2] == (3.19e-07, 8.31e-07)


def test_the_state_of_a_port_is_a_set_of_bits() -> None:
    name = "nvswitch_interface_oper_state"
    points = [point(value, interface=f"swp{value}") for value in (0, 1, 2, 4, 8, 9)]
    hearing = Hearing().hear(request(gauge(name, *points)))
    found = [hearing.value(switch.PORT_UP, switch_port=f"swp{value}") for value in (0, 1, 2, 4, 8, 9)]
    assert found == [0, 1, 0, 0, 0, 1]


def test_of_two_names_for_the_same_the_better_counts_and_taking_over_is_no_jump() -> None:
    good, worse = "nvswitch_interface_if_in_octets", "nvswitch_interface_ether_stats_octets"
    received = {"switch_port": "swp1s0", "network_io_direction": "receive"}
    hearing = Hearing().hear(request(gauge(worse, point(1000, 0, interface="swp1s0"))))
    hearing.hear(request(gauge(good, point(900, 1, interface="swp1s0"))))
    hearing.hear(request(gauge(worse, point(1200, 1.5, interface="swp1s0"))))
    assert hearing.value(switch.PORT_IO, **received) == 1000
    hearing.hear(request(gauge(good, point(950, 2, interface="swp1s0"))))
    assert hearing.value(switch.PORT_IO, **received) == 1050


def test_adaptive_routing_counts_choices_and_is_not_called_congestion() -> None:
    hearing = Hearing().hear(export("spectrum.json"))
    assert hearing.value(switch.ADAPTIVE_ROUTING, switch="leaf-01") == 11051568563473


def test_what_is_told_late_is_left_out_unless_the_clock_was_set_back() -> None:
    hearing = Hearing()
    for second, value in ((10, 1000), (9, 900), (-3600, 1100)):
        hearing.hear(request(gauge(OUT, point(value, second, interface="swp1s0"))))
    assert hearing.value(switch.PORT_IO, **SENT) == 1100
    assert outcomes(hearing)["late"] == 1


def test_a_switch_that_falls_silent_is_absent_and_when_it_was_heard_is_not() -> None:
    hearing = Hearing()
    for second in range(3):
        hearing.hear(request(gauge(OUT, point(second, second, interface="swp1s0"))))
        hearing.clock.advance(1)
    last = hearing.value(switch.LAST_SEEN, switch="leaf-01")
    hearing.clock.advance(20)
    hearing.look()
    assert hearing.sources() == set()
    assert hearing.value(switch.LAST_SEEN, switch="leaf-01") == last
    hearing.clock.advance(3600)
    hearing.look()
    assert hearing.value(switch.LAST_SEEN) is None


def test_a_port_that_is_no_longer_told_of_is_absent_and_the_others_are_not() -> None:
    hearing = Hearing()
    both = [point(1, second, interface=port) for second in (0, 1) for port in ("swp1s0", "swp1s1")]
    hearing.hear(request(gauge(OUT, *both)))
    for second in range(2, 30):
        hearing.clock.advance(1)
        hearing.hear(request(gauge(OUT, point(1, second, interface="swp1s1"))))
    assert hearing.value(switch.PORT_IO, switch_port="swp1s0") is None
    assert hearing.value(switch.PORT_IO, switch_port="swp1s1") == 1


def test_what_is_told_once_a_minute_is_believed_for_three() -> None:
    hearing = Hearing()
    name = "nvswitch_platform_environment_temp_current"
    for second in (0, 60):
        hearing.hear(request(gauge(name, point(50, second, name="Temp4"))))
        hearing.clock.advance(60)
    hearing.clock.advance(100)
    hearing.look()
    assert hearing.value(switch.TEMPERATURE) == 50
    hearing.clock.advance(30)
    hearing.look()
    assert hearing.value(switch.TEMPERATURE) is None


def test_series_ports_and_switches_are_bounded_and_what_found_no_room_is_counted() -> None:
    hearing = Hearing(most=10)
    hearing.hear(request(gauge(OUT, *(point(1, interface=f"swp{number}") for number in range(25)))))
    assert len({one.series for one in hearing.snapshots.current.samples()}) == 10 + 1
    assert outcomes(hearing) == {"taken": 10, "full": 15}
    wide = Hearing().hear(request(gauge(OUT, *(point(1, interface=f"swp{number}") for number in range(1100)))))
    assert outcomes(wide) == {"taken": 1024, "full": 76}
    many = Hearing()
    many.hear(*(request(gauge(OUT, point(1, interface="swp1")), switch=f"leaf-{number}") for number in range(1030)))
    assert outcomes(many) == {"taken": 1024, "full": 6}


def test_room_that_is_given_back_is_there_again() -> None:
    hearing = Hearing(most=10)
    for begin in (0, 100):
        hearing.hear(request(gauge(OUT, *(point(1, begin, interface=f"swp{begin + port}") for port in range(10)))))
        hearing.clock.advance(400)
        hearing.look()
    assert outcomes(hearing) == {"taken": 20}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e30])
def test_what_no_counter_can_be_is_malformed(value: float) -> None:
    message = request(gauge(OUT, point(0, interface="swp1s0")))
    message.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].as_double = value
    hearing = Hearing().hear(message)
    assert outcomes(hearing) == {"malformed": 1}
    assert hearing.sources() == set()


def test_names_are_taken_or_left_out_for_a_reason_or_unknown() -> None:
    hearing = Hearing().hear(
        request(
            gauge(OUT, point(1, interface="swp1s0")),
            gauge("nvswitch_interface_sp_rx_pause_duration", point(1, interface="swp1s0", sp="3")),
            gauge("node_cpu_seconds_total", point(1, cpu="0")),
            gauge("nvswitch_interface_of_a_release_to_come", point(1, interface="swp1s0")),
            gauge("nvswitch_interface_tc_tx_octet", point(1, interface="swp1s0")),
        )
    )
    assert outcomes(hearing) == {"taken": 1, "left_out": 2, "unknown": 1, "malformed": 1}


def test_what_is_of_no_switch_is_left_to_others() -> None:
    hearing = Hearing()
    assert not hearing.switches.take(request(gauge("vllm_requests", point(1)), switch=""))
    assert hearing.switches.take(request(gauge(OUT, point(1, interface="swp1s0"))))
    assert hearing.switches.take(request(gauge("node_load1", point(1))))
    assert not hearing.switches.take(request(gauge("node_load1", point(1)), switch="node-a"))


def test_a_name_is_one_line_of_a_bounded_length_and_one_of_a_resource_is_enough() -> None:
    hearing = Hearing()
    metric = gauge(OUT, point(1, interface=" swp1s0\n"))
    hearing.hear(request(metric, switch="leaf\n01"), request(metric, switch="x" * 1000), request(metric, switch=""))
    assert hearing.sources() == {"leaf 01", "x" * 256}
    assert hearing.value(switch.PORT_IO, switch="leaf 01", switch_port="swp1s0") == 1
    assert outcomes(hearing) == {"taken": 2, "malformed": 1}
    other = request(metric, switch="")
    other.resource_metrics[0].resource.attributes.add(key="host.name").value.string_value = "leaf-02"
    assert hearing.hear(other).value(switch.PORT_IO, switch="leaf-02") == 1


def test_no_name_is_both_read_and_left_out_by_name() -> None:
    left = {name for group in SPECTRUM.left_out for name in group.names if not name.endswith("*")}
    assert left & {*SPECTRUM.names()} == set()


def test_a_batch_keeps_its_layout_while_the_same_series_are_told() -> None:
    hearing = Hearing().hear(export("spectrum.json"))
    (before,) = (batch.series for source, batch in hearing.snapshots.current.batches.items() if source.device)
    hearing.hear(export("spectrum-next.json"))
    (after,) = (batch.series for source, batch in hearing.snapshots.current.batches.items() if source.device)
    assert before is after


def test_a_fault_in_bringing_it_up_to_date_leaves_nothing_that_is_old() -> None:
    hearing = Hearing().hear(export("spectrum.json"))
    assert hearing.sources() == {"leaf-01"}
    hearing.clock.epoch = "no time"  # type: ignore[assignment]
    with pytest.raises(TypeError):
        hearing.look()
    assert hearing.sources() == set()
