# SPDX-License-Identifier: Apache-2.0
"""The GPUs of one node: what they work, what holds them back, and what is wrong with them."""

from agent.catalogue import energy, gpu, health
from agent.promql import Not, Regex, Scope, now
from dashboards.grafana import ANY_IS_NOTED, GREEN, ORANGE, RED, Draw, Look, Query, Step
from dashboards.measures import (
    DAY,
    FULL,
    GPU,
    HEALTH,
    LIMIT,
    MARGIN,
    NODE,
    POWER_SHARE,
    SENSOR,
    SHARE,
    gpus,
    health_of,
    of_gpus,
    or_zero,
    power_share,
    restarts,
    seen,
    typed,
    xids,
)
from dashboards.page import Dashboard, Line, Row, line
from dashboards.panels import graph, stat, timeline
from dashboards.tables import Column, Key, table

_NAME = "{hw.name}"
_NOTICED = 0.01
"""Share of time from which on it is worth a line that clocks were held down."""
_GPM = "GPM is read from Hopper on, and not of GPUs that are split into MIG instances."
_YES = Look(texts={"0": ("no", GREEN), "1": ("yes", ORANGE)}, steps=(Step(GREEN), Step(ORANGE, 1)))


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    chosen = of_gpus(scope)
    return Dashboard(
        name="gpu",
        title="joulespan / GPU",
        description="What the GPUs of a node work, what holds their clocks down, and what is wrong with them.",
        rows=(
            Row("Now", (_now(chosen), _work(chosen), _board(chosen))),
            Row("Why clocks fell, and what happened", (_clocks(chosen), _events(chosen))),
            Row("Activity in detail", (_activity(chosen),), closed=True),
            Row("Memory errors and repairs", (_errors(chosen),), closed=True),
            Row("Whose the energy is", (_energy(chosen),), closed=True),
            Row("What runs there, and what it is", (_processes(chosen), _identity(chosen)), closed=True),
        ),
        variables=(gpus(scope),),
        marks=(xids(chosen), restarts(scope)),
        one_node=True,
    )


def _now(scope: Scope) -> Line:
    codes = or_zero(seen(scope, DAY).count(), scope.of(gpu.MEMORY_LIMIT).count())
    used = scope.of(gpu.MEMORY_USAGE).sum() / scope.of(gpu.MEMORY_LIMIT).sum()
    return line(
        4,
        stat("Worst health", health.STATUS, Query(health_of(scope).max(), instant=True), look=HEALTH),
        stat(
            "XIDs in 24 h",
            health.XID_LAST_SEEN,
            Query(codes, instant=True),
            look=Look(unit="short", steps=ANY_IS_NOTED),
            note="How many codes these GPUs have had.",
        ),
        stat("SM activity", gpu.SM_ACTIVE, Query(scope.of(gpu.SM_ACTIVE).avg()), look=SHARE, empty=_GPM),
        stat("Memory in use", gpu.MEMORY_UTILIZATION, Query(used), look=FULL),
        stat("Power of the limit", gpu.POWER_LIMIT, Query(power_share(scope)), look=POWER_SHARE),
        stat("Least margin", gpu.TEMPERATURE_MARGIN, Query(scope.of(gpu.TEMPERATURE_MARGIN).min()), look=MARGIN),
    )


def _work(scope: Scope) -> Line:
    busy = scope.of(gpu.GPU_UTILIZATION, {"hw.gpu.task": "general"})
    tensor = scope.of(gpu.PIPE_ACTIVE, {"pipe": "any_tensor"})
    return line(
        8,
        graph("Utilization", gpu.GPU_UTILIZATION, Query(busy, _NAME), look=SHARE),
        graph(
            "SM activity",
            gpu.SM_ACTIVE,
            Query(scope.of(gpu.SM_ACTIVE), _NAME),
            look=SHARE,
            note="Much utilization with little activity is a GPU that is held, not used.",
            empty=_GPM,
        ),
        graph(
            "Tensor activity",
            gpu.PIPE_ACTIVE,
            Query(tensor, _NAME),
            look=SHARE,
            note="All tensor pipes together. Prefill uses much of them; decode waits for memory and uses little.",
            empty=_GPM,
        ),
    )


