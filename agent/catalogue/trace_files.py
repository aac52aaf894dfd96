# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA Dynamo's trace files say: every forward pass of its workers, and every request; and how they are read."""

from agent.metric import Counter, Gauge, UpDownCounter
from agent.source_entities import (
    EngineWorker,
    RequestRecord,
    TraceFileLoss,
    TraceFiles,
    TraceFileState,
    WorkerPhase,
    WorkerRecords,
    WorkerRequests,
)
from agent.unit import Unit

WORKER_ITERATIONS = Counter(
    "joulespan.engine.worker.iterations",
    Unit.ITERATIONS,
    EngineWorker,
    "Forward passes of a worker, where its trace tells of each.",
)
WORKER_BUSY = Counter(
    "joulespan.engine.worker.pass.duration", Unit.SECONDS, EngineWorker, "Time that forward passes of a worker took."
)
WORKER_TOKENS = Counter(
    "joulespan.engine.worker.tokens",
    Unit.TOKENS,
    WorkerPhase,
    "Tokens that forward passes computed: of prompts; in decode one for each sequence and pass, of which speculative "
    "decoding may make more.",
)
WORKER_KV_TOKENS = Counter(
    "joulespan.engine.worker.kv_tokens",
    Unit.TOKENS,
    WorkerPhase,
    "Tokens of context that forward passes read from the KV cache.",
)
WORKER_REQUESTS = Gauge(
    "joulespan.engine.worker.requests",
    Unit.REQUESTS,
    WorkerRequests,
    "Requests in, and waiting for, the last pass told.",
)
TRACE_COMPLETE = Gauge(
    "joulespan.engine.worker.trace.complete",
    Unit.NONE,
    EngineWorker,
    "1 where the worker's trace tells of every pass, 0 where it is sampled: then the worker has no counters.",
)
TRACE_RECORDS = Counter(
    "joulespan.engine.worker.trace.records",
    Unit.ITEMS,
    WorkerRecords,
    "Lines of a worker's forward-pass trace, by what was made of them.",
)
TRACE_MISSING = Counter(
    "joulespan.engine.worker.trace.missing",
    Unit.ITEMS,
    EngineWorker,
    "Passes and heartbeats that a complete trace should tell of and does not: the counters lack them.",
)
REQUEST_RECORDS = Counter(
    "joulespan.request.trace.records",
    Unit.ITEMS,
    RequestRecord,
    "Records of requests from a trace file, by whether they were joined with a span.",
)
FILES = UpDownCounter(
    "joulespan.file.count",
    Unit.ITEMS,
    TraceFileState,
    "Files that a collector was told of, by whether it follows them.",
)
FILE_LINES = Counter("joulespan.file.lines", Unit.ITEMS, TraceFiles, "Lines read of followed files.")
FILE_LOST = Counter(
    "joulespan.file.lost",
    Unit.ITEMS,
    TraceFileLoss,
    "What was not read of followed files, in what the reason says.",
)
