# SPDX-License-Identifier: Apache-2.0
"""Divides a recording after the fact: all of its counters among all of its requests, at once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.clock import NS
from agent.config import Engine as EngineConfig
from agent.entities import Gpu
from agent.errors import RecordingError
from agent.otlp.values import span_attribute
from agent.processors.annotation import GPU_IDS
from agent.processors.charging import Sender, placements
from agent.processors.energy_annotation import annotations, covered
from agent.processors.ledger.book import EngineKey
from agent.processors.ledger.device import Accounts
from agent.processors.ledger.ledger import Closed, Ledger
from agent.processors.ledger.payment import METHODS
from agent.processors.ledger.steps import Numbers
from agent.processors.ledger.work import EMPTY, Work
from agent.processors.topology import Placement
from agent.recording.counters import Read
from agent.recording.requests import At, Found

_STEPS = (0.1, 0.2, 0.5, 1.0)
"""Seconds that a step can have; a window of the ledger is a whole number of each."""
_MANY, _MOST = 2_000_000, 8_000_000
"""Steps of all GPUs together beyond which longer steps are taken, and beyond which it is too much. One takes 250 B."""


class Class(NamedTuple):
    """Requests of one engine with one model."""

    engine: str
    model: str | None


class Sums(NamedTuple):
    """What the requests of a class came to.

    Tokens of prompts computed and found in a cache (NaN where no request says it), and of outputs; J of prefill and of
    decode. `whole` are the requests whose energy is known for all of their time; the next four are of these: J of both
    phases, tokens computed and made. `idle` and `unattributed` are shares in the energy of the GPUs of the engine.
    `method` is how most were divided.
    """

    requests: float
    computed: float
    cached: float
    made: float
    prefill: float
    decode: float
    whole: float
    whole_prefill: float
    whole_decode: float
    whole_computed: float
    whole_made: float
    idle: float
    unattributed: float
    method: str


class Outcome(NamedTuple):
    """What became of a recording.

    Encoded attributes of each span that is annotated; sums of each class; what became of all energy, of how many
    GPUs, over how many seconds; requests that could not be placed, by engine and reason; and requests that reach
    beyond the energy counters.
    """

    annotations: dict[At, bytes]
    classes: dict[Class, Sums]
    total: Accounts
    gpus: int
    seconds: float
    unmapped: Mapping[tuple[str, str], int]
    beyond: int


class _Charged(NamedTuple):
    """The requests that have GPUs: which, in the numbering of what was found, their engines and their classes."""

    number: NDArray[np.int64]
    keys: list[EngineKey]
    key: NDArray[np.int64]
    classes: list[Class]
    kind: NDArray[np.int64]


def divide(read: Read, found: Found, engines: Sequence[EngineConfig]) -> Outcome:
    """Divide. Raises RecordingError where the clocks of metrics and spans do not meet, or there is too much."""
    _overlap(read, found)
    places = placements(dict.fromkeys(one.sender for one in found.charged), engines, read.engines, read.gpus)
    charged, unmapped = _charged(found, places)
    step, last = _steps(read)
    # Times are floats: near 0 they are exact to less than a ns.
    shift = (found.origin - read.first) / NS
    work = found.work if found.work.rows else EMPTY
    work = work._replace(begin=work.begin + shift, first=work.first + shift, end=work.end + shift)
    ledger = Ledger(read.timeline, read.first, step)
    ledger.watch(read.gpus)
    for place, key in enumerate(charged.keys):
        rows = charged.key == place
        number = charged.number[rows]
        ledger.add(key, number, charged.kind[rows], work.take(number))
    closed = ledger.close(last)
    ledger.forget(last)
    accounts = dict(ledger.accounts())
    total = Accounts(*(sum(column) for column in zip(*accounts.values(), strict=True)))
    shared = _Shared(closed, len(found.charged))
    told = dict(_annotations(found, charged, closed))
    classes = _sums(found, charged, shared, work, accounts)
    beyond = len(charged.number) - int(shared.whole.sum())
    return Outcome(told, classes, total, len(accounts), last * step, unmapped, beyond)


def _overlap(read: Read, found: Found) -> None:
    if found.charged and (found.last < read.first or found.first > read.last):
        raise RecordingError(
            f"the clocks do not overlap: energy was read {_span(read.first, read.last)}, "
            f"requests ran {_span(found.first, found.last)}; record both on one node, or set its clock"
        )


def _span(first: int, last: int) -> str:
    since, until = (np.datetime_as_string(np.datetime64(min(one, 1 << 62), "ns"), "ms") for one in (first, last))
    return f"from {since}Z to {until}Z"


def _steps(read: Read) -> tuple[float, int]:
    """Choose the length of a step, s, and how many there are."""
    seconds = (read.last - read.first) / NS
    for step in _STEPS:
        if (count := max(1, ceil(seconds / step))) * len(read.gpus) <= (_MANY if step < _STEPS[-1] else _MOST):
            return step, count
    raise RecordingError(
        f"too long: {len(read.gpus)} GPUs {_span(read.first, read.last)}; attribute its files one after the other"
    )


def _charged(found: Found, places: Mapping[Sender, Placement]) -> tuple[_Charged, Counter[tuple[str, str]]]:
    """Sort requests by engine and class; those without GPUs are counted."""
    keys: dict[EngineKey, int] = {}
    classes: dict[Class, int] = {}
    unmapped: Counter[tuple[str, str]] = Counter()
    rows: list[tuple[int, int, int]] = []
    for number, one in enumerate(found.charged):
        placement = places[one.sender]
        if placement.gpus:
            key = keys.setdefault(EngineKey(placement.engine, placement.gpus), len(keys))  # type: ignore[arg-type]
            rows.append((number, key, classes.setdefault(Class(placement.engine, one.model), len(classes))))
        else:
            unmapped[placement.engine, str(placement.reason)] += 1
    columns = np.array(rows, np.int64).reshape(len(rows), 3).T
    return _Charged(columns[0], list(keys), columns[1], list(classes), columns[2]), unmapped


class _Shared:
    """Of each request that was found: J of its phases, whether they are all, and by which of METHODS; -1 is none."""

    def __init__(self, closed: Closed, count: int) -> None:
        self.prefill, self.decode = np.zeros(count), np.zeros(count)
        self.whole, self.method = np.zeros(count, bool), np.full(count, -1)
        for one in closed.shares:
            self.prefill[one.number], self.decode[one.number] = one.prefill, one.decode
            self.whole[one.number] = covered(one)
            self.method[one.number] = one.method
        self.charges = closed.charges


def _annotations(found: Found, charged: _Charged, closed: Closed) -> Iterator[tuple[At, bytes]]:
    keys = dict(zip(charged.number.tolist(), charged.key.tolist(), strict=True))
    named = [span_attribute(GPU_IDS, [gpu.id for gpu in key.gpus]) for key in charged.keys]
    for number, key in keys.items():
        yield found.places[number], named[key]
    for shares in closed.shares:
        for number, attributes in zip(shares.number.tolist(), annotations(shares), strict=True):
            yield found.places[number], named[keys[number]] + attributes


def _sums(
    found: Found, charged: _Charged, shared: _Shared, work: Work, accounts: Mapping[Gpu, Accounts]
) -> dict[Class, Sums]:
    number, kind, count = charged.number, charged.kind, len(charged.classes)
    work = work.take(number)
    whole = shared.whole[number]
    made = np.array([found.charged[one].output_tokens for one in number.tolist()], np.float64)

    def add(amounts: Numbers) -> list[float]:
        return np.bincount(kind, amounts, count).tolist()  # type: ignore[no-any-return]

    joules = np.zeros((2, count))
    for charge in shared.charges:
        joules[:, charge.kind] += charge.prefill, charge.decode
    columns = (
        *(add(np.ones(len(number))), add(work.computed), _where_known(kind, work.cached, count), add(made)),
        *joules.tolist(),
        add(whole.astype(np.float64)),
        *(add(np.where(whole, one[number], 0.0)) for one in (shared.prefill, shared.decode)),
        *(add(np.where(whole, one, 0.0)) for one in (work.computed, made)),
    )
    methods = np.stack([add((shared.method[number] == one).astype(np.float64)) for one in range(len(METHODS))])
    sums: dict[Class, Sums] = {}
    for place, one in enumerate(charged.classes):
        told = [column[place] for column in columns]
        method = tuple(METHODS)[int(methods[:, place].argmax())]
        sums[one] = Sums._make([*told, *_rest(charged, one.engine, accounts), method])
    return sums


def _rest(charged: _Charged, engine: str, accounts: Mapping[Gpu, Accounts]) -> tuple[float, float]:
    """Give the shares of idling and of what nobody explains in the energy of an engine's GPUs."""
    gpus = {gpu for key in charged.keys if key.name == engine for gpu in key.gpus}
    measured = sum(accounts[gpu].measured for gpu in gpus) or 1.0
    return (
        sum(accounts[gpu].idle for gpu in gpus) / measured,
        sum(accounts[gpu].unattributed for gpu in gpus) / measured,
    )


def _where_known(kind: NDArray[np.int64], amounts: Numbers, count: int) -> list[float]:
    """Add up for each kind what is known; NaN where nothing is."""
    known = ~np.isnan(amounts)
    sums = np.bincount(kind[known], amounts[known], count)
    return np.where(np.bincount(kind[known], minlength=count) > 0, sums, np.nan).tolist()  # type: ignore[no-any-return]
