#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much a fleet of agents sends, and what storing it takes: from a real page of an agent, by proportion.

    joulespan demo &                                   # any agent will do: the demo has eight GPUs and two engines
    python3 deploy/fleet/sizing.py http://127.0.0.1:9840/metrics
    python3 deploy/fleet/sizing.py page.txt --nodes 400 --gpus 4 --links 0 --tenants 200 --requests 30

Series are counted on the page by what there is one of: a node, a GPU, a link, an engine, a tenant of an engine. What a
sample and a span take was measured (docs/fleet.md says how and where); prices are stated below and are not quotes.
"""

import argparse
import re
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SCRAPE_SERIES = 5
"""What Prometheus adds to each target: up, scrape_duration_seconds, and three about samples."""
SAMPLES_OF_A_CORE, SPANS_OF_A_CORE = 1e5, 1e4
"""A second that a core of Prometheus, and of a Collector, takes in: assumed, and not measured here."""
MIB, GIB = 1 << 20, 1 << 30
DAY = 86400
_SERIES = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(?:\{(?P<labels>.*)\})? \S+(?: .*)?")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Rates(NamedTuple):
    """What storing takes, as measured on one machine; docs/fleet.md has the runs."""

    prometheus_bytes_per_sample: float = 2.9
    prometheus_memory_per_series: float = 4.0 * 1024
    victoria_memory_per_series: float = 3.1 * 1024
    span_bytes: float = 1200.0
    """Of an annotated request span, as OTLP."""
    stored_span: float = 0.16
    """Of that, after compression in blocks."""
    row_bytes: float = 47.0
    """Of a request's record in a column store, compressed."""


class Prices(NamedTuple):
    """US dollars. Chosen in the order of magnitude of public clouds' list prices; put your own in their place."""

    disk_gib_month: float = 0.08
    object_gib_month: float = 0.023
    memory_gib_month: float = 3.0
    core_month: float = 25.0


class Cardinality(NamedTuple):
    """Series that there are of one of each."""

    node: float
    gpu: float
    link: float
    nic: float
    switch: float
    engine: float
    tenant: float


class Fleet(NamedTuple):
    """How many of each there are, how often they are read, and how many requests come.

    `links` of a GPU, `switches` that an agent is told of, `tenants` of an engine; `requests` a second and node,
    `spans` of a request, `sampled` of traces that are kept.
    """

    nodes: int
    gpus: int = 8
    links: float = 18
    nics: int = 8
    switches: float = 0.1
    engines: int = 2
    tenants: float = 10
    interval: float = 15.0
    requests: float = 20.0
    spans: float = 3.0
    sampled: float = 0.1


class Size(NamedTuple):
    """What comes of it."""

    series: float
    samples: float
    spans: float
    span_bytes: float
    rows: float


def cardinality(page: str) -> Cardinality:
    """Count the series of a page by what there is one of. A page without one of a kind tells 0 of it."""
    series, there = _counted(page)
    return Cardinality(*(series[kind] / max(there[kind], 1) for kind in Cardinality._fields))


def counted(page: str, nodes: int, interval: float) -> Fleet:
    """Tell of how many nodes like that of the page a fleet would be."""
    _, there = _counted(page)
    gpus, engines = max(there["gpu"], 1), max(there["engine"], 1)
    return Fleet(
        nodes,
        there["gpu"],
        there["link"] / gpus,
        there["nic"],
        there["switch"],
        there["engine"],
        there["tenant"] / engines,
        interval,
    )


def _counted(page: str) -> tuple[Counter[str], dict[str, int]]:
    series: Counter[str] = Counter()
    things: dict[str, set[tuple[str, ...]]] = {kind: set() for kind in Cardinality._fields}
    for has in labels(page):
        kind, thing = _about(has)
        series[kind] += 1
        things[kind].add(thing)
    return series, {kind: len(some) for kind, some in things.items()} | {"node": 1}


def labels(page: str) -> Iterator[dict[str, str]]:
    """Give the labels of each series of a page."""
    for line in page.splitlines():
        if not line.startswith("#") and (found := _SERIES.fullmatch(line)):
            yield dict(_LABEL.findall(found["labels"] or ""))


