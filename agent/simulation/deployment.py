# SPDX-License-Identifier: Apache-2.0
"""What a simulated engine is: its GPUs, its traffic, and the truth about what its work takes.

The truth is linear: an iteration takes time and energy for itself, for each prompt token computed, for each sequence
that gets a token, and for each token of KV cache read. Chosen, in the order of magnitude of H100 boards, not measured.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

PERIOD: Final = 180.0
"""Seconds after which what goes wrong in a demo with faults begins again."""


class Work(NamedTuple):
    """Work done: iterations, prompt tokens computed, tokens decoded after the first, KV-cache tokens read for both."""

    iterations: float
    prefill_tokens: float
    decode_tokens: float
    kv_tokens: float

    def plus(self, more: "Work", share: float = 1) -> "Work":
        """Add a share of other work."""
        return Work(
            self[0] + share * more[0], self[1] + share * more[1], self[2] + share * more[2], self[3] + share * more[3]
        )


class Rates(NamedTuple):
    """What one unit of each kind of work takes: seconds, joules, or bytes."""

    iteration: float
    prefill_token: float
    decode_token: float
    kv_token: float

    def of(self, work: Work) -> float:
        """What this work takes."""
        return self[0] * work[0] + self[1] * work[1] + self[2] * work[2] + self[3] * work[3]

    def times(self, shares: "Rates") -> "Rates":
        """Scale each rate by its own share."""
        return Rates(*(rate * share for rate, share in zip(self, shares, strict=True)))


@dataclass(frozen=True, slots=True)
class Truth:
    """What the work of an engine takes. The ledger must find it out; its tests compare with it."""

    seconds: Rates
    """s of the engine: the sum is how long an iteration lasts."""
    joules: Rates
    """J of all its GPUs together, above what they draw when idle."""
    idle_watts: tuple[float, ...]
    """W of each of its GPUs while no iteration runs; also drawn beneath the joules while one does."""
    shares: tuple[float, ...]
    """The share of the joules that falls to each of its GPUs; the sum is 1."""
    nvlink_bytes: float
    """Bytes that each of its GPUs sends, and as many that it receives, for each token through the model.

    Two all-reduces per layer in rings of n GPUs: 2 x layers x hidden size x 2 bytes x 2 (n - 1) / n.
    """
    memory_bytes: int
    """Bytes allocated on each of its GPUs: weights, KV cache and buffers, all at start."""

    @property
    def engine_idle_watts(self) -> float:
        """W of all its GPUs while no iteration runs."""
        return sum(self.idle_watts)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an engine does at a time. `batched_tokens` is more than `sequences`, so that prompts never starve."""

    sequences: int = 64
    """Sequences running (vLLM: max_num_seqs)."""
    batched_tokens: int = 2048
    """Tokens in one iteration: prompts are computed in chunks (vLLM: max_num_batched_tokens)."""
    waiting: int = 512
    """Sequences that wait; whoever asks beyond them is refused."""
    kv_tokens: int = 1 << 20
    """Tokens that the KV cache holds; more than the longest request needs. When it is full, who came last yields."""


class Spell(NamedTuple):
    """A time in which something is `factor` times what it usually is: s into a script that begins again and again."""

    begin: float
    end: float
    factor: float

    def at(self, time: float) -> float:
        """Say what to multiply with then, s since the start: 1 outside of it."""
        return self.factor if self.begin <= time % PERIOD < self.end else 1.0


NEVER: Final = Spell(0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with an engine; nothing by default."""

    slow: Spell = NEVER
    """Iterations take so many times as long, as when one of its GPUs is held back."""
    failing: Spell = NEVER
    """One of so many requests ends in an error."""
    down: Spell = NEVER
    """It has ended and begins again at the end of this: who was in it is lost, and who comes is refused."""

    def back(self, time: float) -> float:
        """Say when it is there again, s since the start; `time` itself when it is there."""
        if self.down.at(time) == 1.0:
            return time
        return time - time % PERIOD + self.down.end

    def fails(self, tokens: int, time: float) -> bool:
        """Say whether a request of so many tokens, which is as good as chance, fails when it ends then."""
        one_of = self.failing.at(time)
        return one_of > 1.0 and tokens % one_of < 1.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who asks an engine for what, on average."""

    requests_per_second: float
    swing: float = 0.7
    """How far the rate swings around its mean, as a share of it, below 1."""
    period: float = 600.0
    """Seconds of one swing: a day, shortened."""
    prompt_median: float = 330.0
    output_median: float = 180.0
    surge: Spell = NEVER
    """When so many times as many requests come."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A simulated engine on this node."""

    name: str
    """What it calls itself (`service.name`)."""
    model: str
    gpus: tuple[int, ...]
    """NVML indexes, by rank."""
    seed: int
    truth: Truth
    traffic: Traffic
    limits: Limits = Limits()
    trouble: Trouble = Trouble()


class SimulatedEngine(NamedTuple):
    """A simulated engine that runs: a deployment's name, its process, and when it began, ns of CLOCK_MONOTONIC."""

    name: str
    pid: int
    started_ns: int
