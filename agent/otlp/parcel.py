# SPDX-License-Identifier: Apache-2.0
"""Encoded telemetry on its way out."""

from collections.abc import Mapping
from typing import NamedTuple


class Parcel(NamedTuple):
    """A complete, encoded Export{Trace,Metrics,Logs}ServiceRequest, and how many items of each receiver are in it.

    Two bodies one after the other are one valid request, because a request is nothing but a repeated field.
    """

    body: bytes
    items: Mapping[str, int]
