# SPDX-License-Identifier: Apache-2.0
"""A simulated Spectrum switch as a process: the other end of the demo's NICs, told over OTLP as Cumulus Linux tells it.

python -m agent.simulation.switch --started-ns NS [--endpoint URL] [--parent PID]

Like an engine it waits for a line on standard input without --endpoint, and ends when its parent does. Its counters
come as gauges, its histograms as deltas without a sum, and its buffers in cells: what reads it has what a real one is.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from agent.clock import NS, SystemClock
from agent.simulation import DEMO
from agent.simulation.deployment import SimulatedEngine
from agent.simulation.load import loads

NAME: Final = "demo-leaf-01"
PORTS: Final = 8
_EXPORT: Final = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
_EVERY: Final = 1.0
_TIMEOUT: Final = 2.0
_TICK: Final = 0.1
"""Seconds after which the end of the parent is noticed."""
_SHARE: Final = 0.02
"""Of what a GPU's NVLinks carry goes over the network; see the simulated NICs."""
_PACKET: Final = 4096
_PER_MARK: Final = 200e6
"""Bytes between two marks of congestion."""
_CELL: Final = 192
_BOUNDS: Final = (863, 295_775, 590_687, 885_599, 1_180_511, 1_475_423, 1_770_335, 2_065_247, 2_360_159)
_SAMPLES: Final = 976_562
"""Readings of a queue's depth in a second: one each 1024 ns."""
_LLDP: Final = {"chassis_id": "02:00:00:00:01:00", "chassis_id_type": "mac"}

_COUNTERS: Final[Mapping[str, Callable[[float], float]]] = {
    "if_in_octets": lambda moved: moved,
    "if_out_octets": lambda moved: moved,
    "if_in_ucast_pkts": lambda moved: moved // _PACKET,
    "if_out_ucast_pkts": lambda moved: moved // _PACKET,
    "if_in_errors": lambda _: 0,
    "if_out_errors": lambda _: 0,
    "if_in_discards": lambda _: 0,
    "if_out_discards": lambda moved: moved // (2000 * _PER_MARK),
    "discards_egress_hoq": lambda _: 0,
    "performance_marked_packets": lambda moved: moved // _PER_MARK,
    "tx_wait": lambda moved: moved // 1000,
    "phy_stats_link_down_events": lambda _: 0,
    "phy_stats_phy_symbol_errors": lambda _: 0,
    "carrier_down_changes_total": lambda _: 1,
}
"""What the switch counts of a port, of the bytes that its NIC has moved in each direction."""


