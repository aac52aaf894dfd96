# SPDX-License-Identifier: Apache-2.0
"""What an engine's work costs: J for an iteration, a prompt token computed, a token decoded, a KV-cache token read.

Learnt while it works, by non-negative least squares over windows of a few seconds,

    E  =  idle power x T  +  c1 x iterations + c2 x prompt tokens + c3 x decoded tokens + c4 x KV-cache tokens

with forgetting: what a window says counts half after ten minutes of other windows. The idle power is pinned
where it is known. Five columns have 32 sets of non-zero coefficients, so all
are tried: exact, and no library for it.
"""

from itertools import combinations
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.processors.ledger.steps import Numbers

_HALF_LIFE = 600.0
"""Seconds of windows after which an earlier one counts half."""
_LEAST = 30.0
"""Seconds of windows that a fit needs."""
_WORST = 0.25
"""Residual, as a share of the mean, from which on a fit is not believed."""
_SINGULAR = 1e7
"""Condition of the normal equations, columns scaled to one, from which on the coefficients say nothing."""
_ROUNDING = 1e-6
"""How far sums scaled to one may be from any that windows can have."""
COLUMNS = ("seconds", "iterations", "prefill_tokens", "decode_tokens", "kv_tokens")
"""What windows are described by."""
_COUNT = len(COLUMNS)


class Coefficients(NamedTuple):
    """Joules of all GPUs of an engine together, above those of idling."""

    iteration: float
    prefill_token: float
    decode_token: float
    kv_token: float


class Fit(NamedTuple):
    """Coefficients, and how good they are.

    `idle_watts` is of all GPUs of the engine, as pinned or as fitted. `r2` is the share of the variance between windows
    that the coefficients explain, `residual` the root mean square of what they do not as a share of the mean energy of
    a window, `condition` that of the normal equations, `seconds` how much of windows it rests on. `covariance` is of
    the coefficients.
    """

    coefficients: Coefficients
    idle_watts: float
    r2: float
    residual: float
    condition: float
    seconds: float
    covariance: NDArray[np.float64]

    @property
    def good(self) -> bool:
        """Whether shares can rest on it."""
        known = self.seconds >= _LEAST and any(self.coefficients)
        return known and self.residual <= _WORST and self.condition <= _SINGULAR


class Sums(msgspec.Struct):
    """What windows say, added up with their weights: x xT, x y, y y, y and 1; x as COLUMNS, y in J; and seconds."""

    gram: list[list[float]]
    moment: list[float]
    square: float = 0.0
    total: float = 0.0
    weight: float = 0.0
    seconds: float = 0.0


