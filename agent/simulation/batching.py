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
    """A sequence that is done. Times are s since the start, of the engine; joules are its true share of all GPUs'.

    What it took to compute a prompt again after a preemption counts as decode: the first token was there.
    """

    request: ClientRequest
    cached_tokens: int
    output_tokens: int
    queued: float
    scheduled: float
    first_token: float
    last_token: float
    prefill_joules: float
    decode_joules: float
    failed: bool = False

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
    """What an engine can say after an iteration: its end and length, s; counts since the start; and how full it is.

    As vLLM counts them, the tokens of a prompt are there all at once, when it is done. `context` is the tokens in the
    KV cache.
    """

    end: float
    seconds: float
    computed_tokens: int
    cached_tokens: int
    generated_tokens: int
    preempted: int
    running: int
    waiting: int
    context: int


class _Sequence:
    __slots__ = ("began", "cached", "context", "decode_joules", "first_token", "left", "made", "output",
                 "prefill_joules", "queued", "request", "scheduled", "shared")  # fmt: skip

    def __init__(self, request: ClientRequest, cached: int, output: int, queued: float) -> None:
        self.request = request
        self.cached = cached
        self.output = output
        self.queued = queued
        self.scheduled: float | None = None
        self.first_token: float | None = None
        self.context = cached
        self.left = request.prompt_tokens - cached
        self.made = 0
        self.prefill_joules = self.decode_joules = 0.0
        self.began = 0
        self.shared = 0.0

    @property
    def needs(self) -> int:
        """Tokens of KV cache that its prompt takes."""
        return self.context + self.left


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
        """Sequences that were turned away because too many waited, or because the engine was not there."""
        self.lost = 0
        """Sequences that were in the engine when it ended."""
        self.preempted = 0
        """Times that a sequence lost its KV cache to others and had to compute it again."""
        self.prompts = 0
        """Prompts computed to the end, those computed again included: each made a token."""
        self.computed_tokens = self.cached_tokens = 0
        """Tokens of prompts that were computed and that were found in the prefix cache, counted at the first token."""
        self._truth = deployment.truth
        self._trouble = deployment.trouble
        self._limits = deployment.limits
        self._idle_watts = deployment.truth.engine_idle_watts
        self._requests = requests
        self._finished = finished
        self._stepped = stepped
        self._queued = 0.0
        self._next: ClientRequest | None = None
        self._waiting: deque[_Sequence] = deque()
        self._prefilling: list[_Sequence] = []
        self._decoding = 0
        self._context = 0
        self._ends: dict[int, dict[_Sequence, None]] = {}
        self._order: dict[_Sequence, int] = {}
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
            if (back := self._trouble.back(start)) > start:
                self._begin_again(back)
            else:
                self._iterate(start)

    def work(self, time: float) -> Work:
        """All work done until then; within an iteration it grows evenly. Raises ValueError before what is kept."""
        if time != self._told[0]:
            self._told = (time, self._work(time))
        return self._told[1]

    @property
    def running(self) -> int:
        """Sequences in the batch, after the last iteration that was run."""
        return self._decoding + len(self._prefilling)

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
        self._make_room()
        chunks = self._schedule(start)
        tokens = context = 0
        for sequence, take in chunks:
            tokens += take
            context += sequence.context
        done = Work(1, tokens, self._decoding, self._context + context)
        seconds = self._truth.seconds.of(done) * self._trouble.slow.at(start)
        shared = (self._truth.joules.iteration + self._idle_watts * seconds) / (self._decoding + len(chunks))
        self._end = start + seconds
        self._keep(Iteration(start, self._end, self._done, done))
        self._number += 1
        self._shared += shared
        self._context += self._decoding
        for sequence in self._ends.pop(self._number, ()):
            self._leave_decode(sequence)
            self._finish(sequence)
        for sequence, take in chunks:
            self._prefill(sequence, take, shared)
        self._stepped(self._step(seconds))

    def _begin_again(self, time: float) -> None:
        """End, and be there again at a time. Whoever comes meanwhile finds nobody."""
        self.lost += self.running + len(self._waiting)
        self._waiting.clear()
        self._prefilling.clear()
        self._ends.clear()
        self._order.clear()
        self._decoding = self._context = 0
        self._end = time
        while self._next is not None and self._queued <= time:
            self.refused += len(self._next.outputs)
            self._pull()

    def _step(self, seconds: float) -> Step:
        context = self._context + sum(sequence.context for sequence in self._prefilling)
        generated = int(self._done.decode_tokens) + self.prompts
        tokens = (self.computed_tokens, self.cached_tokens, generated)
        return Step(self._end, seconds, *tokens, self.preempted, self.running, len(self._waiting), context)

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
            if (held := self._held) and held + self._waiting[0].needs > self._limits.kv_tokens:
                break
            sequence = self._waiting.popleft()
            if sequence.scheduled is None:
                sequence.scheduled = start
            self._prefilling.append(sequence)
            take = min(sequence.left, budget)
            budget -= take
            room -= 1
            chunks.append((sequence, take))
        return chunks

    @property
    def _held(self) -> int:
        """Tokens in the KV cache, with those that prompts under way will take."""
        return self._context + self._decoding + sum(one.needs for one in self._prefilling)

    def _make_room(self) -> None:
        """Preempt who began last, as vLLM does, until each of the others can add a token. It computes all anew."""
        while self._held > self._limits.kv_tokens and len(self._order) > 1:
            sequence = next(reversed(self._order))
            del self._ends[self._order[sequence]][sequence]
            self._leave_decode(sequence)
            sequence.left, sequence.context = sequence.context + 1, 0
            self._waiting.appendleft(sequence)
            self.preempted += 1

    def _prefill(self, sequence: _Sequence, take: int, shared: float) -> None:
        price = self._truth.joules
        took = shared + price.prefill_token * take + price.kv_token * sequence.context
        sequence.context += take
        sequence.left -= take
        if sequence.first_token is None:
            sequence.prefill_joules += took
        else:
            sequence.decode_joules += took
        if sequence.left:
            return
        self._prefilling.remove(sequence)
        self.prompts += 1
        if sequence.first_token is None:
            sequence.first_token = self._end
            self.computed_tokens += sequence.request.prompt_tokens - sequence.cached
            self.cached_tokens += sequence.cached
        sequence.made += 1
        if sequence.made == sequence.output:
            self._finish(sequence)
        else:
            self._enter_decode(sequence)

    def _enter_decode(self, sequence: _Sequence) -> None:
        self._decoding += 1
        self._context += sequence.context
        sequence.shared = self._shared
        sequence.began = self._number
        last = self._number + sequence.output - sequence.made
        self._ends.setdefault(last, {})[sequence] = None
        self._order[sequence] = last

    def _leave_decode(self, sequence: _Sequence) -> None:
        """Add up what it did: with c tokens of context at first, its step number i (from 0) read c + i of KV cache."""
        steps, context = self._number - sequence.began, sequence.context
        read = steps * context + steps * (steps - 1) // 2
        price = self._truth.joules
        sequence.decode_joules += price.decode_token * steps + price.kv_token * read + self._shared - sequence.shared
        sequence.made += steps
        sequence.context += steps
        self._decoding -= 1
        self._context -= sequence.context
        del self._order[sequence]

    def _finish(self, sequence: _Sequence) -> None:
        assert sequence.scheduled is not None
        assert sequence.first_token is not None
        self._finished(
            Finished(
                sequence.request,
                sequence.cached,
                sequence.output,
                sequence.queued,
                sequence.scheduled,
                sequence.first_token,
                self._end,
                sequence.prefill_joules,
                sequence.decode_joules,
                self._trouble.fails(sequence.output, self._end),
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