def _board(scope: Scope) -> Line:
    enforced = scope.of(gpu.POWER_LIMIT, {LIMIT: "enforced"}).max()
    slow = scope.of(gpu.TEMPERATURE_LIMIT, {LIMIT: Regex("slowdown|memory_max")}).min(LIMIT)
    hot, memory = (scope.of(gpu.TEMPERATURE, {SENSOR: sensor}) for sensor in ("gpu", "memory"))
    return line(
        8,
        graph(
            "Power",
            (gpu.POWER, gpu.POWER_LIMIT),
            Query(scope.of(gpu.POWER), _NAME),
            Query(enforced, "limit", dashed=True),
            look=Look(low=0),
        ),
        graph(
            "Memory in use",
            gpu.MEMORY_USAGE,
            Query(scope.of(gpu.MEMORY_USAGE), _NAME),
            Query(scope.of(gpu.MEMORY_LIMIT).max(), "board", dashed=True),
            look=Look(low=0),
        ),
        graph(
            "Temperature",
            (gpu.TEMPERATURE, gpu.TEMPERATURE_LIMIT),
            Query(hot, _NAME),
            Query(memory.max(), "hottest memory"),
            Query(slow, "{hw.limit_type}", dashed=True),
        ),
    )


def _clocks(scope: Scope) -> Line:
    held = scope.rate(gpu.THROTTLE_DURATION).max(GPU, "reason") >= _NOTICED
    reasons = scope.of(gpu.THROTTLE_ACTIVE, {"reason": Not("idle")}).max("reason")
    return line(
        9,
        graph(
            "SM clock",
            (gpu.CLOCK, gpu.CLOCK_LIMIT),
            Query(scope.of(gpu.CLOCK, {"clock": "sm"}), _NAME),
            Query(scope.of(gpu.CLOCK_LIMIT, {"clock": "sm"}).max(), "highest", dashed=True),
            look=Look(low=0),
        ),
        graph(
            "Time for which clocks were held down",
            gpu.THROTTLE_DURATION,
            Query(held, "{hw.name} {reason}"),
            look=Look(low=0),
            note="power_cap is usual under full load; thermal reasons, power_brake and hw_slowdown are not.",
            empty="nothing held the clocks down.",
            rate=True,
        ),
        timeline("Reasons at the moment", gpu.THROTTLE_ACTIVE, Query(reasons, "{reason}"), look=_YES),
    )


def _events(scope: Scope) -> Line:
    happened = (scope.of(health.XID_LAST_SEEN) > now() - typed("__rate_interval_ms") / 1000).max(GPU, "xid") * 0 + 1
    return line(
        7,
        timeline("Health", health.STATUS, Query(health_of(scope), "{hw.name}"), look=HEALTH),
        timeline(
            "XIDs",
            (health.XID, health.XID_LAST_SEEN),
            Query(happened, "{hw.name} {xid}"),
            look=Look(texts={"1": ("XID", RED)}, steps=(Step(RED),)),
            note="A bar from the event on, of the length that a rate is taken over.",
            empty="no XID happened in this time.",
        ),
    )


def _activity(scope: Scope) -> Line:
    media = scope.of(gpu.GPU_UTILIZATION, {"hw.gpu.task": Not("general")}).max("hw.gpu.task")
    return line(
        8,
        graph(
            "Pipes",
            gpu.PIPE_ACTIVE,
            Query(scope.of(gpu.PIPE_ACTIVE).avg("pipe"), "{pipe}"),
            look=SHARE,
            note="Mean of the GPUs chosen.",
            empty=_GPM,
        ),
        graph(
            "Memory bandwidth and occupancy",
            (gpu.DRAM_ACTIVE, gpu.SM_OCCUPANCY, gpu.MEMORY_CONTROLLER_UTILIZATION),
            Query(scope.of(gpu.DRAM_ACTIVE), _NAME),
            Query(scope.of(gpu.SM_OCCUPANCY).avg(), "mean occupancy"),
            look=SHARE,
            empty=_GPM,
        ),
        graph(
            "Encoder, decoder, JPEG, OFA",
            gpu.GPU_UTILIZATION,
            Query(media, "{hw.gpu.task}"),
            look=SHARE,
            note="The busiest of the GPUs chosen; at 0 where nothing codes video.",
        ),
    )


