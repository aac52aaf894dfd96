# SPDX-License-Identifier: Apache-2.0
"""The page at /: the node's GPUs and engines at a glance, and where the rest is."""

from html import escape
from typing import Any

from agent.catalogue import gpu as metrics
from agent.catalogue.health import STATUS
from agent.entities import Gpu, GpuInfo, GpuSensor, GpuState, GpuTask
from agent.snapshot import Snapshot
from exporters.page_engines import engines

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 92rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .3rem }
p { margin: .3rem 0 1.2rem; opacity: .75 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .4rem .55rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap }
th { font-weight: 600; opacity: .75 }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left }
.ok { color: #2a9d4a } .degraded { color: #c77d00 } .failed { color: #d43b3b; font-weight: 600 }
.demo { background: #c77d00; color: #fff; padding: .15rem .6rem; border-radius: .3rem; font-size: .85rem;
  margin-left: .6rem }
meter { width: 5rem; vertical-align: middle }
nav { margin-top: 1.5rem } nav a { margin-right: 1.2rem }
"""
_GIB = 1 << 30


def page(snapshot: Snapshot, resource: dict[str, str], *, demo: bool) -> str:
    """Write the page."""
    gpus = _gpus(snapshot)
    mark = '<span class="demo">demo: these GPUs and engines are simulated</span>' if demo else ""
    rows = "\n".join(_row(name, gpus[name]) for name in sorted(gpus, key=_number))
    table = (
        f"<table>{_HEAD}\n{rows}\n</table>"
        if gpus
        else "<p>No GPU can be read. <code>joulespan doctor</code> says why.</p>"
    )
    host = escape(resource.get("host.name", "this node"))
    version = escape(resource.get("service.version", ""))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width"><title>joulespan on {host}</title><style>{_STYLE}</style></head>
<body><h1>joulespan on {host}{mark}</h1>
<p>{len(gpus)} GPUs, {_watts(gpus)} W, {snapshot.series_count()} series; version {version}</p>
{table}
{engines(snapshot, {entity.id: entity.name for entity in _entities(snapshot)})}
<nav><a href="/metrics">/metrics</a><a href="/api/v1/snapshot">/api/v1/snapshot</a><a href="/healthz">/healthz</a>
<a href="/readyz">/readyz</a></nav></body></html>
"""


_HEAD = (
    "<tr><th>GPU</th><th>model</th><th>status</th><th>utilization</th><th>SM active</th>"
    "<th>memory GiB</th><th>power W</th><th>energy kWh</th><th>°C</th></tr>"
)


def _gpus(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Gather what the table shows, by GPU name."""
    gpus: dict[str, dict[str, Any]] = {}
    for (metric, entity), value in snapshot.samples():
        if isinstance(entity, Gpu) and metric in _PLAIN:
            gpus.setdefault(entity.name, {})[_PLAIN[metric]] = value
        elif isinstance(entity, GpuInfo):
            gpus.setdefault(entity.gpu.name, {})["model"] = entity.model
        elif isinstance(entity, GpuState) and metric is STATUS:
            gpus.setdefault(entity.gpu.name, {})["status"] = entity.state
        elif isinstance(entity, GpuTask) and entity.task == "general":
            gpus.setdefault(entity.gpu.name, {})["utilization"] = value
        elif isinstance(entity, GpuSensor) and entity.location == "gpu":
            gpus.setdefault(entity.gpu.name, {})["temperature"] = value
    return gpus


def _entities(snapshot: Snapshot) -> set[Gpu]:
    return {series.entity for series, _ in snapshot.samples() if isinstance(series.entity, Gpu)}


_PLAIN = {
    metrics.SM_ACTIVE: "sm",
    metrics.MEMORY_USAGE: "used",
    metrics.MEMORY_LIMIT: "total",
    metrics.POWER: "power",
    metrics.ENERGY: "energy",
}


def _row(name: str, gpu: dict[str, Any]) -> str:
    status = escape(gpu.get("status", ""))
    cells = [
        escape(name),
        escape(gpu.get("model") or ""),
        f'<span class="{status}">{status}</span>',
        _meter(gpu.get("utilization")),
        _meter(gpu.get("sm")),
        f"{gpu['used'] / _GIB:.1f} / {gpu['total'] / _GIB:.0f}" if "used" in gpu and "total" in gpu else "",
        f"{gpu['power']:.0f}" if "power" in gpu else "",
        f"{gpu['energy'] / 3.6e6:.3f}" if "energy" in gpu else "",
        f"{gpu['temperature']:.0f}" if "temperature" in gpu else "",
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _meter(ratio: float | None) -> str:
    return "" if ratio is None else f'{ratio:.0%} <meter value="{ratio:.3f}"></meter>'


def _watts(gpus: dict[str, dict[str, Any]]) -> str:
    return f"{sum(gpu.get('power', 0.0) for gpu in gpus.values()):.0f}"


def _number(name: str) -> tuple[int, str]:
    digits = "".join(letter for letter in name if letter.isdigit())
    return (int(digits) if digits else 0, name)
