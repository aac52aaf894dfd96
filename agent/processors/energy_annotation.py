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

from struct import Struct
from typing import Final

from agent.otlp.values import span_attribute, span_int
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
_DOUBLE = Struct("<d").pack
_E = [span_attribute(name, 0.0)[: -len(_DOUBLE(0.0))] for name in ATTRIBUTES[:4]]
"""Of each of the attributes that are always there, all but the value, which is the end of it."""
_USUAL = Struct("<" + "".join(f"{len(begin)}sd" for begin in _E)).pack
_HOW = [span_attribute("joulespan.attribution.method", name) for name in METHODS]
_MODELLED = span_attribute("joulespan.energy.modelled", told=True)
_BUSY = span_attribute("joulespan.gpu.seconds", 0.0)[: -len(_DOUBLE(0.0))]
_NVLINK, _PCIE = span_int("joulespan.nvlink.bytes"), span_int("joulespan.pcie.bytes")
_WHOLE = 0.99
"""Share of a request's time that must be known for its energy to be told."""
_SHORT = 1.0
"""Seconds below which the energy counter's own steps hide a request."""


def annotations(shares: Shares) -> list[bytes]:
    """Encode what there is to say about each request."""
    return [_encoded(*row) for row in zip(*(column.tolist() for column in shares), strict=True)]


def covered(shares: Shares) -> "list[bool]":
    """Tell of which requests the energy is known for all of their time."""
    known: list[bool] = (shares.covered >= _WHOLE).tolist()
    return known


def _encoded(  # noqa: PLR0913 - a row of Shares
    _: int,
    prefill: float,
    decode: float,
    busy: float,
    nvlink: float,
    pcie: float,
    deviation: float,
    _modelled: float,
    known: float,
    seconds: float,
    method: int,
) -> bytes:
    if known < _WHOLE:
        return span_attribute("joulespan.attribution.coverage", known)
    # Four in one call: it takes a third of the time.
    told = _USUAL(_E[0], prefill + decode, _E[1], prefill, _E[2], decode, _E[3], deviation) + _HOW[method]
    if seconds < _SHORT:
        told += _MODELLED
    # What is not measured is charged to nobody, and so is nothing: neither is told.
    if busy > 0:
        told += _BUSY + _DOUBLE(busy)
    if nvlink > 0:
        told += _NVLINK(round(nvlink))
    return told + _PCIE(round(pcie)) if pcie > 0 else told
