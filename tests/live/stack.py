# SPDX-License-Identifier: Apache-2.0
"""A small installation that is alive: two nodes, one on which things go wrong, scraped and pushed into Prometheus.

    agents (demo) ◄── scrape ── Prometheus `scraped`
           └── OTLP ──► vmagent ── remote write ──► Prometheus `pushed`

Both have the generated rule files. One run of it serves every test of this folder.
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.agent.running import RunningAgent, running
from tests.exporters.receivers import free_port, until
from tests.newer import TOOLS, fetch

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "alerts/rules").glob("*.yaml"))
FAULTY, HEALTHY = "node-a", "node-b"
CLUSTER = "test"
_ALONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child") if os.geteuid() == 0 else ()
"""How an agent is run so that it does not find the engines of the other, which are on the same machine after all."""
ROUND = 186.0
"""Seconds from the start of the agents until every fault of the script has been there, and a little more."""
SETTLED = 55.0
"""Seconds after which a node shows all that it shows: engines are found, their costs are learnt."""
EVERY = 5
"""Seconds between two evaluations of a rule, and between two points that a test asks for."""


class Refused(Exception):
    """Prometheus does not take a query."""


class Series(NamedTuple):
    """A series of an answer: its labels, and (time, value) of each point."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, str]]


class Prometheus:
    """A running Prometheus, asked about the time since the agents started."""

    def __init__(self, url: str, started: float) -> None:
        self.url = url
        self.started = started

    def over_time(self, query: str) -> list[Series]:
        """Evaluate a query every few seconds of the run. Raises Refused with the reason."""
        times = {"start": f"{self.started:.0f}", "end": f"{time.time():.0f}", "step": str(EVERY)}
        found = self.ask("query_range", query=query, **times)["result"]
        return [Series(one["metric"], [(float(at), value) for at, value in one["values"]]) for one in found]

    def at(self, query: str, seconds: float) -> list[Series]:
        """Evaluate a query as of so many seconds after the start. Raises Refused with the reason."""
        found = self.ask("query", query=query, time=f"{self.started + seconds:.0f}")["result"]
        return [Series(one["metric"], [(float(one["value"][0]), one["value"][1])]) for one in found]

    def values_of(self, label: str, match: str | None) -> list[str]:
        """List the values of a label."""
        given = {"match[]": match} if match else {}
        found: list[str] = self.ask(f"label/{label}/values", **given)
        return found

    def series(self, match: str) -> list[dict[str, str]]:
        """List the label sets of all series that match and were there since the start."""
        found: list[dict[str, str]] = self.ask("series", **{"match[]": match}, start=f"{self.started - 60:.0f}")
        return found

    def exemplars(self, query: str) -> list[Any]:
        """List the exemplars of the series of a query."""
        found: list[Any] = self.ask("query_exemplars", query=query, start=f"{self.started:.0f}", end="9999999999")
        return found

    def ask(self, path: str, **parameters: str) -> Any:
        """Ask its API."""
        try:
            body = urllib.parse.urlencode(parameters).encode()
            asked = f"{self.url}/api/v1/{path}"
            if path.startswith(("label/", "rules", "alerts")):
                asked, body = f"{asked}?{body.decode()}", None  # type: ignore[assignment]
            with urllib.request.urlopen(asked, body, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Refused(f"{json.load(error).get('error')}: {parameters}") from error

    def up(self) -> bool:
        """Whether it has started."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=10) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False


class Stack(NamedTuple):
    """What runs. `pushed` is None where vmagent cannot be had, and `missing` says why."""

    scraped: Prometheus
    pushed: Prometheus | None
    missing: str
    agents: Mapping[str, RunningAgent]


def groups() -> list[dict[str, Any]]:
    """List the rule groups of all generated rule files."""
    found: list[dict[str, Any]] = []
    for path in RULES:
        found += yaml.safe_load(path.read_text("utf-8"))["groups"]
    return found


@contextmanager
def stack(folder: Path, seconds: float = ROUND) -> Iterator[Stack]:
    """Run it, and give it after so many seconds: when a round of faults is over."""
    missing = fetch()
    with ExitStack() as parts:
        sink = None if missing else free_port()
        pushes = None if sink is None else parts.enter_context(_vmagent(folder, sink))
        agents = {name: parts.enter_context(_agent(name, folder, pushes)) for name in (FAULTY, HEALTHY)}
        started = time.time()
        scraped = parts.enter_context(_prometheus("prometheus", folder / "scraped", agents, free_port(), started))
        pushed = None
        if sink is not None:
            newer = str(TOOLS / "prometheus")
            # Nobody tells of a pushed series that it has ended: it is over when it is not pushed again.
            more = ["--query.lookback-delta=1m"]
            pushed = parts.enter_context(_prometheus(newer, folder / "pushed", {}, sink, started, more))
        until(lambda: time.time() > started + seconds, 2 * seconds)
        yield Stack(scraped, pushed, missing, agents)


@contextmanager
def _agent(name: str, folder: Path, pushes: str | None) -> Iterator[RunningAgent]:
    settings = ["collectors.gpu.slow_interval=2s", "exporters.prometheus.dcgm_names=true"]
    if pushes:
        settings += [f"exporters.otlp.{key}" for key in (f"endpoint={pushes}", "protocol=http/protobuf", "interval=2s")]
    arguments = [part for setting in settings for part in ("--set", setting)]
    if name == FAULTY:
        arguments.append("--faults")
    env = {**os.environ, "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={name}"}
    with running("demo", *arguments, env=env, log=folder / f"{name}.log", through=_ALONE) as agent:
        yield agent


@contextmanager
def _prometheus(
    program: str,
    folder: Path,
    agents: Mapping[str, RunningAgent],
    port: int,
    started: float,
    more: Sequence[str] = (),
) -> Iterator[Prometheus]:
    folder.mkdir()
    rules = folder / "rules.yaml"
    # Rules that are evaluated once a minute would say next to nothing in a run of three.
    short = [{key: value for key, value in group.items() if key != "interval"} for group in groups()]
    rules.write_text(yaml.safe_dump({"groups": short}), "utf-8")
    config = folder / "prometheus.yml"
    targets = [
        {"targets": [agent.url.removeprefix("http://")], "labels": {"instance": name, "cluster": CLUSTER}}
        for name, agent in agents.items()
    ]
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "2s", "evaluation_interval": f"{EVERY}s"},
                "rule_files": [str(rules)],
                # vmagent writes over several connections, which overtake each other.
                "storage": {"tsdb": {"out_of_order_time_window": "10m"}},
                "scrape_configs": [{"job_name": "joulespan", "static_configs": targets}],
            }
        ),
        "utf-8",
    )
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=error"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    command += ["--enable-feature=exemplar-storage", *more]
    with _process(command, folder / "log"):
        found = Prometheus(f"http://127.0.0.1:{port}", started)
        until(found.up, 60)
        yield found


@contextmanager
def _vmagent(folder: Path, sink: int) -> Iterator[str]:
    """Give the endpoint that agents push to."""
    port = free_port()
    command = [str(TOOLS / "vmagent"), f"-httpListenAddr=127.0.0.1:{port}", "-opentelemetry.usePrometheusNaming"]
    command += [
        f"-remoteWrite.url=http://127.0.0.1:{sink}/api/v1/write",
        f"-remoteWrite.tmpDataPath={folder / 'queue'}",
    ]
    command += [
        f"-remoteWrite.relabelConfig={ROOT / 'deploy/vmagent/relabel.yaml'}",
        f"-remoteWrite.label=cluster={CLUSTER}",
    ]
    with _process(command, folder / "vmagent.log"):
        yield f"http://127.0.0.1:{port}/opentelemetry"


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[None]:
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()


def skip_without(stack: Stack) -> Prometheus:
    """Give the Prometheus that is pushed into, or skip the test with the reason."""
    if stack.pushed is None:
        pytest.skip(stack.missing)
    return stack.pushed
