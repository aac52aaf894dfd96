# SPDX-License-Identifier: Apache-2.0
"""What the rounds come to: medians, spreads, ratios, and the budgets of the design."""

import math
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent.version import VERSION
from tests.bench import network
from tests.bench.contestants import GPUS, LINKS
from tests.bench.ledger import Cost
from tests.bench.load import Load
from tests.bench.rounds import Round
from tests.bench.scrapes import ENGINES, LINES, Scrapes

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
_MIB_BUDGET = 96
_SERIES_BUDGET = 300
_P99_BUDGET = 5.0
_STARTUP_BUDGET = 0.5
_SPANS_BUDGET = 20_000
_MILLION_BUDGET = 2.0
_ENGINES_BUDGET, _LIVE_BUDGET, _NETWORK_BUDGET = 0.10, 0.05, 0.02
"""Of a core."""

Rounds = Mapping[str, Sequence[Round]]


def table(rounds: Rounds) -> str:
    """Write the comparison: medians over the rounds and their range. p99 and the slowest are of all scrapes."""
    scrapes = min(sum(len(one.latencies) for one in some) for some in rounds.values())
    rows: list[tuple[str, Callable[[Sequence[Round]], str]]] = [
        ("CPU, % of a core", lambda some: _spread([one.cpu for one in some], 2)),
        ("scrape p50, ms", lambda some: _spread([quantile(one.latencies, 0.5) for one in some], 1)),
        (f"scrape p99 of {scrapes}, ms", lambda some: f"{p99(some):.1f}"),
        ("slowest scrape, ms", lambda some: _spread([max(one.latencies) for one in some], 1)),
        ("resident, all processes, MiB", lambda some: _spread([one.rss for one in some], 1)),
        ("the same, shared pages divided (PSS), MiB", lambda some: _spread([one.pss for one in some], 1)),
        ("start to first complete scrape, s", lambda some: _spread([one.startup for one in some], 2)),
        ("series", lambda some: f"{some[-1].series:,}"),
        ("series per GPU", lambda some: f"{some[-1].series / GPUS:.0f}"),
        ("bytes of a scrape", lambda some: f"{some[-1].size:,}"),
        ("bytes, compressed", lambda some: f"{some[-1].compressed:,}"),
        ("NVML calls a second", lambda some: f"{statistics.median(one.calls for one in some):.0f}"),
    ]
    return "\n".join(
        [
            f"| | {' | '.join(rounds)} |",
            "|---|" + "---:|" * len(rounds),
            *(f"| {name} | {' | '.join(write(some) for some in rounds.values())} |" for name, write in rows),
        ]
    )


def ratios(rounds: Rounds) -> str:
    """Write ours over theirs, from the medians of one run; empty where one side is missing."""
    ours, peers = _sides(rounds)
    rows = [
        f"| {name} / {peer} | {cpu(some) / cpu(theirs):.2f} | {p99(some) / p99(theirs):.2f} |"
        for name, some in ours.items()
        for peer, theirs in peers.items()
    ]
    return "\n".join(["| ratio | CPU | scrape p99 |", "|---|---:|---:|", *rows]) if rows else ""


def budgets(rounds: Rounds) -> str:
    """Hold the figures against the budgets of docs/performance.md."""
    ours, peers = _sides(rounds)
    lines = []
    for name, some in ours.items():
        for peer, theirs in peers.items():
            verdict = _verdict(cpu(some) < cpu(theirs))
            lines.append(f"- {name}: CPU {cpu(some):.2f} %, below {cpu(theirs):.2f} % of {peer}: {verdict}")
        resident = max(one.rss for one in some)
        series = math.ceil(max(one.series for one in some) / GPUS)
        startup = statistics.median(one.startup for one in some)
        lines += [
            f"- {name}: {what} {value} of at most {limit}: {_verdict(within)}"
            for what, value, limit, within in (
                ("scrape p99", f"{p99(some):.1f}", f"{_P99_BUDGET:g} ms", p99(some) <= _P99_BUDGET),
                ("resident", f"{resident:.1f}", f"{_MIB_BUDGET} MiB", resident <= _MIB_BUDGET),
                ("series per GPU", f"{series}", f"{_SERIES_BUDGET}", series <= _SERIES_BUDGET),
                ("first scrape after", f"{startup:.2f}", f"{_STARTUP_BUDGET:g} s", startup <= _STARTUP_BUDGET),
            )
        ]
    return "\n".join(lines)


def loads(rounds: Sequence[Load]) -> str:
    """Write what the agent took in on one core; empty when it was not measured."""
    if not rounds:
        return ""
    rate = statistics.median(one.rate for one in rounds)
    rows = [
        (
            "request spans taken in, read, joined with 4 GPUs, annotated and sent on, a second",
            [one.rate for one in rounds],
            0,
        ),
        ("CPU of agent and reader, % of the core", [one.cpu * 100 for one in rounds], 0),
        ("resident at that load, both, MiB", [one.resident for one in rounds], 0),
        ("slowest scrape at that load, ms", [one.slowest for one in rounds], 0),
        ("spans dropped", [one.dropped for one in rounds], 0),
    ]
    return "\n".join(
        [
            "| spans of vLLM over gRPC, on one core | |",
            "|---|---:|",
            *(f"| {name} | {_spread(values, digits)} |" for name, values, digits in rows),
            "",
            f"- spans a second: {rate:,.0f} of at least {_SPANS_BUDGET:,}: {_verdict(rate >= _SPANS_BUDGET)}",
        ]
    )


