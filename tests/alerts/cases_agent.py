# SPDX-License-Identifier: Apache-2.0
"""When alerts about the agent fire, and when they must not."""

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
from tests.alerts.cases import Case, Input, fires, of_gpu, silent, stored, up

FIRST = {"instance": "n1"}
NVLINK = {"collector": "gpu_nvlink"}
REFUSED = {"receiver": "otlp_grpc", "signal": "traces", "reason": "too_large"}
DROPPED = {"receiver": "otlp_grpc", "outcome": "dropped", "reason": "full"}


def here(values: str, node: str = "n1") -> Input:
    return stored(BUILD_INFO, values, {"version": "1", "mode": "run"}, node=node)


def took(values: str) -> Input:
    return stored(COLLECTOR_DURATION, values, NVLINK)


PRESENCE: tuple[Case, ...] = (
    fires(
        "JoulespanDown",
        "one node of two does not answer",
        "15m",
        *(up("1x3 0x30"), here("1x3 stale _x30")),
        *(up("1x30", node="n2"), here("1x30", "n2")),
        who=[FIRST],
    ),
    fires(
        "JoulespanDown", "it has not answered for a day", "25h", up("1x3 0x1600"), here("1x3 stale _x1600"), who=[FIRST]
    ),
    silent("JoulespanDown", "all answer", "15m", up("1x30"), here("1x30")),
    silent("JoulespanDown", "a target of others does not answer", "15m", up("0x30", job="node"), here("1x30", "n2")),
    silent("JoulespanDown", "it is taken out of the targets", "20m", up("1x3 0x5 stale _x30"), here("1x3 stale _x30")),
    fires(
        "JoulespanVanished",
        "one of two that push has stopped",
        "30m",
        *(here("1x3 stale _x30"), here("1x30", "n2")),
        who=[FIRST],
    ),
    silent("JoulespanVanished", "it is a target that is down", "30m", here("1x3 stale _x30"), up("1x3 0x30")),
    silent("JoulespanVanished", "it is there", "30m", here("1x60")),
    silent(
        "JoulespanVanished",
        "it came back with another version",
        "30m",
        here("1x3 stale _x30"),
        stored(BUILD_INFO, "_x4 1x30", {"version": "2"}),
    ),
    silent("JoulespanVanished", "it left long ago", "90m", here("1x3 stale _x90"), here("1x90", "n2")),
    fires("JoulespanAbsent", "there is none", "15m", up("1x30", job="node")),
    silent("JoulespanAbsent", "one of two is there", "15m", here("1x30"), here("1x3 stale _x30", "n2")),
    fires(
        "JoulespanReadingsOld",
        "one node of two reads nothing",
        "20m",
        stored(COLLECTOR_LAST_SUCCESS, "0 60x30", NVLINK),
        stored(COLLECTOR_LAST_SUCCESS, "0+60x30", NVLINK, node="n2"),
        who=[FIRST],
    ),
    silent(
        "JoulespanReadingsOld",
        "only one collector of two fails",
        "20m",
        stored(COLLECTOR_LAST_SUCCESS, "0 60x30", NVLINK),
        stored(COLLECTOR_LAST_SUCCESS, "0+60x30", {"collector": "gpu_power"}),
    ),
    fires(
        "JoulespanClockAhead", "two minutes", "10m", stored(COLLECTOR_LAST_SUCCESS, "120+60x30", NVLINK), who=[FIRST]
    ),
    silent("JoulespanClockAhead", "it is right", "10m", stored(COLLECTOR_LAST_SUCCESS, "0+60x30", NVLINK)),
)
READER: tuple[Case, ...] = (
    fires("JoulespanReaderSilent", "a call does not return", "8m", stored(READER_SILENCE, "0 60+60x20"), who=[FIRST]),
    fires(
        "JoulespanReaderSilent",
        "the driver is unloaded",
        "10m",
        of_gpu(GPU_INFO, "1x3 stale _x30"),
        stored(READER_UP, "1x3 0x30"),
        stored(READER_SILENCE, "0x30"),
        who=[FIRST],
    ),
    silent(
        "JoulespanReaderSilent",
        "the node never had GPUs",
        "10m",
        stored(READER_UP, "0x30"),
        stored(READER_SILENCE, "0x30"),
    ),
    silent("JoulespanReaderSilent", "it answers", "10m", stored(READER_UP, "1x30"), of_gpu(GPU_INFO, "1x30")),
    fires("JoulespanReaderStuck", "one hangs", "10m", stored(READER_STUCK, "1x30"), who=[FIRST]),
    silent("JoulespanReaderStuck", "none hangs", "10m", stored(READER_STUCK, "0x30")),
)
COLLECTORS: tuple[Case, ...] = (
    fires(
        "JoulespanCollectorFailing",
        "one of two fails",
        "15m",
        stored(COLLECTOR_SUCCESS, "0x30", NVLINK),
        stored(COLLECTOR_SUCCESS, "1x30", {"collector": "gpu_power"}),
        who=[NVLINK],
    ),
    silent(
        "JoulespanCollectorFailing",
        "one reading in between fails",
        "15m",
        stored(COLLECTOR_SUCCESS, "1x5 0 1x30", NVLINK),
    ),
    silent("JoulespanCollectorFailing", "all succeed", "15m", stored(COLLECTOR_SUCCESS, "1x30", NVLINK)),
    fires(
        "JoulespanCollectorSlow",
        "two runs a minute are left out",
        "20m",
        stored(COLLECTOR_MISSED, "0+2x30", NVLINK),
        took("12x30"),
        who=[NVLINK],
    ),
    silent("JoulespanCollectorSlow", "it is quick", "20m", stored(COLLECTOR_MISSED, "0+9x30", NVLINK), took("0.2x30")),
    silent(
        "JoulespanCollectorSlow",
        "one was left out",
        "20m",
        stored(COLLECTOR_MISSED, "0x10 1x30", NVLINK),
        took("12x30"),
    ),
    silent(
        "JoulespanCollectorSlow",
        "the agent began again",
        "20m",
        stored(COLLECTOR_MISSED, "900x10 0x30", NVLINK),
        took("12x30"),
    ),
    fires(
        "JoulespanSeriesDropped",
        "the first that is dropped makes the counter",
        "12m",
        stored(SERIES_DROPPED, "_x10 3x30", NVLINK),
        who=[NVLINK],
    ),
    silent("JoulespanSeriesDropped", "none is dropped", "12m", stored(SERIES_DROPPED, "0x30", NVLINK)),
    silent("JoulespanSeriesDropped", "they were dropped long ago", "120m", stored(SERIES_DROPPED, "0x5 3x200", NVLINK)),
    fires(
        "JoulespanConfigRefused",
        "a reload with a mistake",
        "12m",
        stored(CONFIG_RELOADS, "0x10 1x30", {"outcome": "refused"}),
        who=[FIRST],
    ),
    silent(
        "JoulespanConfigRefused",
        "a reload without one",
        "12m",
        stored(CONFIG_RELOADS, "0x10 1x30", {"outcome": "applied"}),
    ),
)
LOSSES: tuple[Case, ...] = (
    fires(
        "JoulespanQueueDropping",
        "it is full for long",
        "20m",
        stored(QUEUE_DROPPED, "0+9x30", {"queue": "traces"}),
        who=[{"queue": "traces"}],
    ),
    silent("JoulespanQueueDropping", "nothing is dropped", "20m", stored(QUEUE_DROPPED, "5x30", {"queue": "traces"})),
    silent(
        "JoulespanQueueDropping",
        "the agent began again",
        "20m",
        stored(QUEUE_DROPPED, "90x10 0x30", {"queue": "traces"}),
    ),
    fires(
        "JoulespanReceiverRefusing",
        "the first refusals make the counter",
        "12m",
        stored(RECEIVER_REFUSALS, "_x10 30x30", REFUSED),
        who=[FIRST],
    ),
    fires(
        "JoulespanReceiverRefusing", "two a minute", "30m", stored(RECEIVER_REFUSALS, "0+2x60", REFUSED), who=[FIRST]
    ),
    silent("JoulespanReceiverRefusing", "one is refused", "12m", stored(RECEIVER_REFUSALS, "_x10 1x30", REFUSED)),
    fires("JoulespanSpansDropped", "some are lost", "12m", stored(RECEIVER_SPANS, "_x10 4x30", DROPPED), who=[FIRST]),
    silent(
        "JoulespanSpansDropped",
        "all are forwarded",
        "12m",
        stored(RECEIVER_SPANS, "0+9x30", {**DROPPED, "outcome": "forwarded"}),
    ),
    fires(
        "JoulespanExporterFailing",
        "pushes fail",
        "20m",
        stored(EXPORTER_LAST_SUCCESS, "0 60x30", {"exporter": "otlp"}),
        who=[FIRST],
    ),
    silent(
        "JoulespanExporterFailing",
        "pushes succeed",
        "20m",
        stored(EXPORTER_LAST_SUCCESS, "0+60x30", {"exporter": "otlp"}),
    ),
    silent(
        "JoulespanExporterFailing",
        "there were no spans to push",
        "20m",
        stored(EXPORTER_LAST_SUCCESS, "0 60x30", {"exporter": "traces"}),
    ),
)
CASES = (*PRESENCE, *READER, *COLLECTORS, *LOSSES)