class Calibration:
    """What one engine with its model on one type of GPU costs, as it is learnt."""

    def __init__(self, sums: Sums | None = None) -> None:
        """Start from what was learnt before, if anything. Raises ValueError when it is no such thing."""
        self._gram = np.zeros((_COUNT, _COUNT))
        self._moment = np.zeros(_COUNT)
        self._square = self._total = self._weight = self._seconds = 0.0
        self._fits: dict[float | None, Fit] = {}
        if sums is not None:
            self._restore(sums)

    @property
    def seconds(self) -> float:
        """Seconds of windows that it was learnt from."""
        return self._seconds

    def fit(self, idle_watts: float | None) -> Fit | None:
        """Give the fit of now, with this idle power of all GPUs; None while too few windows were seen."""
        if self._weight <= 0 or self._seconds < _LEAST:
            return None
        if idle_watts not in self._fits:
            self._fits = {idle_watts: self._solve(idle_watts)}
        return self._fits[idle_watts]

    def learn(self, work: NDArray[np.float64], joules: Numbers, seconds: float, trust: Numbers) -> None:
        """Take in windows of `seconds` each: rows of COLUMNS, J, and how far each is trusted, from 0 to 1."""
        keep = (trust > 0) & np.isfinite(joules) & np.isfinite(work).all(axis=1)
        if not keep.any():
            return
        work, joules, trust = work[keep], joules[keep], trust[keep]
        age = (len(joules) - 1 - np.arange(len(joules))) * seconds
        weight = trust * 0.5 ** (age / _HALF_LIFE)
        fade = float(0.5 ** (len(joules) * seconds / _HALF_LIFE))
        weighted = work * weight[:, None]
        self._gram = self._gram * fade + weighted.T @ work
        self._moment = self._moment * fade + weighted.T @ joules
        self._square = self._square * fade + float(weight @ (joules * joules))
        self._total = self._total * fade + float(weight @ joules)
        self._weight = self._weight * fade + float(weight.sum())
        self._seconds += seconds * len(joules)
        self._fits = {}

    def sums(self) -> Sums:
        """Give what was learnt, to be kept."""
        return Sums(self._gram.tolist(), self._moment.tolist(), self._square, self._total, self._weight, self._seconds)

    def _restore(self, sums: Sums) -> None:
        try:
            gram, moment = np.array(sums.gram, np.float64), np.array(sums.moment, np.float64)
        except ValueError as error:
            raise ValueError("no sums of a calibration") from error
        rest = (sums.square, sums.total, sums.weight, sums.seconds)
        shaped = gram.shape == (_COUNT, _COUNT) and moment.shape == (_COUNT,)
        if not shaped or not np.isfinite([*gram.flat, *moment, *rest]).all() or min(rest) < 0:
            raise ValueError("no sums of a calibration")
        if not _products(np.block([[gram, moment[:, None]], [moment[None], np.array([[sums.square]])]])):
            raise ValueError("sums of a calibration that no windows can have")
        self._gram, self._moment = gram, moment
        self._square, self._total, self._weight, self._seconds = rest

    def _solve(self, idle_watts: float | None) -> Fit:
        pinned = idle_watts is not None
        columns = list(range(1 if pinned else 0, _COUNT))
        gram, moment = self._gram[np.ix_(columns, columns)], self._moment[columns]
        square, total = self._square, self._total
        if idle_watts is not None:
            moment = moment - idle_watts * self._gram[0, columns]
            square = square - 2 * idle_watts * self._moment[0] + idle_watts**2 * self._gram[0, 0]
            # Windows are of one length, so their weighted time is the weight times that.
            total = total - idle_watts * np.sqrt(self._gram[0, 0] * self._weight)
        # Columns differ by ten orders of magnitude: scaled to one, they can be told apart from rounding.
        scale = np.sqrt(np.diag(gram))
        scale = np.where(scale > 0, scale, 1.0)
        gram, moment = gram / np.outer(scale, scale), moment / scale
        found, support = non_negative(gram, moment)
        left = max(0.0, square - 2 * float(found @ moment) + float(found @ gram @ found))
        inner = gram[np.ix_(support, support)]
        condition = float(np.linalg.cond(inner)) if support else np.inf
        covariance = np.zeros((len(columns), len(columns)))
        if condition < _SINGULAR:
            rows = max(1.0, self._weight - len(support))
            covariance[np.ix_(support, support)] = np.linalg.inv(inner) * (left / rows)
        covariance /= np.outer(scale, scale)
        costs = (found / scale).tolist()
        mean, spread = self._total / self._weight, square - total**2 / self._weight
        return Fit(
            Coefficients(*costs[-4:]),
            idle_watts=idle_watts if idle_watts is not None else costs[0],
            r2=max(0.0, 1 - left / spread) if spread > 0 else 0.0,
            residual=float(np.sqrt(left / self._weight) / mean) if mean > 0 else np.inf,
            condition=condition,
            seconds=self._seconds,
            covariance=covariance[-4:, -4:],
        )


def _products(matrix: NDArray[np.float64]) -> bool:
    """Tell whether these can be sums of products of some numbers, rounding aside: symmetric, and positive throughout.

    The numbers differ by ten orders of magnitude: they are scaled to one, as for solving.
    """
    scale = np.sqrt(np.maximum(0.0, np.diag(matrix)))
    scaled = matrix / np.outer(*[np.where(scale > 0, scale, 1.0)] * 2)
    symmetric = bool(np.allclose(scaled, scaled.T, atol=_ROUNDING))
    return symmetric and float(np.linalg.eigvalsh(scaled)[0]) >= -_ROUNDING


def restored(told: object) -> Calibration:
    """Make a calibration of sums that were kept. Raises ValueError for what is none."""
    try:
        return Calibration(msgspec.convert(told, Sums))
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def non_negative(gram: NDArray[np.float64], moment: Numbers) -> tuple[Numbers, list[int]]:
    """Minimise x gram x - 2 x moment over x >= 0: the solution, and which of it may be above zero."""
    size = len(moment)
    best, best_cost, best_support = np.zeros(size), 0.0, list[int]()
    for count in range(1, size + 1):
        for chosen in combinations(range(size), count):
            some = list(chosen)
            inner = gram[np.ix_(some, some)]
            try:
                part = np.linalg.solve(inner, moment[some])
            except np.linalg.LinAlgError:
                continue
            cost = float(part @ inner @ part - 2 * part @ moment[some])
            if (part >= 0).all() and cost < best_cost:
                best, best_cost, best_support = np.zeros(size), cost, some
                best[some] = part
    return best, best_support
