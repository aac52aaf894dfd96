# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus that scrapes an agent each second."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.agent.running import RunningAgent
from tests.exporters.receivers import free_port, until

_SCRAPES = """
global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: joulespan
    static_configs: [{{ targets: ["{target}"] }}]
"""


class Prometheus:
    """A Prometheus that scrapes an agent each second."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Evaluate an instant query: labels and value of every result."""
        found = self._get("/api/v1/query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def types(self) -> dict[str, str]:
        """Types of the metrics, as scraped."""
        return {name: entry[0]["type"] for name, entry in self._get("/api/v1/metadata").items()}

    def exemplars(self, expression: str) -> list[tuple[dict[str, str], list[Any]]]:
        """Ask for the exemplars of series: labels and exemplars of each."""
        found = self._get("/api/v1/query_exemplars", query=expression, start="0", end="9999999999")
        return [(one["seriesLabels"], one["exemplars"]) for one in found]

    def up(self) -> bool:
        """Whether it answers and has scraped twice."""
        try:
            return bool(self.query("count_over_time(up[1m]) > 2"))
        except OSError:
            return False

    def _get(self, path: str, **parameters: str) -> Any:
        with urllib.request.urlopen(f"{self._url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]


@contextmanager
def scraping(agent: RunningAgent, folder: Path) -> Iterator[Prometheus]:
    """Give a Prometheus that has scraped the agent; it keeps exemplars."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(_SCRAPES.format(target=agent.url.removeprefix("http://")))
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    command += ["--enable-feature=exemplar-storage"]
    with (folder / "prometheus.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            found = Prometheus(f"http://127.0.0.1:{port}")
            until(found.up, 30)
            yield found
        finally:
            process.terminate()
