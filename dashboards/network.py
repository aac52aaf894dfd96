# SPDX-License-Identifier: Apache-2.0
"""What carries the data between nodes: network interfaces, RDMA, congestion, and the switches this node hears of."""

from agent.catalogue import nic, rdma, switch, tcp
from agent.promql import NotRegex, Regex, Scope, now
from dashboards.grafana import ANY_IS_BAD, ANY_IS_NOTED, GREEN, ORANGE, RED, Draw, Look, Query, Step
from dashboards.measures import NODE, WAY, or_zero
from dashboards.page import Dashboard, Line, Row, line, to
from dashboards.panels import graph, stat, timeline
from dashboards.tables import Column, Key, table

_NIC, _PORT = "{instance} {hw.name}", "{instance} {hw.name}/{rdma.port}"
_ENDS = (NODE, "hw.name")
_PORTS = (NODE, "hw.name", "rdma.port")
_SWITCHES = ("switch", "switch.port")
_TO_NODE = to("node", instance="{Node}")
_BAD = Look(unit="short", steps=ANY_IS_BAD)
_NOTED = Look(unit="short", steps=ANY_IS_NOTED, decimals=0)
_UP = Look(texts={"0": ("down", RED), "1": ("up", GREEN)}, steps=(Step(RED), Step(GREEN, 1)))
_UNUSUAL = {"error.type": NotRegex("fec_corrected.*")}
_NO_NIC = "no physical network interface is read here."
_NO_RDMA = "there is no RDMA device here."
_NO_SWITCH = "no switch sends its telemetry here, and no page of one is scraped."
_QUIET = "nothing of this happened in this time."


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    return Dashboard(
        name="network",
        title="joulespan / Network",
        description="What carries the data between nodes, and where it waits, is marked, paused, lost or sent again.",
        rows=(
            Row("Now", (_now(scope),)),
            Row("Traffic", (_traffic(scope), _interfaces(scope))),
            Row("Congestion", (_congestion(scope), _losses(scope))),
            Row("Links", (_links(scope),)),
            Row("TCP", (_tcp(scope),), closed=True),
            Row("Switches", (_switches(scope), _switch_ports(scope)), closed=True),
        ),
    )


def _now(scope: Scope) -> Line:
    down = or_zero(scope.of(nic.NETWORK_UP).equals(0).count(), scope.of(nic.NETWORK_UP).count())
    ports = or_zero(scope.of(rdma.RDMA_UP).equals(0).count(), scope.of(rdma.RDMA_UP).count())
    return line(
        4,
        stat("Interfaces down", nic.NETWORK_UP, Query(down, instant=True), look=_BAD, empty=_NO_NIC),
        stat("RDMA ports down", rdma.RDMA_UP, Query(ports, instant=True), look=_BAD, empty=_NO_RDMA),
        stat(
            "RDMA losses in 1 h",
            rdma.RDMA_RETRANSMITS,
            Query(scope.increase(rdma.RDMA_RETRANSMITS, window="1h").sum(), instant=True),
            look=_NOTED,
            empty=_NO_RDMA,
        ),
        stat(
            "Link downs in 1 h",
            (nic.LINK_DOWNS, rdma.RDMA_LINK_DOWNS, nic.CARRIER_CHANGES),
            Query(scope.increase(nic.CARRIER_CHANGES, window="1h").sum(), instant=True),
            look=_NOTED,
            note="Counted as changes of the carrier: one that comes back counts twice.",
            empty=_NO_NIC,
        ),
        stat(
            "Pause storms in 1 h",
            nic.PAUSE_STORMS,
            Query(scope.increase(nic.PAUSE_STORMS, window="1h").sum(), instant=True),
            look=_BAD._replace(decimals=0),
            empty="these interfaces do not count them.",
        ),
        stat(
            "Traffic",
            (nic.NETWORK_IO, rdma.RDMA_IO),
            Query(scope.rate(nic.NETWORK_IO).sum(), "kernel"),
            Query(scope.rate(rdma.RDMA_IO).sum(), "RDMA ports"),
            empty=_NO_NIC,
            rate=True,
        ),
    )


