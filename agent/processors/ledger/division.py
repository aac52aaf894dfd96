# SPDX-License-Identifier: Apache-2.0
"""How the counters of one GPU are divided in some steps: among idling, the engines on it, and their sequences.

Where every engine that ran is calibrated, its model says who took how much of the energy, and is scaled to what the
counter says over windows of about 2 s: below that, the model knows better than the counter when the energy went.
Otherwise the energy of each step above idling is shared equally by time.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.processors.ledger.calibration import Coefficients
from agent.processors.ledger.claims import Prices
from agent.processors.ledger.load import Load
from agent.processors.ledger.meters import Metered
from agent.processors.ledger.steps import Numbers, Steps

Mask: TypeAlias = NDArray[np.bool_]
WINDOW = 2.0
"""Seconds over which modelled energy is scaled to measured energy."""
_NOTHING = 1e-9
_PRESENT = 1e-6
"""Seconds of sequences in a step below which none was there: the price of a second would be beyond all others."""

_FARTHEST = 10.0
"""How many times more than modelled may be measured: beyond, the model does not know what took it."""


class Run(NamedTuple):
    """An engine in some steps, on one GPU.

    Its load; the tokens that known sequences computed, decoded and read; its coefficients where they are good; and
    the share of its energy above idling that is this GPU's.
    """

    load: Load
    computed: Numbers
    decoded: Numbers
    read: Numbers
    coefficients: Coefficients | None
    share: float


class Part(NamedTuple):
    """An engine's part of a GPU in each step.

    What its sequences pay for energy, busy time, NVLink and PCIe bytes; the J that are those of known sequences, and
    of the others. `modelled` are the steps in which the model, not time, said who took how much.
    """

    energy: Prices
    busy: Prices
    nvlink: Prices
    pcie: Prices
    known: Numbers
    held: Numbers
    modelled: Mask


class Division(NamedTuple):
    """What became of each step: J of idling, J that nobody can claim, and the part of each engine."""

    idle: Numbers
    unclaimed: Numbers
    parts: list[Part]


def divide(
    steps: Steps, metered: Metered, runs: Sequence[Run], free: Numbers, idle_watts: float | None, hidden: Mask
) -> Division:
    """Divide.

    `free` are the seconds of each step in which no sequence ran, known or not, `idle_watts` what the GPU draws then.
    In the steps of `hidden` the GPU worked for nobody that is known.
    """
    joules = metered.joules
    sequences = _sum([run.load.sequences for run in runs], steps)
    ran = sequences > _PRESENT
    watts = 0.0 if idle_watts is None else idle_watts
    model = watts * steps.seconds + _sum([_above_idling(run) for run in runs], steps)
    total, measured = windowed(steps, model), windowed(steps, joules)
    modelled = _modelled(steps, runs) & ~hidden & (total > 0) & (measured <= _FARTHEST * total)
    scale = np.divide(measured, total, out=np.zeros(steps.length), where=modelled)
    resting = np.minimum(joules, joules * (free / steps.seconds) if idle_watts is None else watts * free)
    idle = np.where(modelled, scale * watts * free, np.where(ran | hidden, resting, joules))
    # What all sequences on the GPU carry together, whoever's they are: idling under them, or all that time shares.
    together = np.where(modelled, scale * watts * (steps.seconds - free), joules - idle)
    each = np.divide(together, sequences, out=np.zeros(steps.length), where=ran)
    worked = windowed(steps, np.where(modelled, scale * model, joules) - idle)
    parts = []
    for run in runs:
        energy = _energy(steps, run, scale, each)
        busy = energy.scaled(_per(metered.busy, worked, steps))
        nvlink, pcie = (_links(steps, run, counter, runs) for counter in (metered.nvlink, metered.pcie))
        load = run.load
        known = _at(energy, steps, load, (load.known, run.computed, run.decoded, run.read))
        held = _at(energy, steps, load, (load.unknown, load.more_computed, load.more_decoded, load.more_read))
        parts.append(Part(energy, busy, nvlink, pcie, known, held, modelled))
    return Division(idle, np.where(ran, 0.0, together), parts)


def windowed(steps: Steps, amounts: Numbers, seconds: float = WINDOW) -> Numbers:
    """Add up over windows, which begin at multiples of `seconds`; gives each step the sum of its window."""
    begins = window_begins(steps, seconds)
    sums: Numbers = np.repeat(np.add.reduceat(amounts, begins), np.diff(np.append(begins, steps.length)))
    return sums


def window_begins(steps: Steps, seconds: float = WINDOW) -> NDArray[np.int64]:
    """Give the places of the steps with which windows begin; the first of the steps is one."""
    width = max(1, round(seconds / steps.seconds))
    return np.unique(np.concatenate(([0], np.arange(-steps.first % width, steps.length, width)))).astype(np.int64)


def _modelled(steps: Steps, runs: Sequence[Run]) -> Mask:
    """Tell the windows in which every engine that ran is calibrated, and one did."""
    doubtful = _sum([run.load.sequences for run in runs if run.coefficients is None], steps)
    some = _sum([run.load.sequences for run in runs], steps)
    return (windowed(steps, doubtful) <= _PRESENT) & (windowed(steps, some) > _PRESENT)


def _above_idling(run: Run) -> Numbers:
    """J that the engine takes of this GPU in each step, by its coefficients."""
    if run.coefficients is None:
        return np.zeros(len(run.computed))
    iteration, prefill, decode, kv = run.coefficients
    load = run.load
    joules: Numbers = run.share * (
        iteration * np.where(load.sequences > _PRESENT, load.iterations, 0.0)
        + prefill * (run.computed + load.more_computed)
        + decode * (run.decoded + load.more_decoded)
        + kv * (run.read + load.more_read)
    )
    return joules


def _energy(steps: Steps, run: Run, scale: Numbers, each: Numbers) -> Prices:
    """Prices in J, where `each` is what the second of a sequence carries of what all engines share."""
    iteration, prefill, decode, kv = run.coefficients or Coefficients(0.0, 0.0, 0.0, 0.0)
    load, factor = run.load, scale * run.share
    there = load.sequences > _PRESENT
    turns = np.divide(load.iterations, load.sequences, out=np.zeros(steps.length), where=there)
    return Prices(
        computed=factor * prefill * steps.seconds,
        cached=factor * kv * steps.seconds,
        decoded=factor * decode * load.iterations,
        read=factor * kv * load.iterations,
        shared=(factor * iteration * turns + each) * steps.seconds,
    )


def _at(energy: Prices, steps: Steps, load: Load, what: tuple[Numbers, Numbers, Numbers, Numbers]) -> Numbers:
    """J of sequences at these prices: their seconds in the batch, tokens computed, decoded, and read."""
    seconds, computed, decoded, read = what
    through = np.divide(1.0, load.iterations, out=np.zeros(steps.length), where=load.iterations > 0)
    return (
        energy.computed / steps.seconds * computed
        + energy.decoded * through * decoded
        + energy.read * through * read
        + energy.shared / steps.seconds * seconds
    )


def _links(steps: Steps, run: Run, counter: Numbers | None, runs: Sequence[Run]) -> Prices:
    """Prices in bytes: what went over links is divided by the tokens that went through the models meanwhile."""
    tokens = _sum([one.computed + one.decoded + one.load.more_computed + one.load.more_decoded for one in runs], steps)
    price, none = _per(counter, windowed(steps, tokens), steps), np.zeros(steps.length)
    return Prices(price * steps.seconds, none, price * run.load.iterations, none, none)


def _per(counter: Numbers | None, of: Numbers, steps: Steps) -> Numbers:
    """What a counter comes to per unit of something, over windows; nothing where it is not measured."""
    if counter is None:
        return np.zeros(steps.length)
    return np.divide(windowed(steps, counter), of, out=np.zeros(steps.length), where=of > _NOTHING)


def _sum(each: Sequence[Numbers], steps: Steps) -> Numbers:
    return np.sum(each, axis=0) if each else np.zeros(steps.length)
