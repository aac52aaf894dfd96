# SPDX-License-Identifier: Apache-2.0
"""The agents themselves: whether they read, receive and export everything, and what they cost."""

from agent.catalogue import own
from agent.promql import Not, Regex, Scope, now
from dashboards.grafana import ANY_IS_BAD, ANY_IS_NOTED, GREEN, RED, Draw, Look, Query, Step
from dashboards.measures import NODE, SHARE, or_zero
from dashboards.page import Dashboard, Line, Mark, Row, line, to
from dashboards.panels import graph, stat
from dashboards.tables import Column, Key, table

_NODE = "{instance}"
_BAD = Look(unit="short", steps=ANY_IS_BAD)
_NOTED = Look(unit="short", steps=ANY_IS_NOTED, decimals=0)
_SILENT = 10.0
_NO_ENGINE = "no engine is scraped."
_NO_SPANS = "engines send no telemetry here."


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    return Dashboard(
        name="agent",
        title="joulespan / Agent",
        description="Whether the agents read, receive and export everything, and what they cost.",
        rows=(
            Row("Now", (_now(scope), _agents(scope))),
            Row("Reading", (_reading(scope),)),
            Row("Engines", (_engines(scope),)),
            Row("Receiving and exporting", (_flow(scope),)),
            Row("What it costs", (_cost(scope),)),
        ),
        marks=(
            Mark(
                "Agent starts",
                scope.of(own.START_TIME) * 1000,
                "joulespan started",
                _NODE.replace("{", "{{").replace("}", "}}"),
                (NODE,),
                "blue",
                at_value=True,
            ),
        ),
    )


def _now(scope: Scope) -> Line:
    agents = scope.of(own.BUILD_INFO).count()
    failing = or_zero(scope.of(own.COLLECTOR_SUCCESS).equals(0).count(), agents)
    silent = or_zero((scope.of(own.READER_SILENCE) > _SILENT).count(), scope.of(own.READER_SILENCE).count())
    down = or_zero(scope.of(own.ENGINE_UP).equals(0).count(), scope.of(own.ENGINE_UP).count())
    refused = scope.increase(own.RECEIVER_SPANS, {"outcome": Regex("refused|dropped")}, "1h").sum()
    lost = scope.increase(own.EXPORTER_POINTS, {"outcome": "dropped"}, "1h").sum()
    cpu = scope.rate(own.CPU_TIME).sum(NODE).max()
    memory = scope.of(own.MEMORY).sum(NODE).max()
    return line(
        4,
        stat("Agents", own.BUILD_INFO, Query(agents, instant=True)),
        stat("Collectors failing", own.COLLECTOR_SUCCESS, Query(failing, instant=True), look=_BAD),
        stat(
            "Readers silent",
            own.READER_SILENCE,
            Query(silent, instant=True),
            look=_BAD,
            note=f"For more than {_SILENT:.0f} s: a driver call hangs, or the process is gone.",
        ),
        stat("Engines silent", own.ENGINE_UP, Query(down, instant=True), look=_BAD, empty=_NO_ENGINE),
        stat(
            "Spans lost in 1 h",
            own.RECEIVER_SPANS,
            Query(or_zero(refused, agents), instant=True),
            look=_NOTED,
            note="Refused, or dropped after they were taken in.",
        ),
        stat(
            "Points lost in 1 h",
            own.EXPORTER_POINTS,
            Query(or_zero(lost, agents), instant=True),
            look=_NOTED,
            note="Dropped by an exporter.",
        ),
        stat("Most CPU", own.CPU_TIME, Query(cpu), note="Of one agent; 1 is one core.", rate=True),
        stat("Most memory", own.MEMORY, Query(memory), note="Event loop and reader together."),
    )


def _agents(scope: Scope) -> Line:
    fine = Look(texts={"1": ("yes", GREEN), "0": ("no", RED)}, steps=(Step(RED), Step(GREEN, 1)))
    return line(
        8,
        table(
            "Agents",
            (own.BUILD_INFO, own.READER_UP, own.COLLECTOR_SUCCESS, own.START_TIME),
            {NODE: Key("Node", to("node", instance="{Node}")), "version": Key("Version"), "mode": Key("Mode")},
            Column("Is", scope.of(own.BUILD_INFO).max(NODE, "version", "mode"), Look(), hidden=True),
            Column("Started", scope.of(own.START_TIME).max(NODE) * 1000, Look(unit="dateTimeFromNow")),
            Column("Reader up", scope.of(own.READER_UP).min(NODE), fine, "fill"),
            Column("Collectors work", scope.of(own.COLLECTOR_SUCCESS).min(NODE), fine, "fill"),
            Column("Readers stuck", scope.of(own.READER_STUCK).max(NODE), _BAD, "text"),
            Column("Series left out in 1 h", scope.increase(own.SERIES_DROPPED, window="1h").sum(NODE), _NOTED, "text"),
            Column("CPU", scope.rate(own.CPU_TIME).sum(NODE), Look(unit="percentunit", decimals=1)),
            Column("Memory", scope.of(own.MEMORY).sum(NODE), Look(unit="bytes")),
            sort="CPU",
        ),
    )