def scrapes(rounds: Sequence[Scrapes]) -> str:
    """Write what the scraping of engines costs; empty when it was not measured."""
    if not rounds:
        return ""
    cost = statistics.median(one.cost for one in rounds)
    rows = [
        ("CPU of agent and reader with them, % of a core", [one.with_engines * 100 for one in rounds], 1),
        ("the same without engines", [one.without * 100 for one in rounds], 1),
        ("what they cost, % of a core", [one.cost * 100 for one in rounds], 1),
        ("resident with them, both, MiB", [one.resident for one in rounds], 0),
        ("the same without engines", [one.resident_without for one in rounds], 0),
        ("pages a second", [one.rate for one in rounds], 1),
        ("pages missed", [one.missed for one in rounds], 0),
        ("CPU of one scrape of the agent with them in it, ms", [one.page for one in rounds], 0),
        ("text of that scrape, MB", [one.size for one in rounds], 1),
    ]
    return "\n".join(
        [
            f"| {ENGINES} engines, each a page of {LINES:,} lines a second | |",
            "|---|---:|",
            *(f"| {name} | {_spread(values, digits)} |" for name, values, digits in rows),
            "",
            f"- engines: {cost:.1%} of at most {_ENGINES_BUDGET:.0%} of a core: {_verdict(cost <= _ENGINES_BUDGET)}",
        ]
    )


def divided(rounds: Sequence[Cost]) -> str:
    """Write what the ledger costs; empty when it was not measured."""
    if not rounds:
        return ""
    million, live = (statistics.median(values) for values in zip(*rounds, strict=True))
    hour, second = [one.million for one in rounds], [one.live * 100 for one in rounds]
    fast = million <= _MILLION_BUDGET
    return "\n".join(
        [
            "| the ledger, on eight GPUs | |",
            "|---|---:|",
            f"| a million requests over an hour, after the fact, CPU s | {_spread(hour, 2)} |",
            f"| a thousand requests a second, live, % of a core | {_spread(second, 1)} |",
            "",
            f"- a million requests: {million:.2f} s of at most {_MILLION_BUDGET:g} s: {_verdict(fast)}",
            f"- live: {live:.1%} of at most {_LIVE_BUDGET:.0%} of a core: {_verdict(live <= _LIVE_BUDGET)}",
        ]
    )


def interfaces(rounds: Sequence[network.Cost]) -> str:
    """Write what many network interfaces cost; empty when it was not measured."""
    if not rounds:
        return ""
    share = statistics.median(one.share for one in rounds)
    within = _verdict(share <= _NETWORK_BUDGET)
    percents = _spread([one.share * 100 for one in rounds], 2)
    real = "the kernel's (veth)" if rounds[0].real else "files like the kernel's"
    each = [f"| {name}: a run, CPU ms | {_spread([one.runs[name] for one in rounds], 1)} |" for name in rounds[0].runs]
    return "\n".join(
        [
            f"| {network.INTERFACES} network interfaces, {real} | |",
            "|---|---:|",
            f"| read as often as by default, text of a scrape each second, % of a core | {percents} |",
            *each,
            f"| series | {rounds[-1].series:,} |",
            "",
            f"- interfaces: {share:.1%} of at most {_NETWORK_BUDGET:.0%} of a core: {within}",
        ]
    )


def micro(title: str, cases: Sequence[tuple[str, float]]) -> str:
    """Write a micro-benchmark; ratios are to its first case."""
    first = cases[0][1]
    rows = [f"| {name} | {took:.3f} | {took / first:.3f} |" for name, took in cases]
    return "\n".join([f"| {title} | median, ms | ratio to the first |", "|---|---:|---:|", *rows])


def machine() -> str:
    """Describe where this ran."""
    info = Path("/proc/cpuinfo").read_text()
    models = (line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name"))
    cores = len(os.sched_getaffinity(0))
    try:
        peer = f"nvitop-exporter {version('nvitop-exporter')}"
    except PackageNotFoundError:
        peer = "no nvitop-exporter"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores of {next(models, platform.machine())}, "
        f"Python {platform.python_version()}, joulespan {VERSION}, {peer}, mock NVML with {GPUS} H100 of {LINKS} links"
    )


def fill(path: Path, text: str) -> None:
    """Put the text between the marks of a Markdown file. Raises ValueError when they are not there."""
    page = path.read_text("utf-8")
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: no {BEGIN} and {END}")
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", "utf-8")


def cpu(rounds: Sequence[Round]) -> float:
    """Percent of a core, the median over rounds."""
    return statistics.median(one.cpu for one in rounds)


def p99(rounds: Sequence[Round]) -> float:
    """ms, over all scrapes of the rounds."""
    return quantile([latency for one in rounds for latency in one.latencies], 0.99)


def quantile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least this share does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _sides(rounds: Rounds) -> tuple[Rounds, Rounds]:
    ours = {name: some for name, some in rounds.items() if name.startswith("joulespan")}
    return ours, {name: some for name, some in rounds.items() if name not in ours}


def _verdict(within: bool) -> str:
    return "within" if within else "**OVER**"


def _spread(values: Sequence[float], digits: int) -> str:
    median = f"{statistics.median(values):.{digits}f}"
    return f"{median} ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else median