def _traffic(scope: Scope) -> Line:
    made = []
    for way, words in (("transmit", "sent"), ("receive", "received")):
        where = {WAY: way}
        kernel = scope.rate(nic.NETWORK_IO, where).sum(*_ENDS)
        made += [
            graph(
                f"RDMA ports: {words}",
                (rdma.RDMA_IO, rdma.RDMA_BANDWIDTH),
                Query(scope.rate(rdma.RDMA_IO, where).sum(*_PORTS).leaders(20, *_PORTS), _PORT),
                Query(scope.of(rdma.RDMA_BANDWIDTH).max(), "fastest port", dashed=True),
                look=Look(low=0),
                empty=_NO_RDMA,
                rate=True,
            ),
            graph(
                f"Interfaces: {words}",
                nic.NETWORK_IO,
                Query(kernel.leaders(20, *_ENDS), _NIC),
                look=Look(low=0),
                note="The 20 busiest.",
                empty=_NO_NIC,
                rate=True,
            ),
        ]
    return line(8, made[0], made[2], made[1], made[3])


def _interfaces(scope: Scope) -> Line:
    speed = scope.of(nic.NETWORK_BANDWIDTH).max(*_ENDS)
    kinds = {NODE: Key("Node", _TO_NODE, 170), "hw.name": Key("Interface")}
    return line(
        8,
        table(
            "Interfaces",
            (nic.NIC_INFO, nic.NETWORK_UP, nic.NETWORK_BANDWIDTH, nic.NETWORK_IO, nic.NIC_DROPPED),
            {**kinds, "kind": Key("Kind"), "hw.driver": Key("Driver")},
            Column("Is", scope.of(nic.NIC_INFO).max(*_ENDS, "kind", "hw.driver"), Look(), hidden=True),
            Column("Link", scope.of(nic.NETWORK_UP).max(*_ENDS), _UP, "fill"),
            Column("Speed", speed * 8, Look(unit="bps", decimals=0)),
            Column("Sent", scope.rate(nic.NETWORK_IO, {WAY: "transmit"}).sum(*_ENDS), Look(unit="binBps")),
            Column("Received", scope.rate(nic.NETWORK_IO, {WAY: "receive"}).sum(*_ENDS), Look(unit="binBps")),
            Column("Dropped in 1 h", scope.increase(nic.NIC_DROPPED, window="1h").sum(*_ENDS), _NOTED, "text"),
            Column("Errors in 1 h", scope.increase(nic.NIC_ERRORS, window="1h").sum(*_ENDS), _NOTED, "text"),
            sort="Errors in 1 h",
            note="Bytes are the kernel's, without RDMA's.",
            empty=_NO_NIC,
        ),
        table(
            "RDMA ports",
            (rdma.RDMA_INFO, rdma.RDMA_UP, rdma.RDMA_IO, rdma.RDMA_RETRANSMITS),
            {
                NODE: Key("Node", _TO_NODE, 170),
                "hw.name": Key("Device"),
                "rdma.port": Key("Port", width=60),
                "rdma.link_layer": Key("Layer"),
            },
            Column("Is", scope.of(rdma.RDMA_INFO).max(*_PORTS, "rdma.link_layer"), Look(), hidden=True),
            Column("Link", scope.of(rdma.RDMA_UP).max(*_PORTS), _UP, "fill"),
            Column("Speed", scope.of(rdma.RDMA_BANDWIDTH).max(*_PORTS) * 8, Look(unit="bps", decimals=0)),
            Column("Traffic", scope.rate(rdma.RDMA_IO).sum(*_PORTS), Look(unit="binBps")),
            Column("Losses in 1 h", scope.increase(rdma.RDMA_RETRANSMITS, window="1h").sum(*_PORTS), _NOTED, "text"),
            sort="Losses in 1 h",
            empty=_NO_RDMA,
        ),
    )


