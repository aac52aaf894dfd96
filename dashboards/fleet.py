# SPDX-License-Identifier: Apache-2.0
"""All nodes at once: what is broken, what the power is spent on, and where to look first."""

from agent.catalogue import energy, engine, gpu, health, own, requests
from agent.promql import Expr, Not, Scope
from dashboards import recorded
from dashboards.grafana import ANY_IS_BAD, GREEN, ORANGE, RED, Draw, Look, Query, Step
from dashboards.measures import (
    FULL,
    GPU,
    HEALTH,
    HELD,
    IDLE,
    MARGIN,
    MODEL,
    NODE,
    PER_TOKEN,
    POWER_SHARE,
    SHARE,
    health_of,
    held_down,
    joules_per_token,
    links_down,
    or_zero,
    output,
    power_share,
    seen,
    share_of_energy,
    xids,
)
from dashboards.page import Dashboard, Line, Row, line, to
from dashboards.panels import graph, stat
from dashboards.tables import Column, Key, matrix, table

_HOUR = 3600
_TO_NODE = to("node", instance="{Node}")
_TO_GPU = to("gpu", instance="{Node}", gpu="{GPU}")
_COUNT = Look(unit="short")
_FOUND = Look(unit="short", steps=(Step(GREEN), Step(ORANGE, 1), Step(RED, 5)), decimals=0)


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    return Dashboard(
        name="fleet",
        title="joulespan / Fleet",
        description="Which nodes and GPUs need somebody, what the power is spent on, and where to look first.",
        rows=(
            Row("Now", (_now(scope), _trouble(scope), _nodes(scope))),
            Row("Power and work", (_work(scope),)),
            Row("Nodes and GPUs", (_grid(scope),)),
            recorded.row(scope),
            Row("Worst of each", (_worst(scope),)),
        ),
        marks=(xids(scope),),
    )


def _now(scope: Scope) -> Line:
    reachable = scope.of(health.NODE_GPUS)
    away = scope.of(health.NODE_GPUS, {"state": Not("reachable")}).sum()
    sick = or_zero(scope.of(health.STATUS, {"hw.state": Not("ok")}).count(), scope.of(health.STATUS).count())
    return line(
        4,
        stat("Nodes", own.BUILD_INFO, Query(scope.of(own.BUILD_INFO).count(), instant=True)),
        stat("GPUs", health.NODE_GPUS, Query(reachable.sum(), instant=True), note="In whatever state."),
        stat(
            "GPUs lost",
            health.NODE_GPUS,
            Query(away, instant=True),
            look=Look(steps=ANY_IS_BAD),
        ),
        stat("GPUs not ok", health.STATUS, Query(sick, instant=True), look=Look(unit="short", steps=ANY_IS_BAD)),
        stat("Power", gpu.POWER, Query(scope.of(gpu.POWER).sum()), note="Of all boards together."),
        stat("Of power limit", gpu.POWER_LIMIT, Query(power_share(scope)), look=POWER_SHARE),
        stat(
            "J per token",
            (energy.ENERGY_ATTRIBUTED, requests.REQUEST_TOKENS),
            Query(joules_per_token(scope)),
            look=PER_TOKEN,
            note="All energy of requests, prefill too, divided by the tokens they generated.",
            empty="no request has finished, or engines send no spans.",
        ),
        stat("Idle energy", energy.ENERGY_IDLE, Query(share_of_energy(scope, "idle")), look=IDLE),
    )


def _trouble(scope: Scope) -> Line:
    keys = (NODE, GPU)

    def bad(expr: Expr) -> Expr:
        return expr.max(*keys) > 0

    columns = [
        ("Health", health_of(scope) > 0, HEALTH),
        ("XIDs in 1 h", seen(scope, _HOUR).count(*keys), _FOUND),
        ("Needs", bad(scope.of(health.RECOVERY_ACTION, {"action": Not("none")})), _FOUND),
        ("Uncorrected ECC in 1 h", bad(scope.increase(health.HW_ERRORS, {"error.type": "uncorrected"}, "1h")), _FOUND),
        ("Row remap pending", bad(scope.of(health.REMAP_PENDING)), _FOUND),
        ("Row remap failed", bad(scope.of(health.REMAP_FAILURE)), _FOUND),
        ("NVLinks down", links_down(scope).count(*keys), _FOUND),
        ("Fabric problems", scope.of(health.FABRIC_HEALTH).sum(*keys) > 0, _FOUND),
    ]
    return line(
        6,
        table(
            "GPUs that need somebody",
            (health.STATUS, health.XID_LAST_SEEN, health.RECOVERY_ACTION, health.HW_ERRORS, health.REMAP_PENDING),
            {NODE: Key("Node", _TO_NODE, 180), GPU: Key("GPU", _TO_GPU)},
            *[Column(title, expr, look, "fill") for title, expr, look in columns],
            sort="Health",
            note="A GPU is here while anything of this is not as it should be.",
            empty="no GPU needs anybody.",
        ),
    )


