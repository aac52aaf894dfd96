# SPDX-License-Identifier: Apache-2.0
"""Recording rules: what dashboards, fleets and alerts ask of Prometheus again and again, computed once.

Names are level:metric:operations, as Prometheus advises. Levels of engines and models keep `cluster` where there is
one, so that what several clusters share by name stays apart; a `cluster` level is the whole where there is none.
"""

from typing import Any, NamedTuple

from agent.catalogue.cpu_power import NODE_ENERGY
from agent.catalogue.energy import ENERGY_ATTRIBUTED, ENERGY_IDLE, ENERGY_MEASURED, ENERGY_UNATTRIBUTED
from agent.catalogue.engine import TOKENS
from agent.catalogue.gpu import GPU_UTILIZATION, POWER
from agent.catalogue.health import NODE_GPUS
from agent.catalogue.links import GPU_NVLINK_IO
from agent.catalogue.nic import NETWORK_IO
from agent.catalogue.own import BUILD_INFO
from agent.catalogue.rack import EXPECTED as RACK_EXPECTED
from agent.catalogue.rack import GPUS as RACK_GPUS
from agent.catalogue.rdma import RDMA_IO
from agent.catalogue.requests import (
    ENGINE_GPU,
    REQUEST_FINISHED,
    REQUEST_TOKENS,
    TIME_PER_OUTPUT_TOKEN,
    TIME_TO_FIRST_TOKEN,
)
from agent.metric import Histogram
from agent.promql import Expr, Regex, Scope, Selected
from alerts import thresholds as to
from alerts.alert import NODE
from alerts.thresholds import Limit, Thresholds

DOMAIN = ("cluster", "fabric.cluster_uuid", "fabric.clique")
MODEL = ("cluster", "engine", "gen_ai.request.model")
_WINDOW = "5m"
BURN_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


class Rule(NamedTuple):
    """A recording rule: the series it makes, what from, and what it says."""

    record: str
    expr: Expr
    brief: str

    @property
    def series(self) -> Selected:
        """Select what it has recorded."""
        return Scope().recorded(self.record, *self.expr.attributes)


class Slo(NamedTuple):
    """What is promised of a time of requests."""

    name: str
    metric: Histogram[Any]
    limit: Limit
    objective: Limit


FIRST_TOKEN = Slo("time_to_first_token", TIME_TO_FIRST_TOKEN, to.FIRST_TOKEN, to.FIRST_TOKEN_OBJECTIVE)
PER_TOKEN = Slo("time_per_output_token", TIME_PER_OUTPUT_TOKEN, to.PER_TOKEN, to.PER_TOKEN_OBJECTIVE)


def energy(scope: Scope, _limits: Thresholds) -> tuple[Rule, ...]:
    """Energy per token, and what is spent without requests."""
    measured = scope.rate(ENERGY_MEASURED, None, _WINDOW)
    attributed = scope.rate(ENERGY_ATTRIBUTED, None, _WINDOW)
    idle = scope.rate(ENERGY_IDLE, None, _WINDOW)
    output = scope.rate(REQUEST_TOKENS, {"gen_ai.token.type": "output"}, _WINDOW)
    return (
        Rule(
            "engine_model:joulespan_prefill_joules_per_token:rate5m",
            _per_token(scope, "prefill", "input"),
            "Energy of prefill per prompt token that was computed, by engine and model.",
        ),
        Rule(
            "engine_model:joulespan_decode_joules_per_token:rate5m",
            _per_token(scope, "decode", "output"),
            "Energy of decode per output token, by engine and model.",
        ),
        Rule(
            "engine_model:joulespan_joules_per_token:rate5m",
            attributed.sum(*MODEL) / (output.sum(*MODEL) > 0),
            "Energy of requests, prefill and decode, per output token, by engine and model.",
        ),
        Rule(
            "cluster:joulespan_joules_per_token:rate5m",
            measured.sum("cluster") / (output.sum("cluster") > 0),
            "Energy of all GPUs, idle ones too, per output token.",
        ),
        Rule(
            "gpu:joulespan_energy_idle:ratio_rate5m",
            idle / (measured > 0),
            "Share of a GPU's energy that was drawn while no request ran.",
        ),
        Rule(
            "gpu:joulespan_energy_unattributed:ratio_rate5m",
            scope.rate(ENERGY_UNATTRIBUTED, None, _WINDOW) / (measured > 0),
            "Share of a GPU's energy that no span explains.",
        ),
        Rule(
            "instance:joulespan_energy_idle:ratio_rate5m",
            idle.sum(*NODE) / (measured.sum(*NODE) > 0),
            "Share of the energy of a node's GPUs that was drawn while no request ran.",
        ),
        Rule(
            "cluster:joulespan_energy_idle:ratio_rate5m",
            idle.sum("cluster") / (measured.sum("cluster") > 0),
            "Share of the energy of all GPUs that was drawn while no request ran.",
        ),
    )


