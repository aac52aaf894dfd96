# SPDX-License-Identifier: Apache-2.0
"""What carries the data between GPUs, processors and nodes: NVLink and its fabric, C2C, PCIe."""

from agent.catalogue import gpu, links, rack
from agent.catalogue.health import FABRIC_HEALTH, FABRIC_STATE, FABRIC_STATUS
from agent.promql import Expr, Scope
from dashboards.grafana import ANY_IS_BAD, ANY_IS_NOTED, GREEN, ORANGE, RED, Draw, Look, Query, Step
from dashboards.measures import GPU, NODE, STATE, WAY, gpus, links_down, of_gpus, or_zero, xids
from dashboards.page import Dashboard, Line, Row, line, to
from dashboards.panels import graph, stat, timeline
from dashboards.tables import Column, Key, table

_NAME = "{instance} {hw.name}"
_TO_NODE = to("node", instance="{Node}")
_TO_GPU = to("gpu", instance="{Node}", gpu="{GPU}")
_NO_NVLINK = "these GPUs have no NVLinks, or the driver does not tell of them."
_NO_FABRIC = "no GPU here is part of an NVLink fabric with NVSwitches."
_NO_C2C = "only superchips such as GH200 and GB200 have C2C."
_BAD = Look(unit="short", steps=ANY_IS_BAD)


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    chosen = of_gpus(scope)
    return Dashboard(
        name="links",
        title="joulespan / Links",
        description="What carries the data between GPUs, processors and nodes, and whether it is whole.",
        rows=(
            Row("Now", (_now(chosen),)),
            Row("NVLink", (_nvlink(chosen), _nvlink_errors(chosen))),
            Row("NVLink, link by link", (_each(chosen),), closed=True),
            Row("Fabric", (_fabric(chosen), _cliques(chosen))),
            Row("PCIe", (_pcie(chosen), _slots(chosen))),
            Row("C2C of superchips", (_c2c(chosen),), closed=True),
        ),
        variables=(gpus(scope),),
        marks=(xids(chosen),),
    )


def _now(scope: Scope) -> Line:
    down = or_zero(links_down(scope).count(), scope.of(links.NVLINK_STATE).count())
    narrow = narrowed(scope)
    slower = or_zero(narrow.count(), scope.of(links.PCIE_WIDTH).count())
    return line(
        4,
        stat("NVLinks down", links.NVLINK_STATE, Query(down, instant=True), look=_BAD, empty=_NO_NVLINK),
        stat(
            "NVLink errors in 1 h",
            links.NVLINK_ERRORS,
            Query(scope.increase(links.NVLINK_ERRORS, window="1h").sum(), instant=True),
            look=Look(unit="short", steps=ANY_IS_NOTED, decimals=0),
            empty=_NO_NVLINK,
        ),
        stat(
            "Fabric problems",
            FABRIC_HEALTH,
            Query(scope.of(FABRIC_HEALTH).sum(), instant=True),
            look=_BAD,
            empty=_NO_FABRIC,
        ),
        stat(
            "PCIe links narrowed",
            (links.PCIE_WIDTH, links.PCIE_WIDTH_LIMIT),
            Query(slower, instant=True),
            look=_BAD,
            note="How many have fewer lanes than they could.",
        ),
        stat(
            "PCIe replays in 1 h",
            links.PCIE_REPLAYS,
            Query(scope.increase(links.PCIE_REPLAYS, window="1h").sum(), instant=True),
            look=Look(unit="short", steps=(Step(GREEN), Step(ORANGE, 10), Step(RED, 1000)), decimals=0),
        ),
        stat(
            "NVLink traffic",
            links.GPU_NVLINK_IO,
            Query(scope.rate(links.GPU_NVLINK_IO).sum()),
            rate=True,
            empty=_NO_NVLINK,
        ),
    )


def narrowed(scope: Scope) -> Expr:
    """Select the PCIe links with fewer lanes than GPU and slot have; the generation falls when idle, lanes do not."""
    keys = (NODE, GPU)
    return scope.of(links.PCIE_WIDTH).max(*keys) < scope.of(links.PCIE_WIDTH_LIMIT).max(*keys)