def _nodes(scope: Scope) -> Line:
    away = scope.of(health.NODE_GPUS, {"state": Not("reachable")}).sum(NODE)
    columns = [
        Column("GPUs", scope.of(health.NODE_GPUS).sum(NODE), _COUNT),
        Column("Away", away, Look(unit="short", steps=ANY_IS_BAD), "text"),
        Column("Health", health_of(scope).max(NODE), HEALTH, "fill"),
        Column("Power", scope.of(gpu.POWER).sum(NODE), Look(unit="watt")),
        Column("Of limit", power_share(scope, NODE), POWER_SHARE, "gauge"),
        Column("SM active", scope.of(gpu.SM_ACTIVE).avg(NODE), SHARE, "gauge"),
        Column("Memory", scope.of(gpu.MEMORY_UTILIZATION).avg(NODE), FULL, "gauge"),
        Column("Margin", scope.of(gpu.TEMPERATURE_MARGIN).min(NODE), MARGIN, "text"),
        Column("Held", held_down(scope, NODE), HELD, "text"),
        Column("Output", output(scope, NODE), Look(unit="si:tok/s")),
        Column("Per token", joules_per_token(scope, NODE), PER_TOKEN),
        Column("Idle", share_of_energy(scope, "idle", NODE), IDLE, "text"),
    ]
    return line(
        9,
        table(
            "Nodes",
            (health.NODE_GPUS, gpu.POWER, gpu.SM_ACTIVE, gpu.TEMPERATURE_MARGIN, energy.ENERGY_ATTRIBUTED),
            {NODE: Key("Node", _TO_NODE, 180)},
            *columns,
            sort="Power",
        ),
    )


def _work(scope: Scope) -> Line:
    limit = scope.of(gpu.POWER_LIMIT, {"hw.limit_type": "enforced"}).sum()
    return line(
        8,
        graph(
            "Power against the limits",
            (gpu.POWER, gpu.POWER_LIMIT),
            Query(scope.of(gpu.POWER).sum(NODE).leaders(20, NODE), "{instance}"),
            Query(limit, "limits together", dashed=True),
            look=Look(low=0),
            draw=Draw(stack=True),
            note="The 20 nodes that draw most.",
        ),
        graph(
            "Output tokens by model",
            engine.TOKENS,
            Query(output(scope, "engine", MODEL), f"{{engine}} {{{MODEL}}}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            rate=True,
            empty="no engine tells of itself, and none sends spans.",
        ),
        graph(
            "Energy per output token",
            (energy.ENERGY_ATTRIBUTED, requests.REQUEST_TOKENS),
            Query(joules_per_token(scope, "engine", MODEL), f"{{engine}} {{{MODEL}}}"),
            look=PER_TOKEN,
            note="All energy of requests, prefill too, divided by the tokens they generated.",
            empty="no request has finished, or engines send no spans.",
        ),
        graph(
            "Idle share of energy",
            energy.ENERGY_IDLE,
            Query(share_of_energy(scope, "idle", NODE).leaders(20, NODE), "{instance}"),
            look=SHARE,
            note="The 20 nodes that idle most.",
        ),
    )


def _grid(scope: Scope) -> Line:
    return line(
        9,
        matrix("Health", health.STATUS, health_of(scope), NODE, GPU, HEALTH),
        matrix(
            "SM activity",
            gpu.SM_ACTIVE,
            scope.of(gpu.SM_ACTIVE).max(NODE, GPU),
            NODE,
            GPU,
            Look(unit="percentunit", steps=(Step("dark-blue"), Step("blue", 0.3), Step(GREEN, 0.6)), decimals=0),
        ),
    )


def _worst(scope: Scope) -> Line:
    keys = {NODE: Key("Node", _TO_NODE, 180), GPU: Key("GPU", _TO_GPU)}
    watts = scope.rate(energy.ENERGY_IDLE).sum(NODE, GPU).topk(10)
    cool = scope.of(gpu.TEMPERATURE_MARGIN).min(NODE, GPU).bottomk(10)
    held = held_down(scope, NODE, GPU).topk(10)
    return line(
        9,
        table(
            "Hottest",
            (gpu.TEMPERATURE_MARGIN,),
            keys,
            Column("Margin", cool, MARGIN, "text"),
        ),
        table(
            "Held down longest",
            (gpu.THROTTLE_DURATION,),
            keys,
            Column("Share of time", held, HELD, "text"),
            sort="Share of time",
            note="By heat, power brake or for reliability; the power limit is not among these.",
        ),
        table(
            "Most power for nothing",
            (energy.ENERGY_IDLE,),
            keys,
            Column("Idle power", watts, Look(unit="watt")),
            sort="Idle power",
        ),
    )
