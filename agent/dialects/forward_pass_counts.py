# SPDX-License-Identifier: Apache-2.0
"""The forward passes of an engine's workers, added up: counters for export, and rows of the engine's sums in time.

Only a trace of every pass makes counters. Of a sampled one, what each worker was doing last is told, and that it is
sampled; an engine with one such worker has no sums. What a complete trace lacks is counted, and the time in which it
was lost has no value in the rows.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator

from agent.catalogue import trace_files as catalogue
from agent.catalogue.engine import ITERATIONS
from agent.clock import NS
from agent.dialects.forward_pass import Pass
from agent.dialects.forward_pass_steps import Row, Steps
from agent.entities import Engine
from agent.metric import Sample, Series
from agent.source_entities import EngineWorker, WorkerPhase, WorkerRecords, WorkerRequests

_SILENT = {True: 15 * NS, False: 60 * NS}
"""A worker that is idle says so each second, or at the next sample. One that says nothing is told nothing of."""
_FORGET = 600 * NS
_SETTLE = 3 * NS
"""Dynamo writes each second, and files are read each second: what is older than this is there."""
_WIDTH = 6


class Passes:
    """What the workers of one engine did."""

    def __init__(self, engine: str, step: int = NS // 10, workers: int = 128) -> None:
        """Give a row each `step` ns. At most `workers` workers and ranks are known, those that spoke last."""
        self._engine = engine
        self._most = workers
        self._workers: OrderedDict[tuple[int, int], _Worker] = OrderedDict()
        self._steps = Steps(step, _WIDTH)
        self._iterations = 0
        self.forgotten = 0
        """Workers that were forgotten to make room."""
        self.series = _series(engine)
        """What rows consist of."""

    def add(self, one: Pass, at: int, now: int) -> None:
        """Take in a pass that was over at a time (ns, monotonic), read now."""
        worker = self._worker(one)
        before = worker.last_at
        amounts = _amounts(one)
        outcome = worker.see(one, amounts, at, now)
        if worker.lost and before is not None:
            self._steps.blur(before, at)
        if outcome == "counted":
            self._iterations += 1
            if not self._steps.add(at - int(one.duration * NS), at, amounts):
                outcome = "late"
        elif outcome == "idle" and one.full:
            self._steps.add(at, at, (0.0,) * _WIDTH)
        worker.records[outcome] += 1

    def rows(self, now: int) -> list[Row]:
        """Give the engine's sums at each step that has passed. None while no worker, or not each, tells of all."""
        rows = list(self._steps.close(now - _SETTLE))
        return rows if self.complete(now) else []

    def complete(self, now: int) -> bool:
        """Whether workers are heard, and every one of them tells of all of its passes."""
        heard = [worker for worker in self._workers.values() if worker.heard(now)]
        return bool(heard) and all(worker.full for worker in heard)

    def samples(self, now: int, *, iterations: bool = True) -> Iterator[Sample]:
        """Say what the workers did. Without `iterations`, another source tells how many the engine's were."""
        self._expire(now)
        if iterations and self.complete(now):
            yield ITERATIONS(Engine(self._engine), self._iterations)
        ranks = Counter(worker for worker, _ in self._workers)
        for (number, rank), worker in self._workers.items():
            if worker.heard(now):
                name = str(rank) if ranks[number] > 1 else None
                yield from worker.samples(EngineWorker(self._engine, str(number), name))

    def _worker(self, one: Pass) -> "_Worker":
        key = (one.worker, one.rank)
        worker = self._workers.get(key)
        if worker is None:
            worker = self._workers[key] = _Worker()
        self._workers.move_to_end(key)
        if len(self._workers) > self._most:
            self._workers.popitem(last=False)
            self.forgotten += 1
        return worker

    def _expire(self, now: int) -> None:
        for key, worker in list(self._workers.items()):
            if now - worker.heard_at > _FORGET:
                del self._workers[key]


class _Worker:
    """What a worker's rank has told."""

    def __init__(self) -> None:
        self.full = True
        self.last_at: int | None = None
        self.heard_at = 0
        self.lost = 0
        self.records: Counter[str] = Counter()
        self._number: int | None = None
        self._missing = 0
        self._total = [0.0] * _WIDTH
        self._last: Pass | None = None

    def see(self, one: Pass, amounts: tuple[float, ...], at: int, now: int) -> str:
        """Take in a pass. Returns what it is; `lost` is how many are missing between it and the one before."""
        self.lost = 0
        if self._number is not None and one.number <= self._number and (self.last_at is None or at <= self.last_at):
            return "repeated"
        if one.full and self.full and self._number is not None:
            # A smaller number, later, is that of a worker that began anew.
            self.lost = max(0, one.number - self._number - 1)
            self._missing += self.lost
        self.full, self._number, self.last_at, self.heard_at, self._last = one.full, one.number, at, now, one
        if one.idle:
            return "idle"
        if not one.full:
            return "sampled"
        for number, amount in enumerate(amounts):
            self._total[number] += amount
        return "counted"

    def heard(self, now: int) -> bool:
        return now - self.heard_at <= _SILENT[self.full]

    def samples(self, worker: EngineWorker) -> Iterator[Sample]:
        yield catalogue.TRACE_COMPLETE(worker, self.full)
        for outcome, number in self.records.items():
            yield catalogue.TRACE_RECORDS(WorkerRecords(worker, outcome), number)
        if self.full:
            iterations, duration, *tokens = self._total
            yield catalogue.TRACE_MISSING(worker, self._missing)
            yield catalogue.WORKER_ITERATIONS(worker, iterations)
            yield catalogue.WORKER_BUSY(worker, duration)
            for phase, computed, read in zip(("prefill", "decode"), tokens[:2], tokens[2:], strict=True):
                yield catalogue.WORKER_TOKENS(WorkerPhase(worker, phase), computed)
                yield catalogue.WORKER_KV_TOKENS(WorkerPhase(worker, phase), read)
        if (last := self._last) is not None:
            for phase, state, load in (
                ("prefill", "scheduled", last.prefill),
                ("decode", "scheduled", last.decode),
                ("prefill", "queued", last.queued_prefill),
                ("decode", "queued", last.queued_decode),
            ):
                yield catalogue.WORKER_REQUESTS(WorkerRequests(worker, phase, state), load.requests)


def _amounts(one: Pass) -> tuple[float, ...]:
    """What is added up of a pass, in the order of _series."""
    return (
        1.0,
        one.duration,
        float(one.prefill.tokens),
        float(one.decode.tokens),
        float(one.prefill.kv_tokens),
        float(one.decode.kv_tokens),
    )


def _series(engine: str) -> tuple[Series, ...]:
    workers = EngineWorker(engine)
    prefill, decode = WorkerPhase(workers, "prefill"), WorkerPhase(workers, "decode")
    return (
        ITERATIONS.series(Engine(engine)),
        catalogue.WORKER_BUSY.series(workers),
        catalogue.WORKER_TOKENS.series(prefill),
        catalogue.WORKER_TOKENS.series(decode),
        catalogue.WORKER_KV_TOKENS.series(prefill),
        catalogue.WORKER_KV_TOKENS.series(decode),
    )
