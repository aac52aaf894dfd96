# SPDX-License-Identifier: Apache-2.0
"""Recordings: folders of OTLP/JSON, one request on a line, that `record` writes and `attribute` reads."""

METRICS, TRACES = "metrics.jsonl", "traces.jsonl"
"""The files that are written."""
ATTRIBUTED = "attributed.jsonl"
"""Where the annotated spans go, unless told otherwise; it is no part of a recording."""
SUFFIXES = frozenset({".jsonl", ".json"})
"""How the names of files end that are read."""
