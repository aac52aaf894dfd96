# SPDX-License-Identifier: Apache-2.0
"""What alerts compare with: each limit and period with its default, and how a file of others is read."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agent.unit import Unit

_DURATION = re.compile(r"([0-9]+(ms|[smhdwy]))+")
_BURN = 14.4
"""The fastest burn that is looked for: a month's budget of errors in two days."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A number to compare with."""

    name: str
    default: float
    unit: Unit
    brief: str


@dataclass(frozen=True, slots=True)
class Period:
    """A time to look back, as Prometheus writes it: 15m, 1h30m, 1d."""

    name: str
    default: str
    brief: str


Threshold: TypeAlias = Limit | Period

GPU_REMEMBERED = Period(
    "gpu.remembered", "1d", "How long a GPU, or the agent's view of one, is missed after it was seen."
)
READING_AGE = Limit("gpu.reading.age", 60, Unit.SECONDS, "Age of the last reading of a GPU.")
XID_RECENT = Limit("gpu.xid.recent", 900, Unit.SECONDS, "How long an XID is told of after it was last seen.")
XID_REPEATED = Limit("gpu.xid.repeated", 5, Unit.EVENTS, "Events of one application XID on one GPU in an hour.")
ECC_RECENT = Period("gpu.ecc.recent", "1h", "How long an uncorrectable error is told of.")
THERMAL_SHARE = Limit("gpu.thermal_slowdown.share", 0.05, Unit.RATIO, "Share of time that heat holds clocks down.")
BRAKE_SHARE = Limit("gpu.power_brake.share", 0.01, Unit.RATIO, "Share of time that the power brake is on.")
MARGIN = Limit("gpu.temperature.margin", 5, Unit.CELSIUS, "Distance to the temperature that slows a GPU down.")
POWER_CAP_SHARE = Limit("gpu.power_cap.share", 0.9, Unit.RATIO, "Share of time at the power limit.")
POWER_LIMIT_SHARE = Limit("gpu.power_limit.share", 0.9, Unit.RATIO, "Power limit in force, of the board's default.")
IDLE_UTILIZATION = Limit("gpu.idle.utilization", 0.02, Unit.RATIO, "Utilization under which a GPU is idle.")
IDLE_MEMORY = Limit("gpu.idle.memory", 0.1, Unit.RATIO, "Memory in use above which a GPU is allocated.")
IDLE_PERIOD = Period("gpu.idle.period", "1h", "How long an allocated GPU was idle.")
CLOCK_SHARE = Limit("gpu.clock.share", 0.5, Unit.RATIO, "SM clock, of its highest.")
CLOCK_UTILIZATION = Limit("gpu.clock.utilization", 0.5, Unit.RATIO, "Utilization above which low clocks are wrong.")

NVLINK_ERROR_RATE = Limit("nvlink.errors.rate", 1, Unit.ERRORS, "Errors of a link a second that were repaired.")
NVLINK_RECOVERIES = Limit("nvlink.recoveries", 3, Unit.ERRORS, "Recoveries of a link in an hour.")
LINK_RECENT = Period("link.recent", "1h", "How long an error that was not repaired is told of.")
PCIE_PERIOD = Period("pcie.period", "30m", "How long a busy GPU did not reach its PCIe generation.")
PCIE_UTILIZATION = Limit("pcie.utilization", 0.5, Unit.RATIO, "Utilization that wakes a PCIe link for sure.")
PCIE_REPLAY_RATE = Limit("pcie.replays.rate", 0.1, Unit.ERRORS, "PCIe packets a second that were sent again.")
C2C_ERROR_RATE = Limit("c2c.errors.rate", 0.1, Unit.ERRORS, "CRC errors of a C2C link a second.")

NETWORK_REMEMBERED = Period("network.remembered", "1d", "How long a port or interface that went down is missed.")
CARRIER = Limit("network.carrier_changes", 4, Unit.EVENTS, "Changes of an interface's carrier in an hour.")
NIC_ERROR_RATE = Limit("network.errors.rate", 0.1, Unit.ERRORS, "Errors of an interface a second.")
DISCARD_RATE = Limit("network.discards.rate", 1, Unit.PACKETS, "Packets a second that an interface or port discards.")
PAUSED_SHARE = Limit("network.paused.share", 0.1, Unit.RATIO, "Share of time that the network pauses an interface.")
STORM_RECENT = Period("network.storm.recent", "15m", "How long a pause storm is told of.")
MARKED_SHARE = Limit("rdma.marked.share", 0.05, Unit.RATIO, "Share of RDMA packets that were marked as congested.")
RETRANSMIT_RATE = Limit("rdma.retransmits.rate", 1, Unit.EVENTS, "Signs of loss of an RDMA port a second.")
LINK_DOWNS = Limit("rdma.link_downs", 3, Unit.EVENTS, "Losses or recoveries of an RDMA link in an hour.")
SWITCH_SILENCE = Limit("switch.silence", 300, Unit.SECONDS, "Time since a switch was heard of.")

