# SPDX-License-Identifier: Apache-2.0
"""What a request's span is told about what it took, as encoded attributes that are appended to it.

| attribute | type, unit | what |
|---|---|---|
| joulespan.energy | double, J | energy of its GPUs that is this request's, of this node |
| joulespan.energy.prefill, .decode | double, J | the parts of it until and after the first token |
| joulespan.energy.uncertainty | double, J | one standard deviation of it, sensors' own errors aside |
| joulespan.energy.modelled | bool | true where it took less than a second: that is less than the counter can tell |
| joulespan.gpu.seconds | double, s | busy time of its GPUs that is this request's |
| joulespan.nvlink.bytes, joulespan.pcie.bytes | int, By | what went over the links of its GPUs for this request |
| joulespan.attribution.method | string | how it was divided; see payment.METHODS |
| joulespan.attribution.coverage | double, 1 | share of its time whose energy is known, where not all; no energy then |
"""

from collections.abc import Iterator
from typing import Final

from agent.otlp.values import span_attribute
from agent.processors.ledger.payment import METHODS, Shares

ENERGY: Final = "joulespan.energy"
ATTRIBUTES: Final = (
    ENERGY,
    "joulespan.energy.prefill",
    "joulespan.energy.decode",
    "joulespan.energy.uncertainty",
    "joulespan.energy.modelled",
    "joulespan.gpu.seconds",
    "joulespan.nvlink.bytes",
    "joulespan.pcie.bytes",
    "joulespan.attribution.method",
    "joulespan.attribution.coverage",
)
"""The names of all of them."""
_METHODS = tuple(METHODS)
_WHOLE = 0.99
"""Share of a request's time that must be known for its energy to be told."""
_SHORT = 1.0
"""Seconds below which the energy counter's own steps hide a request."""


def annotations(shares: Shares) -> list[bytes]:
    """Encode what there is to say about each request."""
    rows = zip(*(column.tolist() for column in shares), strict=True)
    return [b"".join(span_attribute(*one) for one in _attributes(row)) for row in rows]


def covered(shares: Shares) -> "list[bool]":
    """Tell of which requests the energy is known for all of their time."""
    known: list[bool] = (shares.covered >= _WHOLE).tolist()
    return known


def _attributes(row: "tuple[float, ...]") -> Iterator[tuple[str, float | str]]:
    _, prefill, decode, busy, nvlink, pcie, deviation, _, known, seconds, method = row
    if known < _WHOLE:
        yield "joulespan.attribution.coverage", known
        return
    yield ENERGY, prefill + decode
    yield "joulespan.energy.prefill", prefill
    yield "joulespan.energy.decode", decode
    yield "joulespan.energy.uncertainty", deviation
    if seconds < _SHORT:
        yield "joulespan.energy.modelled", True
    # What is not measured is charged to nobody, and so is nothing: neither is told.
    if busy > 0:
        yield "joulespan.gpu.seconds", busy
    for name, moved in (("joulespan.nvlink.bytes", nvlink), ("joulespan.pcie.bytes", pcie)):
        if moved > 0:
            yield name, round(moved)
    yield "joulespan.attribution.method", _METHODS[int(method)]