def _congestion(scope: Scope) -> Line:
    paused = scope.rate(nic.PAUSE_DURATION).max(*_ENDS, "priority", WAY)
    return line(
        8,
        graph(
            "Notifications and marks of RoCE",
            (rdma.RDMA_CNP, rdma.RDMA_ECN_MARKED),
            Query(scope.rate(rdma.RDMA_CNP).sum("outcome"), "notifications {outcome}"),
            Query(scope.rate(rdma.RDMA_ECN_MARKED).sum(), "marked packets"),
            look=Look(unit="pps", low=0),
            note="Some are usual: this is how RoCE finds its speed. Many without end say that many send to one.",
            empty="there is no RoCE here.",
        ),
        graph(
            "Time for which sending was paused",
            nic.PAUSE_DURATION,
            Query(paused > 0, "{instance} {hw.name} priority {priority} {network.io.direction}"),
            look=Look(low=0),
            note="Share of time, by priority flow control.",
            empty="nothing was paused, or pausing is off.",
            rate=True,
        ),
        graph(
            "Wanted to send and could not",
            rdma.RDMA_TRANSMIT_WAIT,
            Query(scope.rate(rdma.RDMA_TRANSMIT_WAIT).sum(*_PORTS) > 0, _PORT),
            look=Look(low=0),
            empty="no port waited, or none tells.",
            rate=True,
        ),
        graph(
            "PCIe did not take what came in",
            nic.PCI_STALLED,
            Query(scope.of(nic.PCI_STALLED) > 0, "{instance} {hw.name} {access}"),
            look=Look(low=0),
            note="Then the host is the narrow part, not the network.",
            empty="no interface was held up by PCIe, or none tells.",
        ),
    )