MEMORY_PRESSURE = Limit("host.memory.pressure", 0.1, Unit.RATIO, "Share of time that everything waits for memory.")
CPU_PRESSURE = Limit("host.cpu.pressure", 0.8, Unit.RATIO, "Share of time that some task waits for a CPU.")
FILESYSTEM_FREE = Limit("host.filesystem.free", 0.05, Unit.RATIO, "Share of a file system that is free.")
TCP_RETRANSMITS = Limit("host.tcp.retransmits", 0.02, Unit.RATIO, "Share of TCP segments that are sent again.")
LISTEN_OVERFLOWS = Limit("host.listen.overflows", 10, Unit.EVENTS, "Connections that found a full queue in 15 minutes.")

FIRST_TOKEN = Limit(
    "slo.time_to_first_token.limit", 2.5, Unit.SECONDS, "Time to first token that is in time. A bucket must end at it."
)
FIRST_TOKEN_OBJECTIVE = Limit(
    "slo.time_to_first_token.objective", 0.99, Unit.RATIO, "Share of requests whose first token is to be in time."
)
PER_TOKEN = Limit(
    "slo.time_per_output_token.limit",
    0.1,
    Unit.SECONDS,
    "Time per output token that is in time. A bucket must end at it.",
)
PER_TOKEN_OBJECTIVE = Limit(
    "slo.time_per_output_token.objective", 0.99, Unit.RATIO, "Share of requests whose further tokens are to be in time."
)
TRAFFIC = Limit("inference.traffic", 0.01, Unit.REQUESTS_PER_SECOND, "Requests a second under which shares say little.")
QUEUE = Limit("inference.queue", 10, Unit.REQUESTS, "Requests that wait while the queue grows.")
KV_CACHE = Limit("inference.kv_cache", 0.95, Unit.RATIO, "Share of the KV cache in use.")
ERRORS = Limit("inference.errors", 0.05, Unit.RATIO, "Share of requests that end in an error.")
ENGINE_REMEMBERED = Period("inference.engine.remembered", "1h", "How long an engine that went away is missed.")

REGRESSION = Limit("energy.regression", 1.2, Unit.RATIO, "Energy per output token, of that of a week before.")
IDLE_SHARE = Limit("energy.idle.share", 0.5, Unit.RATIO, "Share of a node's GPU energy drawn while no request ran.")
UNATTRIBUTED_SHARE = Limit("energy.unattributed.share", 0.3, Unit.RATIO, "Share of a GPU's energy no span explains.")

RACK_REMEMBERED = Period("rack.remembered", "1d", "How long GPUs that left an NVLink domain are missed.")

AGENT_REMEMBERED = Period("agent.remembered", "1h", "How long an agent that went away is missed.")
SILENCE = Limit("agent.reader.silence", 30, Unit.SECONDS, "Time since the reader process was heard.")
MISSED = Limit("agent.collector.missed", 10, Unit.EVENTS, "Runs of a collector left out in ten minutes.")
DURATION = Limit("agent.collector.duration", 0.5, Unit.SECONDS, "Longest run of a collector in ten minutes.")
READINGS_AGE = Limit("agent.readings.age", 300, Unit.SECONDS, "Time since any collector of an agent succeeded.")
CLOCK = Limit("agent.clock", 30, Unit.SECONDS, "How far a node's clock is before that of Prometheus.")
REFUSALS = Limit("agent.receiver.refusals", 10, Unit.REQUESTS, "Requests of one kind refused in 15 minutes.")
PUSH_AGE = Limit("agent.exporter.age", 300, Unit.SECONDS, "Time since the last push that succeeded.")

THRESHOLDS: Mapping[str, Threshold] = {
    value.name: value for value in list(globals().values()) if isinstance(value, Limit | Period)
}


class ThresholdError(ValueError):
    """A file of thresholds says what cannot be."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The values in force: the defaults, and what a file has instead."""

    given: Mapping[str, float | str] = field(default_factory=dict)

    def limit(self, limit: Limit) -> float:
        """Give the number to compare with."""
        return float(self.given.get(limit.name, limit.default))

    def period(self, period: Period) -> str:
        """Give the time to look back."""
        return str(self.given.get(period.name, period.default))

    def budget(self, objective: Limit) -> float:
        """Give the share that may fail. Raises ThresholdError where no burn could ever be seen."""
        budget = round(1 - self.limit(objective), 12)
        if not 0 < budget * _BURN < 1:
            raise ThresholdError(
                f"{objective.name}: {self.limit(objective):g} is not between {1 - 1 / _BURN:.3f} and 1"
            )
        return budget


def thresholds(document: Any) -> Thresholds:
    """Read what a file says: names with dots, or maps in maps. Raises ThresholdError, which says where and what."""
    if document is None:
        return Thresholds()
    if not isinstance(document, Mapping):
        raise ThresholdError("a file of thresholds maps names to values")
    return Thresholds(dict(_checked(name, value) for name, value in _flat("", document)))


def _flat(prefix: str, document: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(f"{name}.", value)
        else:
            yield name, value


def _checked(name: str, value: Any) -> tuple[str, float | str]:
    threshold = THRESHOLDS.get(name)
    if threshold is None:
        near = difflib.get_close_matches(name, THRESHOLDS, 1, 0)
        raise ThresholdError(f"{name}: there is no such threshold; the nearest is {near[0]}")
    if isinstance(threshold, Period):
        if not isinstance(value, str) or not _DURATION.fullmatch(value):
            raise ThresholdError(f"{name}: {value!r} is no period such as {threshold.default}")
        return name, value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ThresholdError(f"{name}: {value!r} is no number such as {threshold.default:g}")
    return name, float(value)
