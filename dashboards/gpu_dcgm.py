# SPDX-License-Identifier: Apache-2.0
"""The GPU dashboard for those who keep dcgm-exporter: the same questions, asked of its names.

Joulespan answers them too where `exporters.prometheus.dcgm_names` is on. Panels of fields that dcgm-exporter leaves out
by default say so.
"""

from agent.catalogue import gpu, health, links
from agent.catalogue.dcgm import LAST_XID, counter, gauge
from agent.promql import Expr, Regex, Scope
from dashboards.grafana import ANY_IS_NOTED, GREEN, RED, Draw, Look, Query, Step
from dashboards.measures import FULL
from dashboards.page import Dashboard, Line, Row, choice, line
from dashboards.panels import graph, stat, timeline

_NAME = "GPU {gpu}"
_OFF = "dcgm-exporter leaves this field out by default: add it to its list of counters."
_PERCENT = Look(unit="percent", low=0, high=100)
_SHARE = Look(unit="percentunit", low=0, high=1)
_MIB = Look(unit="mbytes", low=0)
_MEGAHERTZ = 1e6
_NANO = 1e9
_MILLI = 1e3
_UTILIZATION = gauge(gpu.GPU_UTILIZATION, "general")
_REASONS = ("power_cap", "sw_thermal", "sync_boost", "board_limit", "low_utilization", "reliability")


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    chosen = scope.narrow({"gpu": Regex("$gpu")})
    return Dashboard(
        name="gpu-dcgm",
        title="joulespan / GPU (DCGM names)",
        description="What the GPUs of a node work and what is wrong with them, by the names of dcgm-exporter.",
        rows=(
            Row("Now", (_now(chosen), _work(chosen), _board(chosen))),
            Row("Why clocks fell, and what happened", (_clocks(chosen),)),
            Row("Memory errors and repairs", (_errors(chosen),), closed=True),
            Row("Links", (_links(chosen),), closed=True),
        ),
        variables=(choice("GPU", "gpu", scope.of(_UTILIZATION), "gpu"),),
        one_node=True,
        nodes=_UTILIZATION,
    )


def _now(scope: Scope) -> Line:
    used, free = gauge(gpu.MEMORY_USAGE), gauge(gpu.MEMORY_FREE)
    share = scope.of(used).sum() / (scope.of(used).sum() + scope.of(free).sum())
    return line(
        4,
        stat("GPUs", _UTILIZATION, Query(scope.of(_UTILIZATION).count(), instant=True), look=Look(unit="short")),
        stat(
            "GPUs with an XID",
            LAST_XID,
            Query((scope.of(LAST_XID) > 0).count() | scope.of(LAST_XID).count() * 0, instant=True),
            look=Look(unit="short", steps=ANY_IS_NOTED),
            note="Since their exporter was started.",
        ),
        stat("Utilization", _UTILIZATION, Query(scope.of(_UTILIZATION).avg()), look=_PERCENT),
        stat("Memory in use", used, Query(share), look=FULL, note="Of what is not reserved."),
        stat("Power", gauge(gpu.POWER_AVERAGE, "gpu"), Query(_power(scope).sum()), look=Look(unit="watt")),
        stat(
            "Hottest GPU",
            gauge(gpu.TEMPERATURE, "gpu"),
            Query(scope.of(gauge(gpu.TEMPERATURE, "gpu")).max()),
            look=Look(unit="celsius"),
        ),
    )


def _power(scope: Scope) -> Expr:
    return scope.of(gauge(gpu.POWER_AVERAGE, "gpu"))


def _work(scope: Scope) -> Line:
    active, tensor = gauge(gpu.SM_ACTIVE), gauge(gpu.PIPE_ACTIVE, "any_tensor")
    return line(
        8,
        graph("Utilization", _UTILIZATION, Query(scope.of(_UTILIZATION), _NAME), look=_PERCENT),
        graph("SM activity", active, Query(scope.of(active), _NAME), look=_SHARE, empty=_OFF),
        graph("Tensor activity", tensor, Query(scope.of(tensor), _NAME), look=_SHARE),
    )


