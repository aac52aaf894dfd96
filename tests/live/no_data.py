# SPDX-License-Identifier: Apache-2.0
"""Queries that return nothing in a whole round of faults, and why. One that does return something must not be here."""

from collections.abc import Mapping

PANELS: Mapping[str, str] = {}
"""`dashboard / panel / refId`, as Target.__str__ gives it."""

RULES: Mapping[str, str] = {}
"""Names of recording rules."""

PUSHED: Mapping[str, str] = {}
"""Panels that return something when the agents are scraped, and nothing when they push."""

METRICS: Mapping[str, str] = {}
"""Metrics that alerts look at and that no node of this installation has."""
