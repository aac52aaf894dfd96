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
| joulespan.attribution.method | string | how it was divided; see METHODS |
| joulespan.attribution.coverage | double, 1 | share of its time whose energy is known, where not all; no energy then |
"""

from collections.abc import Iterator
from typing import Final

from agent.otlp.values import span_attribute
from agent.processors.ledger.payment import Shares
from agent.processors.ledger.steps import Numbers

BY_TIME: Final = "time_share"
METHODS: Final = {
    BY_TIME: "the energy above idling of each step, shared equally by time: the engine is not calibrated",
    "calibrated_spans": "by what work costs, iterations inferred from the spans alone",
    "calibrated_tokens": "by what work costs, iterations inferred from the tokens that the engine counts",
    "calibrated_iterations": "by what work costs, with the iterations that the engine counts",
}
"""The values of joulespan.attribution.method, the least exact first."""
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
_WHOLE = 0.99
"""Share of a request's time that must be known for its energy to be told."""
_SHORT = 1.0
"""Seconds below which the energy counter's own steps hide a request."""


def annotations(shares: Shares, seconds: Numbers, method: str) -> list[bytes]:
    """Encode what there is to say about each request. `seconds` is how long each was served.

    `method` is how the model divides its engine's energy; a share that is mostly by time says so.
    """
    rows = zip(*(column.tolist() for column in shares), seconds.tolist(), strict=True)
    return [b"".join(span_attribute(*one) for one in _attributes(row, method)) for row in rows]


def covered(shares: Shares) -> "list[bool]":
    """Tell of which requests the energy is known for all of their time."""
    known: list[bool] = (shares.covered >= _WHOLE).tolist()
    return known


def _attributes(row: "tuple[float, ...]", method: str) -> Iterator[tuple[str, float | str]]:
    _, prefill, decode, busy, nvlink, pcie, deviation, modelled, known, seconds = row
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
    yield "joulespan.attribution.method", method if modelled > 0.5 else BY_TIME  # noqa: PLR2004 - mostly
