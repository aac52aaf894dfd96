# SPDX-License-Identifier: Apache-2.0
"""Prometheus and Alertmanager with the files that deploy/compose ships, and the webhook that alerts go to.

Of those files only what is the machine's own is changed: addresses, folders, and how often things happen.
"""

import http.server
import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.agent.prometheus import Prometheus
from tests.exporters.receivers import free_port

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"
RULES = ROOT / "alerts" / "rules"


class Alert(NamedTuple):
    """An alert, as it came: firing or resolved."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Webhook:
    """Keeps every alert that it is told."""

    def __init__(self) -> None:
        """Take a free port; `serving` answers on it."""
        self.alerts: list[Alert] = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.alerts += [Alert(each["status"], each["labels"], each["annotations"]) for each in told["alerts"]]
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    @contextmanager
    def serving(self) -> Iterator["Webhook"]:
        """Answer until the end of the block."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def firing(self, name: str, **labels: str) -> list[Alert]:
        """List the alerts of a name that began to fire, with these labels."""
        wanted = {"alertname": name, **labels}.items()
        return [alert for alert in list(self.alerts) if alert.status == "firing" and wanted <= alert.labels.items()]


def shipped(name: str, changes: Mapping[str, str]) -> str:
    """Read a file of deploy/compose and change places in it, each of which must be there."""
    text = (COMPOSE / name).read_text()
    for old, new in changes.items():
        assert old in text, f"{name} has no {old}"
        text = text.replace(old, new)
    return text


@contextmanager
def started(command: list[str], folder: Path, ready: str) -> Iterator[None]:
    """Run a program until the end of the block, from when it answers at `ready`."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("w") as output, subprocess.Popen(command, cwd=folder, stdout=output, stderr=output) as process:
        try:
            _answer(process, ready, log)
            yield
        finally:
            process.terminate()


def _answer(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    waiting = threading.Event()
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            waiting.wait(0.1)
    raise AssertionError(log.read_text())


@contextmanager
def alertmanager(webhook: str, folder: Path, *, group_wait: str) -> Iterator[str]:
    """Give the address of an Alertmanager that tells the webhook."""
    port = free_port()
    changes = {"http://127.0.0.1:9999/": webhook, "group_wait: 10s": f"group_wait: {group_wait}"}
    changes["group_interval: 1m"] = f"group_interval: {group_wait}"
    (folder / "alertmanager.yml").write_text(shipped("alertmanager.yml", changes))
    command = ["prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=alertmanager-data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with started(command, folder, f"http://127.0.0.1:{port}/-/ready"):
        yield f"127.0.0.1:{port}"


@contextmanager
def prometheus(agent: str, manager: str, folder: Path, *, interval: str) -> Iterator[Prometheus]:
    """Give a Prometheus that scrapes the agent, evaluates the rules of this checkout and tells the Alertmanager."""
    port = free_port()
    changes = {"agent:9840": agent, "alertmanager:9093": manager, "/etc/prometheus/rules": str(RULES)}
    changes |= {"scrape_interval: 5s": f"scrape_interval: {interval}"}
    changes |= {"evaluation_interval: 15s": f"evaluation_interval: {interval}"}
    (folder / "prometheus.yml").write_text(shipped("prometheus.yml", changes))
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=prometheus-data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"]
    with started(command, folder, f"http://127.0.0.1:{port}/-/ready"):
        yield Prometheus(f"http://127.0.0.1:{port}")
