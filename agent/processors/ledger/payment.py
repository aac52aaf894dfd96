# SPDX-License-Identifier: Apache-2.0
"""Charging requests what they took of some steps, and saying what they took once they are divided to the end."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.processors.ledger.book import PAID, Costs, Open
from agent.processors.ledger.calibration import Fit
from agent.processors.ledger.claims import Claims, Prices
from agent.processors.ledger.division import WINDOW, Part
from agent.processors.ledger.load import Load
from agent.processors.ledger.steps import Numbers, Steps

_NOTHING = 1e-9
_ROUNDING = 1e-6
"""Share of what is charged that rounding may take: the differences of long sums."""
_MOSTLY = 0.5
_FORM = 0.012
"""Relative deviation of a share by what work costs that is left where everything is known; see docs/accuracy.md."""
METHODS: Final = {
    "time_share": "the energy above idling of each step is shared equally by time: the engine is not calibrated",
    "calibrated_spans": "by what work costs, its iterations inferred from the spans alone",
    "calibrated_tokens": "by what work costs, its iterations inferred from the tokens that the engine counts",
    "calibrated_iterations": "by what work costs, with the iterations that the engine counts",
}
"""How energy is divided, the least exact first."""
_BY_TIME = 0.3
"""Relative deviation of a share by time: of that order in docs/accuracy.md."""


class Charge(NamedTuple):
    """What was charged to a class of requests, J."""

    kind: int
    prefill: float
    decode: float


class Shares(NamedTuple):
    """What requests took, one a row, once they are divided to the end.

    J of prefill and decode; busy seconds of GPUs; bytes over NVLink and PCIe; J of one standard deviation; and the
    share of their time in the batch that the model divided, and that was divided at all: less than 1 where they began
    before the ledger, or its GPUs could not be read. How long they were served, s, and which of METHODS it was.
    """

    number: NDArray[np.int64]
    prefill: Numbers
    decode: Numbers
    busy: Numbers
    nvlink: Numbers
    pcie: Numbers
    deviation: Numbers
    modelled: Numbers
    covered: Numbers
    seconds: Numbers
    method: NDArray[np.int64]


def costs_of(steps: Steps, load: Load, parts: Sequence[Part], measured: bool) -> Costs:
    """Add up what an engine's sequences pay for each of its GPUs. `measured`: the energy of all of them was read."""
    prices = tuple(
        Prices(*(np.sum(columns, axis=0) for columns in zip(*each, strict=True)))
        for each in zip(*(part[:4] for part in parts), strict=True)
    )
    ran = load.sequences > _NOTHING
    turns = np.divide(load.iterations * steps.seconds, load.sequences, out=np.zeros(steps.length), where=ran)
    modelled = np.logical_and.reduce([part.modelled for part in parts]) * steps.seconds
    covered = np.full(steps.length, steps.seconds if measured else 0.0)
    return Costs(steps, load.iterations, prices, turns, modelled, covered, np.array([part.held for part in parts]))


def pay(requests: Open, claims: Claims, costs: Costs, total: float) -> list[Charge]:
    """Charge requests for what they claim of some steps, J of which come to `total` but for rounding.

    Changes `paid`, `left` and `since` of each.
    """
    energy, busy, nvlink, pcie = costs.prices
    prefill, decode = (np.maximum(0.0, joules) for joules in claims.charge(energy))
    # Rounding of prices that are huge for a moment ends here. More than that is a fault, which must show.
    if abs(total - (charged := float(prefill.sum() + decode.sum()))) < _ROUNDING * total:
        prefill, decode = prefill * (total / charged), decode * (total / charged)
    computed, read = claims.tokens()
    rest = [np.add(*claims.charge(one)) for one in (busy, nvlink, pcie)]
    times = [claims.of(one) for one in (costs.turns, costs.modelled, costs.covered)]
    turns, modelled, covered = times
    columns = (prefill, decode, *rest, turns, computed, claims.decoded, read, modelled, covered)
    assert len(columns) == len(PAID)
    # Differences of sums: rounding may take them below zero.
    requests.paid[:] += np.maximum(0.0, np.stack(columns))
    requests.left[:] = np.maximum(0.0, requests.left - claims.decoded)
    requests.since[:] = np.maximum(requests.since, costs.steps.last * costs.steps.seconds)
    kinds, place = np.unique(requests.kind, return_inverse=True)
    sums = (np.bincount(place, joules, len(kinds)).tolist() for joules in (prefill, decode))
    return [Charge(*row) for row in zip(kinds.tolist(), *sums, strict=True) if row[1] or row[2]]


def settled(requests: Open, fit: Fit | None, method: int) -> Shares:
    """Say what requests took that are divided to the end.

    `fit` is that of the engine's calibration, `method` what it rests on; what is mostly divided by time says so.
    """
    paid = dict(zip(PAID, requests.paid, strict=True))
    joules = paid["prefill"] + paid["decode"]
    length = np.maximum(requests.work.end - requests.work.begin, _NOTHING)
    modelled = np.clip(paid["modelled"] / length, 0.0, 1.0)
    by_model = np.zeros(requests.rows)
    if fit is not None:
        done = np.stack([paid[name] for name in ("turns", "computed", "decoded", "read")])
        variance = np.maximum(0.0, (done * (fit.covariance @ done)).sum(axis=0))
        # What the model leaves open between windows evens out over the windows that a request spans.
        left = fit.residual * joules / np.sqrt(1 + length / WINDOW)
        by_model = np.sqrt(variance + left * left + (_FORM * joules) ** 2)
    deviation = modelled * by_model + (1 - modelled) * _BY_TIME * joules
    return Shares(
        requests.number,
        paid["prefill"],
        paid["decode"],
        paid["busy"],
        paid["nvlink"],
        paid["pcie"],
        deviation,
        modelled,
        np.clip(paid["covered"] / length, 0.0, 1.0),
        length,
        np.where(modelled > _MOSTLY, method, 0),
    )