def _losses(scope: Scope) -> Line:
    return line(
        8,
        graph(
            "Signs of loss in RDMA",
            rdma.RDMA_RETRANSMITS,
            Query(scope.rate(rdma.RDMA_RETRANSMITS).sum("reason") > 0, "{reason}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            empty=_QUIET,
            rate=True,
        ),
        graph(
            "Receivers not ready",
            rdma.RDMA_NOT_READY,
            Query(scope.rate(rdma.RDMA_NOT_READY).sum("reason") > 0, "{reason}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            empty=_QUIET,
            rate=True,
        ),
        graph(
            "Discarded and dropped",
            (nic.NIC_DISCARDS, rdma.RDMA_DISCARDS, nic.NIC_DROPPED),
            Query(scope.rate(nic.NIC_DISCARDS).sum("reason", WAY) > 0, "interface {reason} {network.io.direction}"),
            Query(scope.rate(rdma.RDMA_DISCARDS).sum("reason") > 0, "RDMA {reason}"),
            Query(scope.rate(nic.NIC_DROPPED).sum(WAY) > 0, "kernel {network.io.direction}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            empty=_QUIET,
            rate=True,
        ),
        graph(
            "Errors of links",
            (nic.PORT_ERRORS, rdma.RDMA_ERRORS),
            Query(scope.rate(nic.PORT_ERRORS, _UNUSUAL).sum("error.type") > 0, "interface {error.type}"),
            Query(scope.rate(rdma.RDMA_ERRORS).sum("error.type") > 0, "RDMA {error.type}"),
            look=Look(low=0),
            note="Bits that forward error correction repaired are left out: they are usual.",
            empty=_QUIET,
            rate=True,
        ),
    )


def _links(scope: Scope) -> Line:
    return line(
        7,
        timeline(
            "RDMA ports",
            rdma.RDMA_UP,
            Query(scope.of(rdma.RDMA_UP).min(*_PORTS), _PORT),
            look=_UP,
            empty=_NO_RDMA,
        ),
        timeline(
            "Interfaces",
            nic.NETWORK_UP,
            Query(scope.of(nic.NETWORK_UP).min(*_ENDS), _NIC),
            look=_UP,
            empty=_NO_NIC,
        ),
    )


def _tcp(scope: Scope) -> Line:
    sent = scope.rate(tcp.SEGMENTS, {WAY: "transmit"}).sum(NODE) > 0
    return line(
        8,
        graph(
            "TCP segments sent again",
            (tcp.RETRANSMITS, tcp.SEGMENTS),
            Query((scope.rate(tcp.RETRANSMITS).sum(NODE) / sent).leaders(20, NODE), "{instance}"),
            look=Look(unit="percentunit", low=0),
            note="Share of segments. Above a hundredth users feel it.",
        ),
        graph(
            "TCP time-outs, overflows and drops",
            (tcp.TIMEOUTS, tcp.LISTEN_OVERFLOWS, tcp.SOFTNET_DROPPED),
            Query(scope.rate(tcp.TIMEOUTS).sum(), "time-outs"),
            Query(scope.rate(tcp.LISTEN_OVERFLOWS).sum(), "listen queue full"),
            Query(scope.rate(tcp.SOFTNET_DROPPED).sum(), "softnet dropped"),
            Query(scope.rate(tcp.DROPS).sum("reason") > 0, "dropped: {reason}"),
            look=Look(low=0),
            rate=True,
        ),
        graph(
            "TCP connections",
            tcp.CONNECTIONS,
            Query(scope.of(tcp.CONNECTIONS).sum("network.connection.state"), "{network.connection.state}"),
            look=Look(low=0),
        ),
    )


def _switches(scope: Scope) -> Line:
    heard = now() - scope.of(switch.LAST_SEEN).max("switch")
    failed = scope.of(switch.PART_STATE, {"hw.state": "failed"}).sum("switch")
    return line(
        8,
        table(
            "Switches",
            (switch.INFO, switch.LAST_SEEN, switch.PART_STATE, switch.PORT_UP),
            {"switch": Key("Switch", width=170), "switch.kind": Key("Kind")},
            Column("Is", scope.of(switch.INFO).max("switch", "switch.kind"), Look(), hidden=True),
            Column("Heard", heard, Look(unit="s", steps=(Step(GREEN), Step(ORANGE, 60), Step(RED, 300))), "text"),
            Column("Ports down", scope.of(switch.PORT_UP).equals(0).count("switch"), Look(unit="short")),
            Column("Parts failed", failed, _BAD, "text"),
            Column("Power", scope.of(switch.POWER).sum("switch"), Look(unit="watt")),
            Column("Hottest", scope.of(switch.TEMPERATURE).max("switch"), Look(unit="celsius")),
            note="Ports without a cable are down too.",
            empty=_NO_SWITCH,
        ),
        graph(
            "Queues at their deepest",
            switch.BUFFER_WATERMARK,
            Query(
                scope.of(switch.BUFFER_WATERMARK, {"switch.buffer": Regex("traffic_class|egress_pool")})
                .max(*_SWITCHES)
                .leaders(20, *_SWITCHES),
                "{switch} {switch.port}",
            ),
            look=Look(low=0),
            note="The 20 ports with most.",
            empty=_NO_SWITCH,
        ),
    )


def _switch_ports(scope: Scope) -> Line:
    name = "{switch} {switch.port}"
    return line(
        8,
        graph(
            "Switch ports: sent",
            switch.PORT_IO,
            Query(
                scope.rate(switch.PORT_IO, {WAY: "transmit"}).sum(*_SWITCHES).leaders(20, *_SWITCHES),
                name,
            ),
            look=Look(low=0),
            note="The 20 busiest.",
            empty=_NO_SWITCH,
            rate=True,
        ),
        graph(
            "Switch ports: marked, discarded, in error",
            (switch.PORT_MARKED, switch.PORT_DISCARDS, switch.PORT_ERRORS),
            Query(scope.rate(switch.PORT_MARKED).sum(*_SWITCHES) > 0, f"{name} marked"),
            Query(scope.rate(switch.PORT_DISCARDS).sum(*_SWITCHES) > 0, f"{name} discarded"),
            Query(scope.rate(switch.PORT_ERRORS).sum(*_SWITCHES) > 0, f"{name} errors"),
            look=Look(unit="pps", low=0),
            empty=_QUIET,
        ),
        graph(
            "Switch ports: pause frames",
            (switch.PRIORITY_PAUSES, switch.PORT_PAUSES),
            Query(
                scope.rate(switch.PRIORITY_PAUSES).sum(*_SWITCHES, "switch.priority", WAY) > 0,
                f"{name} priority {{switch.priority}} {{{WAY}}}",
            ),
            Query(
                scope.rate(switch.PORT_PAUSES).sum(*_SWITCHES, WAY) > 0, "{switch} {switch.port} {network.io.direction}"
            ),
            look=Look(unit="pps", low=0),
            empty=_QUIET,
        ),
    )