def _nvlink(scope: Scope) -> Line:
    limit = scope.of(links.NVLINK_BANDWIDTH).sum(NODE, GPU).max()
    return line(
        8,
        *[
            graph(
                f"NVLink {words}",
                (links.GPU_NVLINK_IO, links.NVLINK_BANDWIDTH),
                Query(scope.rate(links.GPU_NVLINK_IO, {WAY: way}).sum(NODE, GPU), _NAME),
                Query(limit, "links of a GPU together", dashed=True),
                look=Look(low=0),
                empty=_NO_NVLINK,
                rate=True,
            )
            for way, words in (("transmit", "sent"), ("receive", "received"))
        ],
    )


def _nvlink_errors(scope: Scope) -> Line:
    return line(
        8,
        graph(
            "NVLink errors by kind",
            links.NVLINK_ERRORS,
            Query(scope.increase(links.NVLINK_ERRORS).sum("error.type"), "{error.type}"),
            look=Look(unit="short", low=0),
            draw=Draw(bars=True, stack=True),
            note="How many in each step of the graph. Replays cost time; many recoveries or CRC errors cost the link.",
            empty=_NO_NVLINK,
        ),
        graph(
            "NVLink errors by GPU",
            links.NVLINK_ERRORS,
            Query(scope.increase(links.NVLINK_ERRORS).sum(NODE, GPU) > 0, _NAME),
            look=Look(unit="short", low=0),
            draw=Draw(bars=True, stack=True),
            empty="no NVLink error happened in this time.",
        ),
        timeline(
            "NVLinks that are down",
            links.NVLINK_STATE,
            Query(links_down(scope).count(NODE, GPU), _NAME),
            look=Look(steps=(Step(RED),), unit="short"),
            note="How many of a GPU's links carry nothing and are not asleep.",
            empty="no link was down in this time.",
        ),
    )


def _each(scope: Scope) -> Line:
    keys = (NODE, GPU, "link")
    busiest = scope.rate(links.NVLINK_IO).sum(*keys).max(NODE, GPU)
    return line(
        9,
        graph(
            "Busiest link of each GPU",
            links.NVLINK_IO,
            Query(busiest, _NAME),
            look=Look(low=0),
            note="Both ways. Links of a GPU that differ much point to one that is down or slow.",
            empty="collectors.gpu.detail is off, or there are no NVLinks.",
            rate=True,
        ),
        table(
            "Links with errors",
            (links.NVLINK_ERRORS, links.NVLINK_BER),
            {NODE: Key("Node", _TO_NODE), GPU: Key("GPU", _TO_GPU), "link": Key("Link")},
            Column("In 1 h", scope.increase(links.NVLINK_ERRORS, window="1h").sum(*keys) > 0, Look(unit="short")),
            Column(
                "Since the driver's start",
                (scope.of(links.NVLINK_ERRORS).sum(*keys) > 0).topk(40),
                Look(unit="short"),
            ),
            Column(
                "Bit error rate", scope.of(links.NVLINK_BER, {"error.type": "effective"}).max(*keys), Look(unit="sci")
            ),
            sort="In 1 h",
            empty="no link has had an error.",
        ),
    )


def _fabric(scope: Scope) -> Line:
    joined = scope.of(FABRIC_STATE, {STATE: "completed"}).max(NODE, GPU)
    state = joined | scope.of(FABRIC_STATE).max(NODE, GPU) * 0
    problems = scope.of(FABRIC_HEALTH).max(NODE, GPU, "error.type")
    return line(
        7,
        timeline(
            "Joined the fabric",
            FABRIC_STATE,
            Query(state, _NAME),
            look=Look(texts={"0": ("no", ORANGE), "1": ("yes", GREEN)}, steps=(Step(ORANGE), Step(GREEN, 1))),
            empty=_NO_FABRIC,
        ),
        timeline(
            "Problems of the fabric",
            FABRIC_HEALTH,
            Query(problems.max("error.type"), "{error.type}"),
            look=Look(texts={"0": ("no", GREEN), "1": ("yes", RED)}, steps=(Step(GREEN), Step(RED, 1))),
            empty=_NO_FABRIC,
        ),
    )


