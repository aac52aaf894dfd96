# SPDX-License-Identifier: Apache-2.0
"""One node: its GPUs beside each other, its engines and what runs there."""

from agent.catalogue import energy, engine, gpu, health, links, own
from agent.promql import Not, Scope
from dashboards import host
from dashboards.grafana import ANY_IS_BAD, ANY_IS_NOTED, GREEN, RED, Draw, Look, Query, Step
from dashboards.measures import (
    DAY,
    FULL,
    GPU,
    HEALTH,
    HELD,
    IDLE,
    LIMIT,
    MARGIN,
    MODEL,
    PER_TOKEN,
    POWER_SHARE,
    SENSOR,
    SHARE,
    WAY,
    engine_columns,
    health_of,
    held_down,
    joules_per_token,
    or_zero,
    output,
    power_share,
    restarts,
    seen,
    share_of_energy,
    xids,
)
from dashboards.page import Dashboard, Line, Row, line, to
from dashboards.panels import graph, stat, timeline
from dashboards.tables import Column, Key, table

_NAME = "{hw.name}"
_FAILED = {"error.type": Not("NoPermission")}
"""What an agent without rights may not read is no failure."""
_TO_GPU = to("gpu", instance="$instance", gpu="{GPU}")
_TO_ENGINE = to("inference", instance="$instance", engine="{Engine}")


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    return Dashboard(
        name="node",
        title="joulespan / Node",
        description="The GPUs of one node beside each other, its engines, and what runs there.",
        rows=(
            Row("Now", (_now(scope), _gpus(scope))),
            Row("GPUs", (_load(scope), _strain(scope))),
            Row("What happened", (_events(scope),)),
            Row("Engines", (_engines(scope),)),
            Row("Processes", (_processes(scope),), closed=True),
            *host.rows(scope),
        ),
        marks=(xids(scope), restarts(scope)),
        one_node=True,
    )


def _now(scope: Scope) -> Line:
    away = scope.of(health.NODE_GPUS, {"state": Not("reachable")}).sum()
    sick = or_zero(scope.of(health.STATUS, {"hw.state": Not("ok")}).count(), scope.of(health.STATUS).count())
    return line(
        4,
        stat("GPUs", health.NODE_GPUS, Query(scope.of(health.NODE_GPUS).sum(), instant=True), note="In any state."),
        stat("Lost or hung", health.NODE_GPUS, Query(away, instant=True), look=Look(steps=ANY_IS_BAD)),
        stat("Not ok", health.STATUS, Query(sick, instant=True), look=Look(unit="short", steps=ANY_IS_BAD)),
        stat("Power", gpu.POWER, Query(scope.of(gpu.POWER).sum()), note="Of all boards together."),
        stat("Power of the limit", gpu.POWER_LIMIT, Query(power_share(scope)), look=POWER_SHARE),
        stat(
            "Output tokens",
            engine.TOKENS,
            Query(output(scope)),
            rate=True,
            empty="no engine tells of itself, and none sends spans.",
        ),
        stat(
            "Energy per token",
            energy.ENERGY_ATTRIBUTED,
            Query(joules_per_token(scope)),
            look=PER_TOKEN,
            empty="no request has finished, or engines send no spans.",
        ),
        stat("Idle energy", energy.ENERGY_IDLE, Query(share_of_energy(scope, "idle")), look=IDLE),
    )


def _gpus(scope: Scope) -> Line:
    busy = scope.of(gpu.GPU_UTILIZATION, {"hw.gpu.task": "general"}).max(GPU)
    tensor = scope.of(gpu.PIPE_ACTIVE, {"pipe": "any_tensor"}).max(GPU)
    hot = scope.of(gpu.TEMPERATURE, {SENSOR: "gpu"}).max(GPU)
    return line(
        10,
        table(
            "GPUs",
            (health.STATUS, gpu.GPU_UTILIZATION, gpu.SM_ACTIVE, gpu.POWER, gpu.TEMPERATURE_MARGIN),
            {GPU: Key("GPU", _TO_GPU), "hw.model": Key("Model", width=180)},
            Column("Model of", scope.of(gpu.GPU_INFO).max(GPU, "hw.model"), Look(), hidden=True),
            Column("Health", health_of(scope).max(GPU), HEALTH, "fill"),
            Column("Utilization", busy, SHARE, "gauge"),
            Column("SM activity", scope.of(gpu.SM_ACTIVE).max(GPU), SHARE, "gauge"),
            Column("Tensor", tensor, SHARE, "gauge"),
            Column("Memory", scope.of(gpu.MEMORY_UTILIZATION).max(GPU), FULL, "gauge"),
            Column("Power", scope.of(gpu.POWER).max(GPU), Look(unit="watt")),
            Column("Of the limit", power_share(scope, GPU), POWER_SHARE, "text"),
            Column("Temperature", hot, Look(unit="celsius")),
            Column("Margin", scope.of(gpu.TEMPERATURE_MARGIN).max(GPU), MARGIN, "text"),
            Column("SM clock", scope.of(gpu.CLOCK, {"clock": "sm"}).max(GPU), Look(unit="hertz")),
            Column("Held down", held_down(scope, GPU), HELD, "text"),
            Column("XIDs in 24 h", seen(scope, DAY).count(GPU), Look(unit="short", steps=ANY_IS_NOTED), "text"),
            Column("Processes", scope.of(gpu.PROCESS_COUNT).max(GPU), Look(unit="short")),
        ),
    )


