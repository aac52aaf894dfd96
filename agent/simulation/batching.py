# SPDX-License-Identifier: Apache-2.0
"""A serving engine's continuous batching with chunked prefill, one iteration after the other.

Every iteration gives each decoding sequence one token and fills up with prompt tokens of sequences that came before
others. Nothing depends on how far one advances at a time. However large the batch, an iteration takes the same few
microseconds to simulate: what decoding sequences get of the shared cost is one running sum for all of them.

The truth about energy: whoever did prefill, decode or KV reads bears their price; an iteration's own joules and what
the GPUs draw when idle are divided equally among the sequences in it.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from agent.simulation.deployment import Deployment, Work
from agent.simulation.workload import BLOCK, ClientRequest

KEPT = 30.0
"""Seconds of iterations that are kept at least."""
_TOKENIZER_SECONDS, _TOKENIZER_SECONDS_PER_TOKEN = 1e-3, 1.5e-6
_NOTHING = Work(0, 0, 0, 0)


class Finished(NamedTuple):
    """A sequence that is done. Times are s since the start, of the engine; joules are its true share of all GPUs'."""

    request: ClientRequest
    output_tokens: int
    queued: float
    scheduled: float
    first_token: float
    last_token: float
    prefill_joules: float
    decode_joules: float

    @property
    def joules(self) -> float:
        """Its energy, J."""
        return self.prefill_joules + self.decode_joules


class Iteration(NamedTuple):
    """One step of the engine: s since the start, and the work before it and in it."""

    start: float
    end: float
    before: Work
    done: Work


class Step(NamedTuple):
    """What an engine can say after an iteration: its end and length, s; tokens since the start; and how full it is.

    As vLLM counts them, the tokens of a prompt are there all at once, when it is done. `context` is the tokens in the
    KV cache.
    """

    end: float
    seconds: float
    computed_tokens: int
    cached_tokens: int
    generated_tokens: int
    running: int
    waiting: int
    context: int


class _Sequence:
    __slots__ = (
        "cached",
        "context",
        "first_token",
        "joules",
        "left",
        "output",
        "queued",
        "request",
        "scheduled",
        "shared",
    )

    def __init__(self, request: ClientRequest, cached: int, output: int, queued: float) -> None:
        self.request = request
        self.output = output
        self.queued = queued
        self.scheduled = self.first_token = queued
        self.context = self.cached = cached
        self.left = request.prompt_tokens - cached
        self.joules = 0.0
        self.shared = 0.0


def _ignore(_told: Finished | Step) -> None:
    pass