def _errors(scope: Scope) -> Line:
    ecc = scope.increase(health.ECC_ERRORS, {"lifetime": "volatile"}).sum(GPU, "error.type", "location")
    rows = scope.of(health.REMAPPED_ROWS)
    waits = [
        (health.REMAP_PENDING, "row remap pending"),
        (health.REMAP_FAILURE, "row remap failed"),
        (health.RETIRED_PENDING, "page retirement pending"),
        (health.BANK_REMAP_PENDING, "bank remap pending"),
    ]
    return line(
        8,
        graph(
            "ECC errors",
            health.ECC_ERRORS,
            Query(ecc > 0, "{hw.name} {error.type} {location}"),
            look=Look(unit="short", low=0),
            draw=Draw(bars=True, stack=True),
            note="How many in each step of the graph.",
            empty="no ECC error happened in this time, or ECC is off.",
        ),
        graph(
            "Remapped rows",
            health.REMAPPED_ROWS,
            Query(rows > 0, "{hw.name} {cause}"),
            look=Look(low=0),
            note="Since the board was made.",
            empty="no row has been remapped.",
        ),
        timeline(
            "Repairs that wait",
            [metric for metric, _ in waits],
            *[Query(scope.of(metric).max(), words) for metric, words in waits],
            Query(scope.of(health.REPAIR_PENDING).max("cause"), "{cause} repair pending"),
            look=Look(texts={"0": ("no", GREEN), "1": ("yes", RED)}, steps=(Step(GREEN), Step(RED, 1))),
            note="Worst of the GPUs chosen. A reset carries out what is pending; a failure wants a new board.",
            empty="the driver tells of no repairs for these GPUs.",
        ),
    )


def _energy(scope: Scope) -> Line:
    parts = [
        (energy.GPU_ENERGY_ATTRIBUTED, "requests"),
        (energy.ENERGY_IDLE, "idle"),
        (energy.ENERGY_UNATTRIBUTED, "unattributed"),
    ]
    return line(
        8,
        graph(
            "Power by whose it was",
            [metric for metric, _ in parts],
            *[Query(scope.rate(metric).sum(), words) for metric, words in parts],
            look=Look(low=0),
            draw=Draw(stack=True),
            note="It follows the board by attribution.lateness.",
            rate=True,
        ),
        graph(
            "Power of memory and modules",
            gpu.POWER_AVERAGE,
            Query(scope.of(gpu.POWER_AVERAGE, {"scope": Not("gpu")}), "{hw.name} {scope}"),
            look=Look(low=0),
            note="module is CPU and GPU of a superchip together: never add it to the others.",
            empty="these boards tell of no parts.",
        ),
    )


def _processes(scope: Scope) -> Line:
    keys = (GPU, "process.pid", "process.executable.name")
    return line(
        8,
        table(
            "Processes",
            (gpu.PROCESS_MEMORY, gpu.PROCESS_UTILIZATION),
            {GPU: Key("GPU"), "process.pid": Key("PID"), "process.executable.name": Key("Program")},
            Column("Memory", scope.of(gpu.PROCESS_MEMORY).sum(*keys), Look(unit="bytes")),
            Column("Utilization", scope.of(gpu.PROCESS_UTILIZATION, {"hw.gpu.task": "general"}).max(*keys), SHARE),
            sort="Memory",
            empty="no process holds memory of these GPUs.",
        ),
        table(
            "MIG instances",
            (gpu.MIG_MEMORY_USAGE, gpu.MIG_SM_ACTIVE),
            {GPU: Key("Instance")},
            Column("Memory", scope.of(gpu.MIG_MEMORY_USAGE).sum(GPU), Look(unit="bytes")),
            Column("of", scope.of(gpu.MIG_MEMORY_LIMIT).sum(GPU), Look(unit="bytes")),
            Column("SM activity", scope.of(gpu.MIG_SM_ACTIVE).max(GPU), SHARE, "gauge"),
            empty="these GPUs are not split.",
        ),
    )


def _identity(scope: Scope) -> Line:
    names = {"hw.model": "Model", "hw.driver_version": "Driver", "hw.firmware_version": "VBIOS", "pci.bus_id": "PCI"}
    keys = {GPU: Key("GPU"), **{name: Key(words) for name, words in names.items()}, "hw.id": Key("UUID", width=330)}
    return line(
        7,
        table(
            "Identity",
            (gpu.GPU_INFO, gpu.GPU_UPTIME),
            keys,
            Column(
                "Up",
                scope.of(gpu.GPU_UPTIME).times(scope.of(gpu.GPU_INFO), (NODE, "hw.id"), names).max(*keys),
                Look(unit="dtdurations"),
            ),
        ),
    )