def _load(scope: Scope) -> Line:
    enforced = scope.of(gpu.POWER_LIMIT, {LIMIT: "enforced"}).sum()
    return line(
        8,
        graph(
            "Power",
            (gpu.POWER, gpu.POWER_LIMIT),
            Query(scope.of(gpu.POWER), _NAME),
            Query(enforced, "limits together", dashed=True),
            look=Look(low=0),
            draw=Draw(stack=True),
        ),
        graph("SM activity", gpu.SM_ACTIVE, Query(scope.of(gpu.SM_ACTIVE), _NAME), look=SHARE),
        graph("Memory in use", gpu.MEMORY_UTILIZATION, Query(scope.of(gpu.MEMORY_UTILIZATION), _NAME), look=SHARE),
    )


def _strain(scope: Scope) -> Line:
    return line(
        8,
        graph(
            "Margin to slowdown",
            gpu.TEMPERATURE_MARGIN,
            Query(scope.of(gpu.TEMPERATURE_MARGIN), _NAME),
            look=MARGIN,
        ),
        graph(
            "Time for which clocks were held down",
            gpu.THROTTLE_DURATION,
            Query(held_down(scope, GPU), _NAME),
            look=Look(low=0),
            note="By heat, power brake or for reliability; the power limit is not among these.",
            rate=True,
        ),
        graph(
            "NVLink and PCIe traffic",
            (links.GPU_NVLINK_IO, links.PCIE_IO),
            Query(scope.rate(links.GPU_NVLINK_IO).sum(WAY), f"NVLink {{{WAY}}}"),
            Query(scope.rate(links.PCIE_IO).sum(WAY), f"PCIe {{{WAY}}}"),
            look=Look(low=0),
            note="Of all GPUs together.",
            empty="these GPUs tell of neither.",
            rate=True,
        ),
    )


def _events(scope: Scope) -> Line:
    keys = (GPU, "xid")
    return line(
        8,
        timeline("Health", health.STATUS, Query(health_of(scope), _NAME), look=HEALTH),
        table(
            "XIDs",
            (health.XID, health.XID_LAST_SEEN),
            {GPU: Key("GPU", _TO_GPU), "xid": Key("XID")},
            Column("Last seen", scope.of(health.XID_LAST_SEEN).max(*keys) * 1000, Look(unit="dateTimeFromNow")),
            Column("Events", scope.of(health.XID).sum(*keys), Look(unit="short")),
            sort="Last seen",
            empty="no XID has happened since the agent started.",
        ),
        table(
            "What collects",
            (own.COLLECTOR_SUCCESS, own.COLLECTOR_DURATION, own.COLLECTOR_FAILURES),
            {"collector": Key("Collector", width=130)},
            Column(
                "Works",
                scope.of(own.COLLECTOR_SUCCESS).min("collector"),
                Look(texts={"1": ("yes", GREEN), "0": ("no", RED)}, steps=(Step(RED), Step(GREEN, 1))),
                "fill",
            ),
            Column("Takes", scope.of(own.COLLECTOR_DURATION).max("collector"), Look(unit="s")),
            Column("Failures", scope.of(own.COLLECTOR_FAILURES, _FAILED).sum("collector"), Look(unit="short")),
            sort="Failures",
        ),
        widths=(10, 7, 7),
    )


def _engines(scope: Scope) -> Line:
    return line(
        8,
        table(
            "Engines",
            (own.ENGINE_UP, engine.REQUESTS_RUNNING, engine.KV_CACHE_UTILIZATION, engine.TOKENS),
            {"engine": Key("Engine", _TO_ENGINE, 140)},
            *engine_columns(scope, "engine"),
            empty="no engine is known on this node.",
        ),
        graph(
            "Output tokens",
            engine.TOKENS,
            Query(output(scope, "engine", MODEL), f"{{engine}} {{{MODEL}}}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            empty="no engine tells of itself, and none sends spans.",
            rate=True,
        ),
        widths=(14, 10),
    )


def _processes(scope: Scope) -> Line:
    keys = (GPU, "process.pid", "process.executable.name")
    return line(
        9,
        table(
            "Processes on GPUs",
            (gpu.PROCESS_MEMORY, gpu.PROCESS_UTILIZATION),
            {
                GPU: Key("GPU", _TO_GPU),
                "process.pid": Key("PID"),
                "process.executable.name": Key("Program"),
            },
            Column("Memory", scope.of(gpu.PROCESS_MEMORY).sum(*keys), Look(unit="bytes")),
            Column("Utilization", scope.of(gpu.PROCESS_UTILIZATION, {"hw.gpu.task": "general"}).max(*keys), SHARE),
            sort="Memory",
            empty="no process holds memory of these GPUs.",
        ),
    )