def _cliques(scope: Scope) -> Line:
    keys = ("fabric.cluster_uuid", "fabric.clique")
    member = scope.of(gpu.FABRIC_INFO)
    broken = scope.of(FABRIC_HEALTH).max(NODE, "hw.id").times(member, (NODE, "hw.id"), keys)
    return line(
        7,
        table(
            "Cliques",
            (gpu.FABRIC_INFO, rack.GPUS, FABRIC_HEALTH),
            {"fabric.cluster_uuid": Key("Fabric", width=290), "fabric.clique": Key("Clique")},
            Column("GPUs", member.count(*keys), Look(unit="short")),
            Column("Nodes", member.count(*keys, NODE).count(*keys), Look(unit="short")),
            Column("Missing", scope.of(rack.GPUS, {"state": "missing"}).sum(*keys), _BAD, "text"),
            Column("GPUs with problems", broken.sum(*keys), _BAD, "text"),
            note="GPUs of a clique reach each other's memory. An NVL72 is one fabric; where GPUs are missing, a job "
            "that wants them all will wait.",
            empty=_NO_FABRIC,
        ),
        table(
            "Members",
            (gpu.FABRIC_INFO, gpu.PLATFORM_INFO, FABRIC_STATUS),
            {
                NODE: Key("Node", _TO_NODE),
                GPU: Key("GPU", _TO_GPU),
                "fabric.clique": Key("Clique"),
                "platform.chassis": Key("Chassis"),
                "platform.tray": Key("Tray"),
            },
            Column("Clique of", member.max(NODE, GPU, "fabric.clique"), Look(), hidden=True),
            Column(
                "Place of",
                scope.of(gpu.PLATFORM_INFO).max(NODE, GPU, "platform.chassis", "platform.tray"),
                Look(),
                hidden=True,
            ),
            Column("Registration", scope.of(FABRIC_STATUS).max(NODE, GPU), _BAD, "text"),
            note="Registration is NVML's return code; 0 is success.",
            empty=_NO_FABRIC,
        ),
    )


def _pcie(scope: Scope) -> Line:
    return line(
        8,
        *[
            graph(
                f"PCIe {words}",
                links.PCIE_IO,
                Query(scope.rate(links.PCIE_IO, {WAY: way}).sum(NODE, GPU), _NAME),
                look=Look(low=0),
                rate=True,
            )
            for way, words in (("transmit", "sent by GPUs"), ("receive", "received by GPUs"))
        ],
        graph(
            "PCIe replays and errors",
            (links.PCIE_REPLAYS, links.PCIE_ERRORS),
            Query(scope.increase(links.PCIE_REPLAYS).sum(NODE, GPU) > 0, f"{_NAME} replays"),
            Query(scope.increase(links.PCIE_ERRORS).sum(NODE, GPU, "error.type") > 0, f"{_NAME} {{error.type}}"),
            look=Look(unit="short", low=0),
            draw=Draw(bars=True, stack=True),
            empty="no PCIe error happened in this time.",
        ),
    )


def _slots(scope: Scope) -> Line:
    keys = (NODE, GPU)
    few = scope.of(links.PCIE_WIDTH).max(*keys) / scope.of(links.PCIE_WIDTH_LIMIT).max(*keys)
    return line(
        8,
        table(
            "PCIe links",
            (links.PCIE_WIDTH, links.PCIE_WIDTH_LIMIT, links.PCIE_GENERATION, links.PCIE_GENERATION_LIMIT),
            {NODE: Key("Node", _TO_NODE), GPU: Key("GPU", _TO_GPU)},
            Column("Lanes", scope.of(links.PCIE_WIDTH).max(*keys), Look(unit="short")),
            Column("of", scope.of(links.PCIE_WIDTH_LIMIT).max(*keys), Look(unit="short")),
            Column("Share of lanes", few, Look(unit="percentunit", steps=(Step(RED), Step(GREEN, 1))), "text"),
            Column("Generation", scope.of(links.PCIE_GENERATION).max(*keys), Look(unit="short")),
            Column("of generation", scope.of(links.PCIE_GENERATION_LIMIT).max(*keys), Look(unit="short")),
            note="A generation below its limit is usual while a GPU is idle; fewer lanes are not.",
        ),
    )


def _c2c(scope: Scope) -> Line:
    return line(
        7,
        timeline(
            "C2C links up",
            links.C2C_UP,
            Query(scope.of(links.C2C_UP).min(NODE, GPU), _NAME),
            look=Look(texts={"0": ("down", RED), "1": ("up", GREEN)}, steps=(Step(RED), Step(GREEN, 1))),
            empty=_NO_C2C,
        ),
        graph(
            "C2C errors",
            links.C2C_ERRORS,
            Query(scope.increase(links.C2C_ERRORS).sum(NODE, GPU, "error.type"), f"{_NAME} {{error.type}}"),
            look=Look(unit="short", low=0),
            draw=Draw(bars=True, stack=True),
            empty=_NO_C2C,
        ),
    )
