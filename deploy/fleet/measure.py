#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what sizing.py says: many nodes that serve the page of a running agent, and one real store that scrapes them.

    joulespan demo --listen 127.0.0.1:9840 &
    python3 deploy/fleet/measure.py http://127.0.0.1:9840/metrics --pages build/pages --seconds 480    # records pages
    python3 deploy/fleet/measure.py --pages build/pages --store prometheus --nodes 100 --minutes 12    # runs

The pages are recorded first, one a second, so that a machine that is busy with the run does not change them: each node
serves one after the other, with GPU ids of its own. Needs `prometheus` or `victoria-metrics` (both are in Debian), and
only its own folder and ports of the loopback.
"""

import argparse
import http.server
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import sizing  # noqa: E402 - beside this file

_UUID = b"GPU-00000000-"
"""How GPU ids of the demo begin."""
_WHOLE = 0.99
"""Of the lines that pages usually have: one with fewer is of a moment when the agent had not read everything."""


def record(source: str, folder: Path, seconds: int) -> None:
    """Write a page a second into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(seconds):
        (folder / f"{number:05}").write_text(sizing.read(source))
        time.sleep(1)


def recorded(folder: Path) -> list[Path]:
    """Give the pages that are whole, in order."""
    pages = sorted(folder.iterdir())
    lines = {page: page.read_bytes().count(b"\n") for page in pages}
    usual = sorted(lines.values())[len(lines) // 2]
    return [page for page in pages if _WHOLE * usual <= lines[page] <= usual / _WHOLE]


class Nodes(http.server.ThreadingHTTPServer):
    """The nodes: /7/metrics is the page of the eighth."""

    daemon_threads = True

    def __init__(self, pages: list[Path], seconds: float) -> None:
        """Serve `pages` one after the other in `seconds`."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self._pages = pages
        self._seconds = seconds
        self._began = time.monotonic()

    def page(self, node: int) -> bytes:
        """Give a node's page of the moment."""
        at = (time.monotonic() - self._began) / self._seconds
        page = self._pages[min(int(at * len(self._pages)), len(self._pages) - 1)]
        return page.read_bytes().replace(_UUID, b"GPU-%08x-" % node)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Nodes

    def do_GET(self) -> None:
        body = self.server.page(int(self.path.split("/")[1]))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Measured(NamedTuple):
    """What the store says of itself, and what the system says of it."""

    series: float
    samples: float
    memory: float
    bytes_per_sample: float


def main() -> int:
    """Run, measure, and print what was said beside what is."""
    parser = argparse.ArgumentParser(description="What a store takes for many nodes, beside what sizing.py says.")
    parser.add_argument("source", nargs="?", help="the URL of the /metrics of `joulespan demo`: record its pages")
    parser.add_argument("--pages", type=Path, required=True, help="the folder of the recorded pages")
    parser.add_argument("--seconds", type=int, default=480, help="how long to record")
    parser.add_argument("--store", choices=sorted(STORES), default="prometheus")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--interval", type=float, default=15.0)
    parser.add_argument("--minutes", type=float, default=12.0)
    arguments = parser.parse_args()
    if arguments.source:
        record(arguments.source, arguments.pages, arguments.seconds)
        return 0
    pages = recorded(arguments.pages)
    nodes = Nodes(pages, 60 * arguments.minutes)
    threading.Thread(target=nodes.serve_forever, daemon=True).start()
    text = pages[-1].read_text()
    fleet = sizing.counted(text, arguments.nodes, arguments.interval)
    said = sizing.size(fleet, sizing.cardinality(text), sizing.Rates())
    with tempfile.TemporaryDirectory(prefix="joulespan-fleet-") as folder:
        block = max(1, int(arguments.minutes / 3))
        store = STORES[arguments.store](Path(folder), nodes.server_address[1], fleet, block)
        try:
            time.sleep(60 * arguments.minutes)
            got = store.measured(fleet)
        finally:
            store.stop()
    memory, disk = store.rates(sizing.Rates())
    rows = (
        ("series", said.series, got.series),
        ("samples/s", said.samples, got.samples),
        ("memory in MiB", said.series * memory / sizing.MIB, got.memory / sizing.MIB),
        ("bytes a sample on disk", disk, got.bytes_per_sample),
    )
    how = f"{fleet.nodes} nodes every {fleet.interval:g} s for {arguments.minutes:g} min, {len(pages)} pages"
    print(f"{store.version}, {how}\n")
    print("| | said | measured |\n|---|---|---|")
    for name, before, after in rows:
        print(f"| {name} | {'' if math.isnan(before) else _number(before)} | {_number(after)} |")
    return 0


class _Store:
    """A program that scrapes and stores."""

    command: tuple[str, ...] = ()
    data = ""

    def __init__(self, folder: Path, port: int, fleet: sizing.Fleet, block: int) -> None:
        self._folder = folder
        self._log = (folder / "log").open("w")
        (folder / "scrape.yml").write_text(json.dumps(_scrapes(port, fleet)))
        self.port = _free_port()
        places = {"port": self.port, "data": folder / "data", "config": folder / "scrape.yml", "block": block}
        words = [word.format(**places) for word in self.command]
        said = subprocess.run([words[0], "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - ours
        self.version = (said.stdout + said.stderr).strip().partition("\n")[0].partition(" (")[0] or words[0]
        self._process = subprocess.Popen(words, cwd=folder, stdout=self._log, stderr=self._log)  # noqa: S603 - ours

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def rates(self, rates: sizing.Rates) -> tuple[float, float]:
        """Tell what sizing.py takes for memory of a series and disk of a sample."""
        raise NotImplementedError

    def measured(self, fleet: sizing.Fleet) -> Measured:
        """Measure."""
        raise NotImplementedError

    def _resident(self) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return 1024 * next(float(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def _own(self) -> dict[str, float]:
        page = sizing.read(f"http://127.0.0.1:{self.port}/metrics")
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in page.splitlines())
            if name and name[0] != "#"
        }

    def _query(self, text: str) -> float:
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": text})
        return float(json.loads(sizing.read(url))["data"]["result"][0]["value"][1])


class Prometheus(_Store):
    """Prometheus, whose blocks are closed early, so that there are some: a third of the run each."""

    command = (
        "prometheus", "--config.file={config}", "--storage.tsdb.path={data}", "--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.min-block-duration={block}m", "--storage.tsdb.max-block-duration={block}m",
    )  # fmt: skip

    def rates(self, rates: sizing.Rates) -> tuple[float, float]:
        """See _Store."""
        return rates.prometheus_memory_per_series, rates.prometheus_bytes_per_sample

    def measured(self, fleet: sizing.Fleet) -> Measured:
        """See _Store."""
        own = self._own()
        chunks, index, samples, series = self._blocks()
        # A block of two hours has as large an index as one of five minutes, of the same series.
        disk = chunks / samples + index / series / (7200 / fleet.interval)
        rate = self._query(f"sum(scrape_samples_scraped + {sizing.SCRAPE_SERIES})") / fleet.interval
        return Measured(own["prometheus_tsdb_head_series"], rate, self._resident(), disk)

    def _blocks(self) -> tuple[float, float, float, float]:
        blocks = [path.parent for path in (self._folder / "data").glob("*/meta.json")]
        stats = [json.loads((block / "meta.json").read_text())["stats"] for block in blocks]
        chunks = sum(path.stat().st_size for block in blocks for path in (block / "chunks").iterdir())
        index = sum((block / "index").stat().st_size for block in blocks)
        return chunks, index, sum(one["numSamples"] for one in stats), sum(one["numSeries"] for one in stats)


class VictoriaMetrics(_Store):
    """VictoriaMetrics, a single node."""

    command = (
        "victoria-metrics", "-promscrape.config={config}", "-storageDataPath={data}",
        "-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=1d",
    )  # fmt: skip

    def rates(self, rates: sizing.Rates) -> tuple[float, float]:
        """See _Store."""
        return rates.victoria_memory_per_series, math.nan  # what it takes after weeks was not measured

    def measured(self, fleet: sizing.Fleet) -> Measured:
        """See _Store."""
        sizing.read(f"http://127.0.0.1:{self.port}/internal/force_flush")
        own = self._own()
        series = own['vm_cache_entries{type="storage/hour_metric_ids"}']
        rows = sum(value for name, value in own.items() if name.startswith('vm_rows{type="storage/'))
        data = sum(value for name, value in own.items() if name.startswith('vm_data_size_bytes{type="storage/'))
        rate = self._query(f"sum(scrape_samples_scraped + {sizing.SCRAPE_SERIES})") / fleet.interval
        return Measured(series, rate, self._resident(), data / rows)


STORES: Mapping[str, type[_Store]] = {"prometheus": Prometheus, "victoriametrics": VictoriaMetrics}


def _scrapes(port: int, fleet: sizing.Fleet) -> dict[str, object]:
    """Write what Prometheus reads, as JSON, which is YAML."""
    targets = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {"__metrics_path__": f"/{node}/metrics", "instance": f"node-{node}"},
        }
        for node in range(fleet.nodes)
    ]
    job = {"job_name": "joulespan", "static_configs": targets}
    return {"global": {"scrape_interval": f"{fleet.interval:g}s"}, "scrape_configs": [job]}


def _number(value: float) -> str:
    return f"{value:,.6g}".replace(",", " ")


def _free_port() -> int:
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as probe:
        return int(probe.server_address[1])


if __name__ == "__main__":
    sys.exit(main())