def _about(labels: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    if "engine" in labels and "tenant" in labels:
        return "tenant", (labels["engine"], labels["tenant"])
    if "engine" in labels:
        return "engine", (labels["engine"],)
    if "switch" in labels:
        return "switch", (labels["switch"],)
    kind = labels.get("hw_type", "gpu") if "hw_id" in labels else ""
    if kind == "gpu":
        return ("link", (labels["hw_id"], labels["link"])) if "link" in labels else ("gpu", (labels["hw_id"],))
    if kind == "network":
        return "nic", (labels["hw_id"],)
    return "node", ()


def size(fleet: Fleet, one: Cardinality, rates: Rates) -> Size:
    """Work out what a fleet sends."""
    gpu = one.gpu + fleet.links * one.link
    engine = one.engine + fleet.tenants * one.tenant
    node = one.node + SCRAPE_SERIES + fleet.gpus * gpu + fleet.engines * engine
    node += fleet.nics * one.nic + fleet.switches * one.switch
    requests = fleet.nodes * fleet.requests
    spans = requests * fleet.spans
    return Size(fleet.nodes * node, fleet.nodes * node / fleet.interval, spans, spans * rates.span_bytes, requests)


class Needs(NamedTuple):
    """What storing that takes, in bytes."""

    prometheus_memory: float
    prometheus_disk: float
    victoria_memory: float
    objects: float
    traces: float
    records: float


def needs(fleet: Fleet, got: Size, rates: Rates) -> Needs:
    """Work out what storing takes: 15 days on disk, a year as objects, sampled traces for 7 days, records for 90."""
    return Needs(
        got.series * rates.prometheus_memory_per_series,
        got.samples * 15 * DAY * rates.prometheus_bytes_per_sample,
        got.series * rates.victoria_memory_per_series,
        got.samples * 365 * DAY * rates.prometheus_bytes_per_sample,
        got.span_bytes * fleet.sampled * rates.stored_span * 7 * DAY,
        got.rows * rates.row_bytes * 90 * DAY,
    )


def cost(got: Size, need: Needs, prices: Prices) -> float:
    """Price it by the month: Prometheus twice, object storage for the rest, and cores."""
    memory = 2 * need.prometheus_memory / GIB * prices.memory_gib_month
    disk = 2 * need.prometheus_disk / GIB * prices.disk_gib_month
    kept = (need.objects + need.traces + need.records) / GIB * prices.object_gib_month
    cores = 2 * got.samples / SAMPLES_OF_A_CORE + got.spans / SPANS_OF_A_CORE
    return memory + disk + kept + cores * prices.core_month


def table(fleets: Iterable[Fleet], one: Cardinality, rates: Rates, prices: Prices) -> str:
    """Write a Markdown table: a column for each fleet."""
    columns = []
    for fleet in fleets:
        got = size(fleet, one, rates)
        columns.append(_column(fleet, got, needs(fleet, got, rates), prices))
    head, *rows = ("| " + " | ".join((name, *(column[name] for column in columns))) + " |" for name in columns[0])
    return "\n".join([head, "|---" * (len(columns) + 1) + "|", *rows])


def _column(fleet: Fleet, got: Size, need: Needs, prices: Prices) -> dict[str, str]:
    return {
        "nodes": _number(fleet.nodes),
        "series": _number(got.series),
        "samples/s": _number(got.samples),
        "Prometheus: memory": _bytes(need.prometheus_memory),
        "Prometheus: disk, 15 days": _bytes(need.prometheus_disk),
        "VictoriaMetrics: memory": _bytes(need.victoria_memory),
        "metrics as objects, 1 year": _bytes(need.objects),
        "spans/s into the gateway": _number(got.spans),
        "bytes/s into the gateway": _bytes(got.span_bytes),
        "traces kept 7 days": _bytes(need.traces),
        "request records/s": _number(got.rows),
        "request records kept 90 days": _bytes(need.records),
        "cost, $ a month": _number(cost(got, need, prices)),
    }


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 10 else f"{value:.2g}"  # noqa: PLR2004 - two digits


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1000:  # noqa: PLR2004 - three digits
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} PiB"


def read(source: str) -> str:
    """Read a page from a file, or from an agent."""
    if not source.startswith(("http://", "https://")):
        return Path(source).read_text("utf-8")
    with urllib.request.urlopen(source, timeout=60) as answer:  # noqa: S310 - checked above
        text: str = answer.read().decode()
        return text


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="What a fleet of agents sends, and what storing it takes.")
    parser.add_argument("page", help="a page of an agent: a file, or the URL of its /metrics")
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 1000, 10000])
    default = Fleet(0)
    for name in Fleet._fields[1:]:
        value = getattr(default, name)
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"{value:g}")
    arguments = vars(parser.parse_args())
    one = cardinality(read(arguments.pop("page")))
    nodes = arguments.pop("nodes")
    print("Series of one:", ", ".join(f"{name} {number:.0f}" for name, number in one._asdict().items()) + "\n")
    print(table([Fleet(number, **arguments) for number in nodes], one, Rates(), Prices()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
