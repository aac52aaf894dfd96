# SPDX-License-Identifier: Apache-2.0
"""The demo's switch tells what a real one tells, and what it tells is understood."""

from agent.catalogue import switch
from agent.clock import NS
from agent.simulation.switch import NAME, PORTS, SimulatedSwitch
from tests.switches.told import T0, Hearing


def test_what_it_tells_is_understood_whole_and_goes_on() -> None:
    hearing, simulated = Hearing(), SimulatedSwitch(0)
    sent = []
    for second in range(1, 31):
        hearing.clock.advance(1)
        hearing.hear(simulated.export(second * NS, T0 + second * NS))
        sent.append(hearing.value(switch.PORT_IO, switch_port="swp1s0", network_io_direction="transmit") or 0.0)
    assert sent == sorted(sent)
    assert sent[-1] > sent[0] > 0
    outcomes = {one.series.entity[0] for one in hearing.told if one.series.metric is switch.POINTS}
    # What its buffers hold is told before the size of a cell is, once.
    assert outcomes == {"taken", "left_out"}
    assert hearing.value(switch.INFO, switch=NAME) == 1


def test_each_of_its_ports_has_the_nic_of_a_gpu_at_its_other_end() -> None:
    hearing = Hearing().hear(SimulatedSwitch(0).export(NS, T0))
    for index in range(PORTS):
        labels = {"switch_port": f"swp{index + 1}s0", "lldp_port_id": f"02:00:00:00:00:{index:02x}"}
        assert hearing.value(switch.NEIGHBOUR, **labels) == 1


def test_its_queues_are_sampled_as_often_as_those_of_a_real_one() -> None:
    request = SimulatedSwitch(0).export(10 * NS, T0)
    (metric,) = [
        metric
        for metric in request.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "nvswitch_histogram_interface_egress_buffer"
    ]
    for point in metric.histogram.data_points:
        assert sum(point.bucket_counts) == point.count
        assert not point.HasField("sum")