def gpu(scope: Scope, _limits: Thresholds) -> tuple[Rule, ...]:
    """What fleets ask of GPUs, by node and in all."""
    power = scope.of(POWER, {"hw.type": "gpu"})
    utilization = scope.of(GPU_UTILIZATION, {"hw.gpu.task": "general"})
    return (
        Rule("instance:hw_power:sum", power.sum(*NODE), "Power of a node's GPUs."),
        Rule("cluster:hw_power:sum", power.sum("cluster"), "Power of all GPUs."),
        Rule("instance:hw_gpu_utilization:avg", utilization.avg(*NODE), "Utilization of a node's GPUs."),
        Rule("cluster:hw_gpu_utilization:avg", utilization.avg("cluster"), "Utilization of all GPUs."),
        Rule(
            "cluster:joulespan_node_gpus:sum",
            scope.of(NODE_GPUS).sum("cluster", "state"),
            "GPUs, by whether they can be read.",
        ),
    )


def links(scope: Scope, _limits: Thresholds) -> tuple[Rule, ...]:
    """What the links of nodes carry."""
    return (
        Rule(
            "instance:joulespan_gpu_nvlink_io:rate5m",
            scope.rate(GPU_NVLINK_IO, None, _WINDOW).sum(*NODE, "network.io.direction"),
            "Bytes a second over the NVLinks of a node, by direction.",
        ),
    )


def inference(scope: Scope, limits: Thresholds) -> tuple[Rule, ...]:
    """Work done, what is good of it, and how fast the budget of slow requests burns."""
    place = (*NODE, "engine")
    finished = scope.rate(REQUEST_FINISHED, None, _WINDOW).sum(*MODEL)
    failed = scope.rate(REQUEST_FINISHED, {"finish_reason": Regex("error|failed|internal.*")}, _WINDOW).sum(*MODEL)
    output = scope.rate(TOKENS, {"gen_ai.token.type": "output"}, _WINDOW)
    good = _good(scope, limits)
    return (
        Rule(
            "engine_model:joulespan_request_errors:ratio_rate5m",
            # Without any error there is no series of errors, and the share is 0 and not unknown.
            (failed | finished * 0) / (finished > 0),
            "Share of requests that ended in an error, by engine and model.",
        ),
        Rule(
            "engine_model:joulespan_requests:rate1h",
            scope.rate(REQUEST_FINISHED, None, "1h").sum(*MODEL),
            "Requests a second over an hour, by engine and model.",
        ),
        Rule(
            "instance_engine:joulespan_tokens_per_gpu:rate5m",
            output.sum(*place) / scope.of(ENGINE_GPU).count(*place),
            "Output tokens a second per GPU, by engine of a node.",
        ),
        Rule("cluster:joulespan_tokens:rate5m", output.sum("cluster"), "Output tokens a second of all engines."),
        Rule(
            "engine_model:joulespan_goodput:rate5m",
            good,
            "Requests a second that kept both limits, at most: the fewer of those that kept one and the other.",
        ),
        Rule(
            "engine_model:joulespan_goodput_per_watt:rate5m",
            good / (scope.rate(ENERGY_ATTRIBUTED, None, _WINDOW).sum(*MODEL) > 0),
            "Requests that kept both limits per joule given to requests: requests a second per watt.",
        ),
        *(rule for slo in (FIRST_TOKEN, PER_TOKEN) for rule in _counted(scope, limits, slo)),
        *(_slow(scope, limits, slo, window) for slo in (FIRST_TOKEN, PER_TOKEN) for window in BURN_WINDOWS),
    )


def rack(scope: Scope, _limits: Thresholds) -> tuple[Rule, ...]:
    """NVLink domains over their nodes, each of which sees its own GPUs."""
    return (
        Rule(
            "domain:joulespan_rack_gpus:sum",
            scope.of(RACK_GPUS, {"state": Regex("healthy|degraded")}).sum(*DOMAIN),
            "GPUs that are in the NVLink domain, of all its nodes.",
        ),
        Rule(
            "domain:joulespan_rack_gpus_healthy:sum",
            scope.of(RACK_GPUS, {"state": "healthy"}).sum(*DOMAIN),
            "GPUs that are in the NVLink domain and with which the fabric has no problem.",
        ),
        Rule(
            "domain:joulespan_rack_gpus_expected:sum",
            scope.of(RACK_EXPECTED).sum(*DOMAIN),
            "GPUs that the nodes of the NVLink domain that are there should bring.",
        ),
        Rule(
            "domain:joulespan_rack_nodes:count",
            scope.of(RACK_EXPECTED).count(*DOMAIN),
            "Nodes of the NVLink domain that are there.",
        ),
    )


