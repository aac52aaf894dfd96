#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what sizing.py says: many nodes that serve the page of a running agent, and one real store that scrapes them.

    joulespan demo --listen 127.0.0.1:9840 &
    python3 deploy/fleet/measure.py http://127.0.0.1:9840/metrics --store prometheus --nodes 100 --minutes 12

Each node has GPU ids of its own; values and everything else are the agent's, read anew each second. Needs `prometheus`
or `victoria-metrics` (both are in Debian), and only its own folder and ports of the loopback.
"""

import argparse
import http.server
import json
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

_KEPT = 1.0
"""Seconds for which a page of the agent is served."""
_UUID = b"GPU-00000000-"
"""How GPU ids of the demo begin."""


class Nodes(http.server.ThreadingHTTPServer):
    """The nodes: /7/metrics is the page of the eighth."""

    daemon_threads = True

    def __init__(self, source: str) -> None:
        """Serve what the agent at `source` says."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self._source = source
        self._page, self._read = b"", 0.0
        self._lock = threading.Lock()

    def page(self, node: int) -> bytes:
        """Give a node's page."""
        with self._lock:
            if time.monotonic() - self._read > _KEPT:
                with urllib.request.urlopen(self._source, timeout=10) as answer:  # noqa: S310 - given by who runs it
                    self._page = answer.read()
                self._read = time.monotonic()
            page = self._page
        return page.replace(_UUID, b"GPU-%08x-" % node)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Nodes

    def do_GET(self) -> None:
        try:
            body = self.server.page(int(self.path.split("/")[1]))
        except OSError:
            # A node that is down: the store counts fewer samples, and says so.
            self.send_error(503)
            return
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
    parser.add_argument("page", help="the URL of the /metrics of `joulespan demo`")
    parser.add_argument("--store", choices=sorted(STORES), default="prometheus")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--interval", type=float, default=15.0)
    parser.add_argument("--minutes", type=float, default=12.0)
    arguments = parser.parse_args()
    nodes = Nodes(arguments.page)
    threading.Thread(target=nodes.serve_forever, daemon=True).start()
    one = sizing.cardinality(sizing.read(arguments.page))
    fleet = _fleet(arguments.nodes, arguments.interval, sizing.read(arguments.page))
    said = sizing.size(fleet, one, sizing.Rates())
    with tempfile.TemporaryDirectory(prefix="joulespan-fleet-") as folder:
        store = STORES[arguments.store](Path(folder), nodes.server_address[1], fleet)
        try:
            time.sleep(60 * arguments.minutes)
            got = store.measured(fleet)
        finally:
            store.stop()
    memory, disk = store.rates(sizing.Rates())
    rows = (
        ("series", said.series, got.series),
        ("samples/s", said.samples, got.samples),
        ("memory, MiB", said.series * memory / sizing.MIB, got.memory / sizing.MIB),
        ("bytes a sample on disk", disk, got.bytes_per_sample),
    )
    print(f"{store.version}, {fleet.nodes} nodes every {fleet.interval:g} s for {arguments.minutes:g} min\n")
    print("| | said | measured |\n|---|---|---|")
    for name, before, after in rows:
        print(f"| {name} | {before:,.6g} | {after:,.6g} |".replace(",", " "))
    return 0


def _fleet(nodes: int, interval: float, page: str) -> sizing.Fleet:
    """Tell what the agent's node has."""
    gpus, links, engines, tenants = set(), set(), set(), set()
    for labels in sizing.labels(page):
        if "hw_id" in labels:
            gpus.add(labels["hw_id"])
            links |= {(labels["hw_id"], labels["link"])} if "link" in labels else set()
        if "engine" in labels:
            engines.add(labels["engine"])
            tenants |= {(labels["engine"], labels["tenant"])} if "tenant" in labels else set()
    fleet = sizing.Fleet(nodes, interval=interval)
    return fleet._replace(
        gpus=len(gpus), links=len(links) / len(gpus), engines=len(engines), tenants=len(tenants) / len(engines)
    )


class _Store:
    """A program that scrapes and stores."""

    command: tuple[str, ...] = ()
    data = ""

    def __init__(self, folder: Path, port: int, fleet: sizing.Fleet) -> None:
        self._folder = folder
        self._log = (folder / "log").open("w")
        (folder / "scrape.yml").write_text(json.dumps(_scrapes(port, fleet)))
        self.port = _free_port()
        words = [
            word.format(port=self.port, data=folder / "data", config=folder / "scrape.yml") for word in self.command
        ]
        said = subprocess.run([words[0], "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - ours
        self.version = (said.stdout + said.stderr).splitlines()[0].partition(" (")[0]
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
    """Prometheus, whose blocks are closed early, so that there are some."""

    command = (
        "prometheus", "--config.file={config}", "--storage.tsdb.path={data}", "--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.min-block-duration=5m", "--storage.tsdb.max-block-duration=5m",
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
        return rates.victoria_memory_per_series, rates.victoria_bytes_per_sample

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


def _free_port() -> int:
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as probe:
        return int(probe.server_address[1])


if __name__ == "__main__":
    sys.exit(main())