class SimulatedSwitch:
    """What the switch says, at any time since the simulation began."""

    def __init__(self, started: int) -> None:
        """Begin at `started`, ns of CLOCK_MONOTONIC."""
        self._loads = loads(PORTS, [SimulatedEngine(name, 0, started) for name in DEMO], DEMO)
        self._before = [0.0] * PORTS

    def export(self, monotonic_ns: int, unix_ns: int) -> ExportMetricsServiceRequest:
        """Say it at this time, by both clocks."""
        moved = [load.nvlink_bytes(monotonic_ns / NS)[0] * _SHARE for load in self._loads]
        found = ExportMetricsServiceRequest()
        resource = found.resource_metrics.add()
        resource.resource.attributes.add(key="net.host.name").value.string_value = NAME
        metrics = resource.scope_metrics.add().metrics
        for name, row in self._rows(moved):
            metric = metrics.add(name=f"nvswitch_{name}")
            for told, value in row:
                _named(metric.gauge.data_points.add(time_unix_nano=unix_ns, as_double=value), told)
        depth = metrics.add(name="nvswitch_histogram_interface_egress_buffer", unit="bytes").histogram
        depth.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        for index, (now, then) in enumerate(zip(moved, self._before, strict=True)):
            point = depth.data_points.add(time_unix_nano=unix_ns, count=_SAMPLES, explicit_bounds=_BOUNDS)
            point.bucket_counts.extend(_depths(now - then))
            _named(point, {"interface": _port(index), "tc": 3})
        self._before = moved
        return found

    def _rows(self, moved: Sequence[float]) -> Iterator[tuple[str, list[tuple[dict[str, str | int], float]]]]:
        ports = [({"interface": _port(index)}, bytes_) for index, bytes_ in enumerate(moved)]
        for name, of in _COUNTERS.items():
            yield f"interface_{name}", [({**told}, float(int(of(bytes_)))) for told, bytes_ in ports]
        yield "interface_oper_state", [({**told}, 1.0) for told, _ in ports]
        yield "interface_oper_aggregate_speed", [({**told}, 4e11) for told, _ in ports]
        rates = [(now - then, {**told, "tc": "3"}) for (told, now), then in zip(ports, self._before, strict=True)]
        yield "interface_shared_buffer_port_tc_curr_occupancy", [({**told}, rate // 1e8) for rate, told in rates]
        yield "buffer_cell_size_bytes", [({}, _CELL)]
        yield "ar_congestion_changes", [({}, sum(moved) // _PACKET)]
        yield "lldp_chassis_info", [({**_LLDP, "system_name": NAME, "system_description": "simulated"}, 1.0)]
        yield (
            "lldp_neighbor_info",
            [
                ({**told, "port_id": f"02:00:00:00:00:{index:02x}", "port_id_type": "mac", "system_name": "demo"}, 1.0)
                for index, (told, _) in enumerate(ports)
            ],
        )
        yield "platform_environment_temp_current", [({"name": "Temp1", "description": "Asic Temp Sensor"}, 54.0)]
        yield "platform_environment_psu_power", [({"name": f"PSU{number}"}, 420.0 + number) for number in (1, 2)]
        yield "platform_environment_psu_state", [({"name": f"PSU{number}"}, 1.0) for number in (1, 2)]


def _port(index: int) -> str:
    return f"swp{index + 1}s0"


def _depths(moved: float) -> list[int]:
    """Say how often a queue was how deep in a second: the deeper, the more went through."""
    deep = min(_SAMPLES // 2, int(moved / 2e4))
    counts = [0] * (len(_BOUNDS) + 1)
    for place in range(1, 4):
        counts[place] = deep >> 2 * place
    counts[0] = _SAMPLES - sum(counts)
    return counts


def _named(point: Any, told: Mapping[str, str | int]) -> None:
    for key, value in told.items():
        attribute = point.attributes.add(key=key).value
        if isinstance(value, int):
            attribute.int_value = value
        else:
            attribute.string_value = value


def tell(started: int, endpoint: str, alive: Callable[[], bool]) -> None:
    """Send what it says each second, while `alive`. What is not taken is not sent again: the next says more."""
    clock, switch = SystemClock(), SimulatedSwitch(started)
    due = clock.monotonic_ns()
    options = (("grpc.enable_http_proxy", 0),)
    with grpc.insecure_channel(endpoint.removeprefix("http://"), options=options) as channel:
        export = channel.unary_unary(_EXPORT)
        while alive():
            now = clock.monotonic_ns()
            if now >= due:
                due = now + int(_EVERY * NS)
                try:
                    export(switch.export(now, clock.unix_ns(now)).SerializeToString(), timeout=_TIMEOUT)
                except grpc.RpcError:
                    continue
            time.sleep(_TICK)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a process: see the module."""
    given = _arguments(argv)
    endpoint = given.endpoint or sys.stdin.readline().strip()
    if not endpoint:
        return 0  # Whoever was to say where has gone.
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stopped.append(number))
    tell(given.started_ns, endpoint, lambda: not stopped and os.getppid() == given.parent)
    # gRPC's threads would hold up the interpreter's own end.
    os._exit(0)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="agent.simulation.switch")
    parser.add_argument("--started-ns", required=True, type=int)
    parser.add_argument("--endpoint")
    parser.add_argument("--parent", type=int, default=os.getppid())
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