def agent(scope: Scope, _limits: Thresholds) -> tuple[Rule, ...]:
    """How many agents there are."""
    return (
        Rule("cluster:joulespan_agents:count", scope.of(BUILD_INFO).count("cluster", "version"), "Agents, by version."),
    )


def network(scope: Scope, _limits: Thresholds) -> tuple[Rule, ...]:
    """What nodes send and receive."""
    by = (*NODE, "network.io.direction")
    return (
        Rule(
            "instance:hw_network_io:rate5m",
            scope.rate(NETWORK_IO, None, _WINDOW).sum(*by),
            "Bytes a second of a node's interfaces, by direction, RDMA left out.",
        ),
        Rule(
            "instance:joulespan_rdma_io:rate5m",
            scope.rate(RDMA_IO, None, _WINDOW).sum(*by),
            "Bytes a second of a node's RDMA ports, by direction.",
        ),
    )


def host(scope: Scope, _limits: Thresholds) -> tuple[Rule, ...]:
    """Power of nodes, as far as it is measured."""
    return (
        Rule(
            "instance:joulespan_node_energy:rate5m",
            scope.rate(NODE_ENERGY, None, _WINDOW).sum(*NODE),
            "Power of a node, of all its parts that are measured.",
        ),
    )


RECORDS = {
    "gpu": gpu,
    "links": links,
    "network": network,
    "inference": inference,
    "energy": energy,
    "rack": rack,
    "host": host,
    "agent": agent,
}
"""The rules of each subject."""


def slow(scope: Scope, limits: Thresholds, slo: Slo, window: str) -> Selected:
    """Select the recorded share of requests that were too slow over one of BURN_WINDOWS."""
    return _slow(scope, limits, slo, window).series


def by_name(scope: Scope, limits: Thresholds) -> dict[str, Rule]:
    """List all rules by what they record."""
    return {rule.record: rule for rules in RECORDS.values() for rule in rules(scope, limits)}


def _per_token(scope: Scope, phase: str, kind: str) -> Expr:
    joules = scope.rate(ENERGY_ATTRIBUTED, {"phase": phase}, _WINDOW).sum(*MODEL)
    tokens = scope.rate(REQUEST_TOKENS, {"gen_ai.token.type": kind}, _WINDOW).sum(*MODEL)
    return joules / (tokens > 0)


def _good(scope: Scope, limits: Thresholds) -> Expr:
    first = scope.within(TIME_TO_FIRST_TOKEN, limits.limit(to.FIRST_TOKEN), None, _WINDOW).sum(*MODEL)
    later = scope.within(TIME_PER_OUTPUT_TOKEN, limits.limit(to.PER_TOKEN), None, _WINDOW).sum(*MODEL)
    # The smaller of two; requests of one token have no time per token, so that one alone may be there.
    return ((first <= later) | later) | first


def _counted(scope: Scope, limits: Thresholds, slo: Slo) -> tuple[Rule, Rule]:
    observed = scope.observed("count", slo.metric, None, _WINDOW).sum(*MODEL)
    within = scope.within(slo.metric, limits.limit(slo.limit), None, _WINDOW).sum(*MODEL)
    name = f"engine_model:joulespan_{slo.name}"
    return (
        Rule(f"{name}:rate5m", observed, f"Requests a second whose {_lowered(slo)} is known."),
        Rule(f"{name}_slow:rate5m", observed - within, f"Requests a second whose {_lowered(slo)} was over its limit."),
    )


def _slow(scope: Scope, limits: Thresholds, slo: Slo, window: str) -> Rule:
    # Made of what is recorded: three days of every bucket of every node would be much to read each minute.
    observed, late = (rule.series for rule in _counted(scope, limits, slo))
    if window != _WINDOW:
        share = late.over("avg", window) / (observed.over("avg", window) > 0)
    else:
        share = late / (observed > 0)
    brief = f"Share of the requests of {window} whose {_lowered(slo)} was over its limit."
    return Rule(f"engine_model:joulespan_{slo.name}_slow:ratio_rate{window}", share, brief)


def _lowered(slo: Slo) -> str:
    return f"{slo.metric.brief[0].lower()}{slo.metric.brief[1:-1]}"
