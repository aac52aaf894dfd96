# SPDX-License-Identifier: Apache-2.0
"""How the agent itself is: what it read, lost, holds and costs."""

from agent.entities import (
    Agent,
    BuildInfo,
    Collector,
    CollectorFailure,
    Exporter,
    ExporterOutcome,
    Process,
    Queue,
    QueueFailure,
    Receiver,
    ReceiverRefusal,
    Reload,
    StateWrite,
)
from agent.metric import Counter, Gauge, Info, UpDownCounter
from agent.scrape_entities import EngineProbe, ScrapedEngine, ScrapeFault, ScrapeInfo
from agent.unit import Unit

BUILD_INFO = Info(
    "joulespan.build.info", BuildInfo, "The program that runs; mode demo means that the GPUs are simulated."
)
START_TIME = Gauge("joulespan.agent.start_time", Unit.SECONDS, Agent, "Unix time at which the agent started.")
CONFIG_RELOADS = Counter("joulespan.config.reloads", Unit.EVENTS, Reload, "Configuration reloads asked for.")
STATE_WRITES = Counter(
    "joulespan.state.writes", Unit.EVENTS, StateWrite, "Writes of what is remembered over a restart: calibrations."
)
COLLECTOR_DURATION = Gauge(
    "joulespan.collector.duration", Unit.SECONDS, Collector, "Time the collector's last run took, over all its devices."
)
COLLECTOR_SUCCESS = Gauge(
    "joulespan.collector.success",
    Unit.NONE,
    Collector,
    "1 when every reading of the last run succeeded. What a device does not support is no failure.",
)
COLLECTOR_LAST_SUCCESS = Gauge(
    "joulespan.collector.last_success", Unit.SECONDS, Collector, "Unix time of the last run that succeeded."
)
COLLECTOR_FAILURES = Counter(
    "joulespan.collector.failures", Unit.ERRORS, CollectorFailure, "Readings that failed, by kind."
)
COLLECTOR_MISSED = Counter(
    "joulespan.collector.missed", Unit.EVENTS, Collector, "Runs left out because an earlier one took too long."
)
READER_UP = Gauge(
    "joulespan.reader.up", Unit.NONE, Agent, "1 while the reader process has the driver open and answers."
)
READER_SILENCE = Gauge("joulespan.reader.silence", Unit.SECONDS, Agent, "Time since the reader process was last heard.")
READER_STARTS = Counter("joulespan.reader.starts", Unit.EVENTS, Agent, "Reader processes started.")
READER_STUCK = Gauge(
    "joulespan.reader.stuck", Unit.ITEMS, Agent, "Reader processes that hang in a driver call and were replaced."
)
READER_DROPPED = Counter(
    "joulespan.reader.dropped",
    Unit.ITEMS,
    Agent,
    "Messages the reader dropped because the agent did not take them in time.",
)
XID_SERIES_DROPPED = Counter(
    "joulespan.xid.dropped", Unit.EVENTS, Agent, "XID events that found no room in the table of codes."
)
SERIES_DROPPED = Counter(
    "joulespan.series.dropped", Unit.SERIES, Collector, "Series left out because the collector reached its limit."
)
QUEUE_FILL = Gauge("joulespan.queue.utilization", Unit.RATIO, Queue, "Share of a bounded queue or ring that is in use.")
QUEUE_DROPPED = Counter("joulespan.queue.dropped", Unit.ITEMS, Queue, "What a full queue dropped.")
QUEUE_DISK_USAGE = UpDownCounter(
    "joulespan.queue.disk.usage", Unit.BYTES, Queue, "On disk, of what a back end could not take yet."
)
QUEUE_DISK_FAILURES = Counter(
    "joulespan.queue.disk.failures",
    Unit.ITEMS,
    QueueFailure,
    "Files of a queue on disk that could not be written, or were lost.",
)
RECEIVER_SPANS = Counter(
    "joulespan.receiver.spans", Unit.SPANS, Receiver, "Spans that came in, by what became of them."
)
RECEIVER_POINTS = Counter(
    "joulespan.receiver.points", Unit.POINTS, Receiver, "Metric points that came in, by what became of them."
)
RECEIVER_LOG_RECORDS = Counter(
    "joulespan.receiver.log_records", Unit.ITEMS, Receiver, "Log records that came in, by what became of them."
)
RECEIVER_REFUSALS = Counter(
    "joulespan.receiver.refusals", Unit.REQUESTS, ReceiverRefusal, "Whole requests that were refused, by why."
)
ENGINE_UP = Gauge("joulespan.engine.up", Unit.NONE, ScrapedEngine, "1 when the last scrape of the engine succeeded.")
ENGINE_SCRAPE_INFO = Info("joulespan.engine.scrape.info", ScrapeInfo, "Engines whose metrics are scraped, and where.")
ENGINE_SCRAPE_DURATION = Gauge(
    "joulespan.engine.scrape.duration", Unit.SECONDS, ScrapedEngine, "Time the last scrape took, from call to samples."
)
ENGINE_SCRAPE_LAST_SUCCESS = Gauge(
    "joulespan.engine.scrape.last_success", Unit.SECONDS, ScrapedEngine, "Unix time of the last scrape that succeeded."
)
ENGINE_SCRAPE_FAILURES = Counter(
    "joulespan.engine.scrape.failures", Unit.ERRORS, ScrapeFault, "Scrapes that failed, by why."
)
ENGINE_SCRAPE_MISSED = Counter(
    "joulespan.engine.scrape.missed", Unit.EVENTS, ScrapedEngine, "Scrapes left out because one before took too long."
)
ENGINE_SCRAPE_DROPPED = Counter(
    "joulespan.engine.scrape.dropped",
    Unit.SERIES,
    ScrapeFault,
    "Series left out of scraped pages: malformed, or beyond a bound.",
)
ENGINE_PROBES = Counter(
    "joulespan.engine.probes", Unit.REQUESTS, EngineProbe, "Ports asked whether an engine answers there."
)
EXPORTER_POINTS = Counter(
    "joulespan.exporter.points", Unit.POINTS, ExporterOutcome, "Points given to an exporter, by what became of them."
)
EXPORTER_REQUESTS = Counter(
    "joulespan.exporter.requests", Unit.REQUESTS, ExporterOutcome, "Scrapes answered or pushes made."
)
EXPORTER_LAST_SUCCESS = Gauge(
    "joulespan.exporter.last_success", Unit.SECONDS, Exporter, "Unix time of the last scrape or push that succeeded."
)
CPU_TIME = Counter("joulespan.process.cpu.time", Unit.SECONDS, Process, "CPU time of the agent's processes.")
MEMORY = UpDownCounter(
    "joulespan.process.memory.usage", Unit.BYTES, Process, "Resident memory of the agent's processes."
)
OPEN_FDS = UpDownCounter(
    "joulespan.process.open_file_descriptors", Unit.ITEMS, Process, "Open file descriptors of the agent's processes."
)
