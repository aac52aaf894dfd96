# SPDX-License-Identifier: Apache-2.0
"""Alerts about the agent itself: what it does not see, and what it loses."""

from agent.catalogue.gpu import GPU_INFO
from agent.catalogue.own import (
    BUILD_INFO,
    COLLECTOR_DURATION,
    COLLECTOR_LAST_SUCCESS,
    COLLECTOR_MISSED,
    COLLECTOR_SUCCESS,
    CONFIG_RELOADS,
    EXPORTER_LAST_SUCCESS,
    QUEUE_DROPPED,
    READER_SILENCE,
    READER_STUCK,
    READER_UP,
    RECEIVER_REFUSALS,
    RECEIVER_SPANS,
    SERIES_DROPPED,
)
from agent.promql import Scope, now
from alerts import thresholds as to
from alerts.alert import NODE, Alert, grew
from alerts.thresholds import Thresholds


def agent(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    """List them."""
    return (
        *_presence(scope, limits),
        *_reader(scope, limits),
        *_collectors(scope, limits),
        *_losses(scope, limits),
    )


def _presence(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    here = scope.of(BUILD_INFO)
    seen = here.over("last", limits.period(to.AGENT_REMEMBERED))
    target = ("job", *NODE)
    return (
        Alert(
            name="JoulespanDown",
            severity="critical",
            expr=scope.up().equals(0).where(here.over("last", "1w"), *target),
            hold="5m",
            keep="5m",
            meaning="Prometheus has the agent as a target and gets no answer.",
            summary="joulespan on {instance} does not answer",
            description="Prometheus does not get the metrics of joulespan on {instance}: the node, the agent or the "
            "way there is down.",
        ),
        Alert(
            name="JoulespanVanished",
            severity="warning",
            expr=seen.max(*target).unless(here, *NODE).unless(scope.up().equals(0), *target),
            hold="10m",
            thresholds=(to.AGENT_REMEMBERED,),
            meaning="An agent that was there is no target any more, or has stopped to push.",
            summary="joulespan on {instance} is gone",
            description="Nothing came of joulespan on {instance} for ten minutes, and it is no target that is down.",
        ),
        Alert(
            name="JoulespanAbsent",
            severity="critical",
            expr=scope.absent(BUILD_INFO),
            hold="10m",
            meaning="There is no agent at all.",
            summary="There is no joulespan",
            description="No joulespan is known to this Prometheus: all are down, or none is scraped or pushes.",
        ),
        Alert(
            name="JoulespanReadingsOld",
            severity="warning",
            expr=now() - scope.of(COLLECTOR_LAST_SUCCESS).max(*NODE) > limits.limit(to.READINGS_AGE),
            hold="5m",
            keep="5m",
            thresholds=(to.READINGS_AGE,),
            meaning="No collector of the agent has succeeded for long, or the clock of the node is behind.",
            summary="joulespan on {instance} reads nothing",
            description="The last collector of joulespan on {instance} that succeeded did so {value:duration} ago.",
        ),
        Alert(
            name="JoulespanClockAhead",
            severity="warning",
            expr=scope.of(COLLECTOR_LAST_SUCCESS).max(*NODE) - now() > limits.limit(to.CLOCK),
            hold="5m",
            keep="5m",
            thresholds=(to.CLOCK,),
            meaning="The agent reports readings of the future: the clock of the node is ahead.",
            summary="The clock of {instance} is ahead",
            description="The clock of {instance} is {value:duration} before that of Prometheus. Spans and readings of "
            "other nodes do not fit to its own.",
        ),
    )


def _reader(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    had_gpus = scope.of(GPU_INFO).over("last", limits.period(to.GPU_REMEMBERED))
    silent = scope.of(READER_SILENCE) > limits.limit(to.SILENCE)
    return (
        Alert(
            name="JoulespanReaderSilent",
            severity="critical",
            expr=scope.of(READER_UP).equals(0).where(had_gpus, *NODE) | silent,
            hold="2m",
            keep="5m",
            thresholds=(to.GPU_REMEMBERED, to.SILENCE),
            meaning="The process that asks the GPUs does not answer, or has no driver on a node that had GPUs.",
            summary="The GPUs of {instance} are not read",
            description="The reader process of joulespan on {instance} does not answer or has lost the driver, so "
            "that nothing is known of the GPUs.",
        ),
        Alert(
            name="JoulespanReaderStuck",
            severity="warning",
            expr=scope.of(READER_STUCK) > 0,
            hold="5m",
            meaning="A reader process hangs in a driver call that never returns.",
            summary="The driver of {instance} hangs",
            description="{value} reader processes on {instance} hang in the driver. They cannot be ended; other "
            "programs will hang there too.",
        ),
    )


def _collectors(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    slow = scope.of(COLLECTOR_DURATION).over("max", "10m") > limits.limit(to.DURATION)
    return (
        Alert(
            name="JoulespanCollectorFailing",
            severity="warning",
            expr=scope.of(COLLECTOR_SUCCESS).equals(0),
            hold="10m",
            keep="10m",
            meaning="A collector fails to read some or all of what it reads.",
            summary="Collector {collector} of {instance} fails",
            description="Readings of collector {collector} on {instance} fail. Series that cannot be read are absent.",
        ),
        Alert(
            name="JoulespanCollectorSlow",
            severity="warning",
            # One that runs every 100 ms leaves some out under any load, which is no fault: it is quick.
            expr=(scope.increase(COLLECTOR_MISSED, None, "10m") > limits.limit(to.MISSED)).where(
                slow, *NODE, "collector"
            ),
            hold="5m",
            keep="10m",
            thresholds=(to.MISSED, to.DURATION),
            meaning="A collector leaves runs out because the one before takes long.",
            summary="Collector {collector} of {instance} is too slow",
            description="Collector {collector} on {instance} left out {value} runs within ten minutes.",
        ),
        Alert(
            name="JoulespanSeriesDropped",
            severity="warning",
            expr=grew(scope, SERIES_DROPPED, None, "1h"),
            meaning="A collector found more series than it may have.",
            summary="Collector {collector} of {instance} drops series",
            description="Collector {collector} on {instance} left out {value} series within an hour: it is at its "
            "limit.",
        ),
        Alert(
            name="JoulespanConfigRefused",
            severity="warning",
            expr=grew(scope, CONFIG_RELOADS, {"outcome": "refused"}, "1h"),
            meaning="The agent was told to read its configuration again and found it wrong.",
            summary="joulespan on {instance} refused its configuration",
            description="joulespan on {instance} refused {value} reloads and goes on with the configuration it had.",
        ),
    )


def _losses(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    # Spans are only pushed when there are any; metrics always.
    pushed = scope.of(EXPORTER_LAST_SUCCESS, {"exporter": "otlp"})
    return (
        Alert(
            name="JoulespanQueueDropping",
            severity="warning",
            expr=scope.rate(QUEUE_DROPPED, None, "10m") > 0,
            hold="5m",
            keep="10m",
            meaning="A full queue of the agent drops what comes.",
            summary="Queue {queue} of joulespan on {instance} is full",
            description="Queue {queue} of joulespan on {instance} drops {value} items a second.",
        ),
        Alert(
            name="JoulespanReceiverRefusing",
            severity="warning",
            expr=grew(scope, RECEIVER_REFUSALS, None, "15m", limits.limit(to.REFUSALS)),
            keep="10m",
            thresholds=(to.REFUSALS,),
            meaning="The agent refuses OTLP requests of engines.",
            summary="joulespan on {instance} refuses {signal}: {reason}",
            description="{receiver} on {instance} refused {value} requests with {signal} within 15 minutes: {reason}.",
        ),
        Alert(
            name="JoulespanSpansDropped",
            severity="warning",
            expr=grew(scope, RECEIVER_SPANS, {"outcome": "dropped"}, "15m"),
            keep="10m",
            meaning="Spans that the agent had accepted were lost before they were forwarded.",
            summary="joulespan on {instance} loses spans: {reason}",
            description="joulespan on {instance} dropped {value} spans within 15 minutes: {reason}. Traces have holes.",
        ),
        Alert(
            name="JoulespanExporterFailing",
            severity="warning",
            expr=now() - pushed > limits.limit(to.PUSH_AGE),
            hold="5m",
            keep="5m",
            thresholds=(to.PUSH_AGE,),
            meaning="The agent cannot push metrics to its OTLP back end.",
            summary="joulespan on {instance} cannot push metrics",
            description="The last push of joulespan on {instance} that succeeded was {value:duration} ago.",
        ),
    )