class Batching:
    """An engine at work. State is bounded: sequences by the limits, iterations by time."""

    def __init__(
        self,
        deployment: Deployment,
        requests: Iterator[ClientRequest],
        finished: Callable[[Finished], None] = _ignore,
        stepped: Callable[[Step], None] = _ignore,
    ) -> None:
        """Begin at time 0. `requests` come in the order of arrival; `finished` is called in the order of last tokens.

        It is called while advancing, with a sequence whose last token may be up to an iteration later than that, and
        `stepped` after every iteration, with what may be as much later.
        """
        self.refused = 0
        """Sequences that were turned away because too many waited."""
        self._truth = deployment.truth
        self._limits = deployment.limits
        self._idle_watts = deployment.truth.engine_idle_watts
        self._requests = requests
        self._finished = finished
        self._stepped = stepped
        self._computed = self._cached = self._generated = 0
        self._queued = 0.0
        self._next: ClientRequest | None = None
        self._waiting: deque[_Sequence] = deque()
        self._prefilling: list[_Sequence] = []
        self._decoding = 0
        self._context = 0
        self._ends: dict[int, list[_Sequence]] = {}
        self._number = 0
        self._end = 0.0
        self._shared = 0.0
        self._done = _NOTHING
        self._starts: list[float] = []
        self._iterations: list[Iteration] = []
        self._forgotten = False
        self._told = (-math.inf, _NOTHING)
        self._pull()

    def advance(self, until: float) -> None:
        """Run every iteration that starts until then, s since the start."""
        while (start := self._next_start()) <= until:
            self._iterate(start)

    def work(self, time: float) -> Work:
        """All work done until then; within an iteration it grows evenly. Raises ValueError before what is kept."""
        if time != self._told[0]:
            self._told = (time, self._work(time))
        return self._told[1]

    def iterations(self) -> list[Iteration]:
        """List the iterations that are kept."""
        return list(self._iterations)

    def _work(self, time: float) -> Work:
        self.advance(time)
        place = bisect_right(self._starts, time) - 1
        if place < 0:
            if self._forgotten:
                message = f"what was done until {time} s is no longer known"
                raise ValueError(message)
            return _NOTHING
        start, end, before, done = self._iterations[place]
        share = min(1.0, (time - start) / (end - start))
        return before.plus(done, share)

    def _next_start(self) -> float:
        if self._decoding or self._prefilling or self._waiting:
            return self._end
        return max(self._end, self._queued) if self._next else math.inf

    def _iterate(self, start: float) -> None:
        self._take_in(start)
        chunks = self._schedule(start)
        tokens = context = 0
        for sequence, take in chunks:
            tokens += take
            context += sequence.context
        done = Work(1, tokens, self._decoding, self._context + context)
        seconds = self._truth.seconds.of(done)
        shared = (self._truth.joules.iteration + self._idle_watts * seconds) / (self._decoding + len(chunks))
        self._end = start + seconds
        self._keep(Iteration(start, self._end, self._done, done))
        self._number += 1
        self._shared += shared
        self._context += self._decoding
        for sequence in self._ends.pop(self._number, ()):
            self._finish_decode(sequence)
        for sequence, take in chunks:
            self._prefill(sequence, take, shared)
        self._generated += int(done.decode_tokens)
        self._stepped(self._step(seconds))

    def _step(self, seconds: float) -> Step:
        running = self._decoding + len(self._prefilling)
        context = self._context + sum(sequence.context for sequence in self._prefilling)
        tokens = (self._computed, self._cached, self._generated)
        return Step(self._end, seconds, *tokens, running, len(self._waiting), context)

    def _take_in(self, time: float) -> None:
        while self._next is not None and self._queued <= time:
            request = self._next
            for place, output in enumerate(request.outputs):
                if len(self._waiting) >= self._limits.waiting:
                    self.refused += 1
                    continue
                again = (request.prompt_tokens - 1) // BLOCK * BLOCK
                cached = max(request.cached_tokens, again) if place else request.cached_tokens
                self._waiting.append(_Sequence(request, cached, output, self._queued))
            self._pull()

    def _pull(self) -> None:
        """Get to know the next request. The tokenizer takes one prompt at a time."""
        self._next = next(self._requests, None)
        if self._next is not None:
            took = _TOKENIZER_SECONDS + _TOKENIZER_SECONDS_PER_TOKEN * self._next.prompt_tokens
            self._queued = max(self._queued, self._next.arrival) + took

    def _schedule(self, start: float) -> list[tuple[_Sequence, int]]:
        """Divide what decoding leaves of the iteration among prompts, those first that came first."""
        budget = self._limits.batched_tokens - self._decoding
        room = self._limits.sequences - self._decoding - len(self._prefilling)
        chunks: list[tuple[_Sequence, int]] = []
        for sequence in self._prefilling:
            if budget:
                take = min(sequence.left, budget)
                budget -= take
                chunks.append((sequence, take))
        while self._waiting and room and budget:
            sequence = self._waiting.popleft()
            sequence.scheduled = start
            self._prefilling.append(sequence)
            take = min(sequence.left, budget)
            budget -= take
            room -= 1
            chunks.append((sequence, take))
        return chunks

    def _prefill(self, sequence: _Sequence, take: int, shared: float) -> None:
        price = self._truth.joules
        sequence.joules += shared + price.prefill_token * take + price.kv_token * sequence.context
        sequence.context += take
        sequence.left -= take
        if sequence.left:
            return
        self._prefilling.remove(sequence)
        self._computed += sequence.request.prompt_tokens - sequence.cached
        self._cached += sequence.cached
        self._generated += 1
        sequence.first_token = self._end
        if sequence.output == 1:
            self._finish(sequence, 0.0)
            return
        self._decoding += 1
        self._context += sequence.context
        sequence.shared = self._shared
        self._ends.setdefault(self._number + sequence.output - 1, []).append(sequence)

    def _finish_decode(self, sequence: _Sequence) -> None:
        """Add up what it did: with a prompt of p tokens, its step number i (from 0) read p + i tokens of KV cache."""
        steps, prompt = sequence.output - 1, sequence.context
        read = steps * prompt + steps * (steps - 1) // 2
        price = self._truth.joules
        own = price.decode_token * steps + price.kv_token * read
        self._decoding -= 1
        self._context -= prompt + steps
        self._finish(sequence, own + self._shared - sequence.shared)

    def _finish(self, sequence: _Sequence, decode_joules: float) -> None:
        self._finished(
            Finished(
                sequence.request,
                sequence.output,
                sequence.queued,
                sequence.scheduled,
                sequence.first_token,
                self._end,
                sequence.joules,
                decode_joules,
            )
        )

    def _keep(self, iteration: Iteration) -> None:
        self._done = iteration.before.plus(iteration.done)
        self._starts.append(iteration.start)
        self._iterations.append(iteration)
        if self._starts[0] < iteration.start - 2 * KEPT:
            # The one before the first that is kept says what was done until then.
            cut = max(0, bisect_right(self._starts, iteration.start - KEPT) - 1)
            del self._starts[:cut], self._iterations[:cut]
            self._forgotten = True