def _reading(scope: Scope) -> Line:
    return line(
        8,
        graph(
            "Time that collectors take",
            own.COLLECTOR_DURATION,
            Query(scope.of(own.COLLECTOR_DURATION).max("collector").leaders(10, "collector"), "{collector}"),
            look=Look(low=0),
            note="The slowest ten, of the slowest node.",
        ),
        graph(
            "Readings that failed",
            (own.COLLECTOR_FAILURES, own.COLLECTOR_MISSED),
            Query(scope.rate(own.COLLECTOR_FAILURES).sum("collector", "error.type"), "{collector} {error.type}"),
            Query(scope.rate(own.COLLECTOR_MISSED).sum("collector") > 0, "{collector} left out"),
            look=Look(low=0),
            draw=Draw(stack=True),
            empty="no reading has failed.",
            rate=True,
        ),
        graph(
            "Silence of the reader",
            own.READER_SILENCE,
            Query(scope.of(own.READER_SILENCE).max(NODE).leaders(10, NODE), _NODE),
            look=Look(low=0),
            note="The longest ten.",
        ),
    )


def _engines(scope: Scope) -> Line:
    return line(
        8,
        table(
            "Engines that are scraped",
            (own.ENGINE_SCRAPE_INFO, own.ENGINE_UP, own.ENGINE_SCRAPE_LAST_SUCCESS),
            {
                NODE: Key("Node"),
                "engine": Key("Engine"),
                "engine.system": Key("Kind"),
                "url.full": Key("Page"),
                "error.type": Key("Failure"),
            },
            Column(
                "Is",
                scope.of(own.ENGINE_SCRAPE_INFO).max(NODE, "engine", "engine.system", "url.full", "error.type"),
                Look(),
                hidden=True,
            ),
            Column(
                "Up",
                scope.of(own.ENGINE_UP).min(NODE, "engine"),
                Look(texts={"1": ("yes", GREEN), "0": ("no", RED)}, steps=(Step(RED), Step(GREEN, 1))),
                "fill",
            ),
            Column(
                "Last success",
                now() - scope.of(own.ENGINE_SCRAPE_LAST_SUCCESS).max(NODE, "engine"),
                Look(unit="s", decimals=0),
            ),
            empty=_NO_ENGINE,
        ),
        graph(
            "Time that scrapes take",
            own.ENGINE_SCRAPE_DURATION,
            Query(scope.of(own.ENGINE_SCRAPE_DURATION).max("engine"), "{engine}"),
            look=Look(low=0),
            empty=_NO_ENGINE,
        ),
        widths=(16, 8),
    )


def _flow(scope: Scope) -> Line:
    return line(
        8,
        graph(
            "Spans by what became of them",
            own.RECEIVER_SPANS,
            Query(scope.rate(own.RECEIVER_SPANS).sum("outcome", "reason"), "{outcome} {reason}"),
            look=Look(low=0),
            note="not_forwarded is usual where exporters.traces.endpoint is not set.",
            empty=_NO_SPANS,
            rate=True,
        ),
        graph(
            "Requests refused",
            own.RECEIVER_REFUSALS,
            Query(scope.rate(own.RECEIVER_REFUSALS).sum("receiver", "reason"), "{receiver} {reason}"),
            look=Look(low=0),
            empty="nothing was refused.",
            rate=True,
        ),
        graph(
            "Queues and rings",
            (own.QUEUE_FILL, own.QUEUE_DROPPED),
            Query(scope.of(own.QUEUE_FILL).max("queue"), "{queue}"),
            look=SHARE,
            note="How full, on the fullest node. A ring that remembers is full in its steady state.",
        ),
        graph(
            "Waits on disk",
            (own.QUEUE_DISK_USAGE, own.QUEUE_DISK_FAILURES),
            Query(scope.of(own.QUEUE_DISK_USAGE).sum("queue"), "{queue}"),
            look=Look(low=0),
            note="What a back end could not take yet; sent in order when it is back.",
            empty="nothing is sent over OTLP.",
        ),
        graph(
            "Points by what became of them",
            own.EXPORTER_POINTS,
            Query(scope.rate(own.EXPORTER_POINTS).sum("exporter", "outcome"), "{exporter} {outcome}"),
            look=Look(low=0),
            rate=True,
        ),
        widths=(5, 5, 5, 4, 5),
    )


def _cost(scope: Scope) -> Line:
    return line(
        8,
        graph(
            "CPU",
            own.CPU_TIME,
            Query(scope.rate(own.CPU_TIME).sum(NODE, "process").leaders(10, NODE, "process"), "{instance} {process}"),
            look=Look(low=0),
            note="1 is one core.",
            rate=True,
        ),
        graph(
            "Memory",
            own.MEMORY,
            Query(scope.of(own.MEMORY).sum(NODE, "process").leaders(10, NODE, "process"), "{instance} {process}"),
            look=Look(low=0),
        ),
        graph(
            "Series",
            own.EXPORTER_POINTS,
            Query(
                scope.rate(own.EXPORTER_POINTS, {"exporter": "prometheus", "outcome": Not("dropped")}).sum(NODE)
                / (scope.rate(own.EXPORTER_REQUESTS, {"exporter": "prometheus"}).sum(NODE) > 0),
                _NODE,
            ),
            look=Look(unit="short", low=0),
            note="Points of a scrape: what this node costs Prometheus.",
            empty="nobody scrapes; the agent pushes.",
        ),
        graph(
            "Open file descriptors",
            own.OPEN_FDS,
            Query(scope.of(own.OPEN_FDS).sum(NODE, "process").leaders(10, NODE, "process"), "{instance} {process}"),
            look=Look(low=0),
        ),
    )
