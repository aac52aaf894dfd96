# SPDX-License-Identifier: Apache-2.0
"""What the rounds come to: medians, spreads, ratios, and the budgets of the design."""

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from agent.version import VERSION
from tests.bench.contestants import GPUS
from tests.bench.rounds import Round

_MIB_BUDGET = 96
_SERIES_BUDGET = 300
_P99_BUDGET = 5.0
_STARTUP_BUDGET = 0.5


def table(rounds: Mapping[str, Sequence[Round]]) -> str:
    """Write the comparison: medians over rounds, with the range where it matters."""
    rows: list[tuple[str, Callable[[Sequence[Round]], str]]] = [
        ("CPU, % of a core", lambda some: _spread([one.cpu for one in some], 2)),
        ("scrape p50, ms", lambda some: f"{_quantile(some, 0.5):.1f}"),
        ("scrape p99, ms", lambda some: f"{_quantile(some, 0.99):.1f}"),
        ("scrape max, ms", lambda some: f"{_quantile(some, 1.0):.1f}"),
        ("resident, all processes, MiB", lambda some: _spread([one.rss for one in some], 1)),
        ("of that in proportion (PSS), MiB", lambda some: _spread([one.pss for one in some], 1)),
        ("start to first complete scrape, s", lambda some: _spread([one.startup for one in some], 2)),
        ("series", lambda some: str(some[-1].series)),
        ("bytes of a scrape, compressed", lambda some: f"{some[-1].size} / {some[-1].compressed}"),
        ("NVML calls a second", lambda some: f"{statistics.median(one.calls for one in some):.0f}"),
    ]
    lines = [f"| | {' | '.join(rounds)} |", "|---|" + "---|" * len(rounds)]
    lines += [f"| {name} | {' | '.join(write(some) for some in rounds.values())} |" for name, write in rows]
    return "\n".join(lines)


def budgets(rounds: Mapping[str, Sequence[Round]]) -> str:
    """Hold the figures against the budgets of the design, section 8."""
    ours = {name: some for name, some in rounds.items() if name.startswith("joulespan")}
    peers = {name: some for name, some in rounds.items() if name not in ours}
    lines = []
    for name, some in ours.items():
        cpu = statistics.median(one.cpu for one in some)
        for peer, theirs in peers.items():
            other = statistics.median(one.cpu for one in theirs)
            lines.append(_line(f"{name}: CPU below {peer}", cpu / other, 1.0, "x"))
            lines.append(f"- {name}: scrape p99 {_quantile(some, 0.99) / _quantile(theirs, 0.99):.2f} x of {peer}")
        lines.append(_line(f"{name}: scrape p99", _quantile(some, 0.99), _P99_BUDGET, "ms"))
        lines.append(_line(f"{name}: resident", max(one.rss for one in some), _MIB_BUDGET, "MiB"))
        lines.append(_line(f"{name}: series per GPU", some[-1].series / GPUS, _SERIES_BUDGET, ""))
        startup = statistics.median(one.startup for one in some)
        lines.append(_line(f"{name}: first complete scrape", startup, _STARTUP_BUDGET, "s"))
    return "\n".join(lines)


def machine() -> str:
    """Describe where this ran."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores of {model}, Python {platform.python_version()}, "
        f"joulespan {VERSION}, nvitop-exporter {version('nvitop-exporter')}, mock NVML with {GPUS} H100"
    )


def fill(path: Path, text: str) -> None:
    """Put the text between the marks of a Markdown file."""
    begin, end = "<!-- bench:begin -->", "<!-- bench:end -->"
    head, _, rest = path.read_text("utf-8").partition(begin)
    _, _, tail = rest.partition(end)
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}", "utf-8")


def _line(what: str, value: float, budget: float, unit: str) -> str:
    verdict = "within" if value <= budget else "**OVER**"
    return f"- {what}: {value:.2f} {unit} of {budget:g} {unit}: {verdict}".replace("  ", " ")


def _spread(values: Sequence[float], digits: int) -> str:
    median = statistics.median(values)
    return f"{median:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _quantile(rounds: Sequence[Round], share: float) -> float:
    latencies = sorted(latency for one in rounds for latency in one.latencies)
    return latencies[min(int(share * len(latencies)), len(latencies) - 1)]
