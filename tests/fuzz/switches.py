# SPDX-License-Identifier: Apache-2.0
"""Whatever a switch tells, its counters only grow, nothing is told beyond the bounds, and every point is counted."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite, isinf, isnan
from random import Random
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from agent.catalogue.switch import POINTS
from agent.clock import NS
from agent.dialects.switches.fabric import IN_WORDS
from agent.dialects.switches.reading import SwitchReader
from agent.dialects.switches.state import SwitchState
from agent.errors import Unavailable
from agent.exposition import Parser
from agent.metric import Counter, Series
from agent.receivers.otlp import Signal, _points
from agent.system import lldp
from tests.fuzz.mutate import Mutator
from tests.switches.told import FIXTURES, Hearing, export

_MOST = 300
_ROUNDS = 4
_VALUES = (0.0, 1.0, -1.0, float("nan"), float("inf"), 1e-300, 1e18, 1e30, 5.0, 7.0, 0.5)
_TORN = (
    b"NaN",
    b"-1",
    b"+Inf",
    b"1e999",
    b"{",
    b'"',
    b"=",
    b"\xff",
    b"\x00",
    b"9" * 400,
    b"switch",
    b" ",
    b"[]",
    b"null",
)


class Telling:
    """Sends a node what switches tell, damaged."""

    def __init__(self, random: Random) -> None:
        """Begin with the fixtures."""
        self._random = random
        self._exports = [export(name).SerializeToString() for name in ("spectrum.json", "spectrum-next.json")]
        self._mutator = Mutator(random, {Signal.METRICS: self._exports})
        self._pages = {
            kind: (FIXTURES / name).read_bytes() for kind, name in (("nvlink", "nmx.prom"), ("infiniband", "ufm.prom"))
        }
        self._lldp = (FIXTURES / "lldpcli.json").read_bytes()
        self.points = 0
        # That they fall silent is not worth a line each time.
        logging.getLogger("joulespan.switches").setLevel(logging.CRITICAL)

    def case(self) -> dict[str, Any]:
        """Make some exports, a page and an answer of lldpcli."""
        exports = [self._export(self._random.choice(self._exports)).hex() for _ in range(_ROUNDS)]
        kind = self._random.choice([*self._pages])
        pages = [self._torn(self._pages[kind]).hex() for _ in range(_ROUNDS)]
        seconds = [self._random.choice((0, 1, 1, 1, 20, 400)) for _ in range(_ROUNDS)]
        return {
            "exports": exports,
            "kind": kind,
            "pages": pages,
            "lldp": self._torn(self._lldp).hex(),
            "seconds": seconds,
        }

    def settle(self) -> None:
        """Keep nothing between rounds."""

    def run(self, case: Mapping[str, Any]) -> None:
        """Tell it all, in turn."""
        hearing = Hearing(_MOST)
        reader, parser = SwitchReader(IN_WORDS[case["kind"]], source="page"), Parser()
        before: dict[Series, float] = {}
        for body, page, seconds in zip(case["exports"], case["pages"], case["seconds"], strict=True):
            with suppress(DecodeError):
                told = ExportMetricsServiceRequest.FromString(bytes.fromhex(body))
                counted = self._counted(hearing)
                if hearing.switches.take(told) and told.resource_metrics:
                    hearing.look()
                    before = _check(hearing, before)
                    grown = self._counted(hearing) - counted
                    assert 0 <= grown <= _points(told) + len(told.resource_metrics) * 1000, "points that nobody sent"
            hearing.switches.page(reader, parser.parse(bytes.fromhex(page)), "page", lambda _: True)
            hearing.look()
            before = _check(hearing, before)
            hearing.clock.advance(seconds)
        with suppress(Unavailable):
            for one in lldp.parse(bytes.fromhex(case["lldp"])):
                assert one.interface
        self.points += int(self._counted(hearing))

    def _counted(self, hearing: Hearing) -> float:
        return sum(one.value for one in hearing.told if one.series.metric is POINTS)

    def _export(self, body: bytes) -> bytes:
        if self._random.random() < 0.3:
            return self._mutator.body()[1]
        told = ExportMetricsServiceRequest.FromString(body)
        metrics = told.resource_metrics[0].scope_metrics[0].metrics
        for _ in range(self._random.randrange(30)):
            metric = self._random.choice(metrics)
            rows = getattr(metric, metric.WhichOneof("data")).data_points
            if rows:
                self._change(self._random.choice(rows))
        return bytes(told.SerializeToString())

    def _change(self, row: Any) -> None:
        choice = self._random.randrange(6)
        if choice == 0 and hasattr(row, "as_double"):
            row.as_double = self._random.choice(_VALUES)
        elif choice == 1 and hasattr(row, "as_int"):
            row.as_int = self._random.randrange(-3, 1 << 62)
        elif choice == 2:
            row.time_unix_nano = max(0, row.time_unix_nano + self._random.randrange(-400, 400) * NS)
        elif choice == 3 and row.attributes:
            self._random.choice(row.attributes).value.int_value = self._random.randrange(-1, 5)
        elif choice == 4:
            row.flags = self._random.randrange(3)
        elif hasattr(row, "bucket_counts"):
            row.bucket_counts.append(self._random.randrange(5))
            row.explicit_bounds.append(self._random.choice(_VALUES))
            row.sum = self._random.choice(_VALUES)

    def _torn(self, text: bytes) -> bytes:
        for _ in range(self._random.randrange(12)):
            place = self._random.randrange(len(text) + 1)
            text = text[:place] + self._random.choice(_TORN) + text[place + self._random.randrange(6) :]
        return text


def _check(hearing: Hearing, before: Mapping[Series, float]) -> dict[Series, float]:
    found: dict[Series, float] = {}
    size = 0
    for batch in hearing.snapshots.current.batches.values():
        for series, value in batch.samples():
            assert isfinite(value), series
            assert series not in found, "a series twice"
            found[series] = value
            if isinstance(series.metric, Counter):
                assert value >= before.get(series, 0.0) or series not in before, "a counter fell"
        size += sum(len(one.counts) + 2 for one in batch.distributions)
        for one in batch.distributions:
            assert min(one.counts) >= 0
            assert len(one.counts) == len(one.buckets) + 1
            assert one.total is None or not (isnan(one.total) or isinf(one.total))
    assert size + len(found) <= _MOST + len(_states(hearing)), "more than there is room for"
    assert hearing.switches._room.taken <= _MOST
    return found


def _states(hearing: Hearing) -> Mapping[str, SwitchState]:
    return hearing.switches._states