def _board(scope: Scope) -> Line:
    used = gauge(gpu.MEMORY_USAGE)
    hot, memory = gauge(gpu.TEMPERATURE, "gpu"), gauge(gpu.TEMPERATURE, "memory")
    joules = scope.rate(counter(gpu.ENERGY)) / _MILLI
    return line(
        8,
        graph(
            "Power",
            (gauge(gpu.POWER_AVERAGE, "gpu"), counter(gpu.ENERGY)),
            Query(_power(scope), _NAME),
            Query(joules.sum(), "all, by the energy counter"),
            look=Look(unit="watt", low=0),
            note="The sensor looks only part of the time; the energy counter does not miss any.",
        ),
        graph("Memory in use", used, Query(scope.of(used), _NAME), look=_MIB),
        graph(
            "Temperature",
            hot,
            Query(scope.of(hot), _NAME),
            Query(scope.of(memory).max(), "hottest memory"),
            look=Look(unit="celsius"),
        ),
    )


def _clocks(scope: Scope) -> Line:
    clock = gauge(gpu.CLOCK, "sm")
    held = [(counter(gpu.THROTTLE_DURATION, reason), reason) for reason in _REASONS]
    return line(
        8,
        graph(
            "SM clock",
            clock,
            Query(scope.of(clock) * _MEGAHERTZ, _NAME),
            look=Look(unit="hertz", low=0),
        ),
        graph(
            "Time for which clocks were held down",
            gpu.THROTTLE_DURATION,
            *[Query(scope.rate(metric).max() / _NANO, reason) for metric, reason in held],
            look=Look(unit="percentunit", low=0),
            note="Of the GPU held down longest.",
            empty=_OFF,
        ),
        timeline(
            "Last XID",
            LAST_XID,
            Query(scope.of(LAST_XID), _NAME),
            look=Look(unit="none", texts={"0": ("none", GREEN)}, steps=(Step(GREEN), Step(RED, 1))),
            note="A code stays until the next one, so that this shows which was last and not when.",
        ),
    )


def _errors(scope: Scope) -> Line:
    ecc = [(counter(health.HW_ERRORS, kind), kind) for kind in ("corrected", "uncorrected")]
    rows = [(counter(health.REMAPPED_ROWS, cause), cause) for cause in ("corrected", "uncorrected")]
    failure = gauge(health.REMAP_FAILURE)
    return line(
        8,
        graph(
            "ECC errors",
            health.HW_ERRORS,
            *[Query(scope.increase(metric).sum("gpu"), f"{_NAME} {kind}") for metric, kind in ecc],
            look=Look(unit="short", low=0),
            draw=Draw(bars=True, stack=True),
            empty=_OFF,
        ),
        graph(
            "Rows remapped",
            health.REMAPPED_ROWS,
            *[Query(scope.increase(metric).sum("gpu"), f"{_NAME} {cause}") for metric, cause in rows],
            look=Look(unit="short", low=0),
            draw=Draw(bars=True, stack=True),
            note="How many in each step of the graph.",
        ),
        timeline(
            "Row remap failed",
            failure,
            Query(scope.of(failure), _NAME),
            look=Look(unit="none", texts={"0": ("no", GREEN), "1": ("yes", RED)}, steps=(Step(GREEN), Step(RED, 1))),
        ),
    )


def _links(scope: Scope) -> Line:
    ways = ("transmit", "receive")
    pcie = [(gauge(gpu.GPM_PCIE, way), way) for way in ways]
    nvlink = [(gauge(gpu.GPM_NVLINK, way), way) for way in ways]
    replays = counter(links.PCIE_REPLAYS)
    return line(
        8,
        graph(
            "NVLink traffic",
            gpu.GPM_NVLINK,
            *[Query(scope.of(metric), f"{_NAME} {way}") for metric, way in nvlink],
            look=Look(unit="binBps", low=0),
            empty=_OFF,
        ),
        graph(
            "PCIe traffic",
            gpu.GPM_PCIE,
            *[Query(scope.of(metric), f"{_NAME} {way}") for metric, way in pcie],
            look=Look(unit="binBps", low=0),
        ),
        graph(
            "PCIe replays",
            replays,
            Query(scope.increase(replays).sum("gpu"), _NAME),
            look=Look(unit="short", low=0),
            draw=Draw(bars=True, stack=True),
            note="How many in each step of the graph.",
        ),
    )
