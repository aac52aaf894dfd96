# SPDX-License-Identifier: Apache-2.0
"""What it costs the agent to scrape 16 engines with pages of 5 000 lines each second.

The pages are vLLM's as recorded, with as many data-parallel ranks as make 5 000 lines. Every series that changed while
that recording was made is another on each page than on the one before, as if every rank had finished requests of each
kind within the second. They are served by a process of their own on another core. The agent is measured with and
without them, one after the other, with eight GPUs of the mock; the difference is the cost. Its own /metrics is not
scraped meanwhile: what that takes is said apart, as its text grows with what is in it and not with how it came.
"""

import itertools
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from agent.version import VERSION
from tests.bench.load import bound, cores_apart, cpu, free_port, resident, scrape, warm
from tests.mock_nvml.control import MockNvml

ENGINES, LINES = 16, 5000
_RECORDINGS = Path(__file__).parents[1] / "fixtures/telemetry/vllm"
_VERSIONS = 60
_SETTLE = 6.0
"""Seconds from the first scrape of all engines: the first page of each takes more."""
_PATIENCE = 60.0
_OWN = 5
"""Scrapes of the agent's own metrics."""


class Scrapes(NamedTuple):
    """CPU as a share of a core and resident MiB, with and without engines; scrapes of engines a second and missed ones.

    `page` is the ms of CPU that one scrape of the agent's own /metrics takes with the engines in it, `size` its MB.
    """

    with_engines: float
    without: float
    resident: float
    resident_without: float
    rate: float
    missed: float
    page: float
    size: float

    @property
    def cost(self) -> float:
        """What the engines cost, as a share of a core."""
        return self.with_engines - self.without


def measure(mock: MockNvml, folder: Path, seconds: float) -> Scrapes:
    """Run it once. Raises TimeoutError when a part does not start."""
    ours, others = cores_apart()
    with _pages(others) as port:
        engines = [
            {"name": f"engine-{number}", "metrics_url": f"http://127.0.0.1:{port}/{number}/metrics"}
            for number in range(ENGINES)
        ]
        plain = _run(mock, folder, ours, [], seconds)
        busy = _run(mock, folder, ours, engines, seconds)
    return Scrapes(busy.cpu, plain.cpu, busy.resident, plain.resident, busy.rate, busy.missed, busy.page, busy.size)


class _Run(NamedTuple):
    cpu: float
    resident: float
    rate: float
    missed: float
    page: float
    size: float


def _run(mock: MockNvml, folder: Path, cores: set[int], engines: Sequence[Mapping[str, str]], seconds: float) -> _Run:
    port = free_port()
    config = folder / f"scrapes-{len(engines)}.yaml"
    config.write_text(json.dumps({"listen": f"127.0.0.1:{port}", "engines": engines, "receivers": _OFF}))
    command = [*bound(cores), "-m", "agent", "run", "--config", str(config)]
    log = config.with_suffix(".log").open("wb")
    with log, subprocess.Popen(command, env=mock.env(), stdout=log, stderr=log) as process:
        try:
            warm(port)
            _all_up(port, len(engines))
            time.sleep(_SETTLE)
            counts = _counts(port)
            began, before = time.monotonic(), cpu(process.pid)
            time.sleep(seconds)
            took, used = time.monotonic() - began, cpu(process.pid) - before
            after, memory = _counts(port), resident(process.pid)
            began, before = time.monotonic(), cpu(process.pid)
            size = 0
            for _ in range(_OWN):
                size = len(scrape(port))
                time.sleep(1)
            own = cpu(process.pid) - before - used / took * (time.monotonic() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)
    missed = after["missed"] - counts["missed"]
    rate = (after["up"] * took - missed) / took
    return _Run(used / took, memory, rate, missed, own / _OWN * 1e3, size / 1e6)


_OFF = {"otlp": {"grpc": "", "http": ""}}


def _counts(port: int) -> dict[str, float]:
    found = {"up": 0.0, "missed": 0.0}
    for line in scrape(port).splitlines():
        for name, prefix in (("up", "joulespan_engine_up{"), ("missed", "joulespan_engine_scrape_missed_total{")):
            if line.startswith(prefix):
                found[name] += float(line.rpartition(" ")[2])
    return found


def _all_up(port: int, wanted: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while _counts(port)["up"] < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError("not every engine was scraped")
        time.sleep(0.5)


@contextmanager
def _pages(cores: set[int]) -> Iterator[int]:
    command = [*bound(cores), "-m", "tests.bench.scrapes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def page(step: int, lines: int = LINES) -> bytes:
    """Make a page; what changed while the recording was made grows with `step`."""
    found: list[str] = []
    before, recorded = ((_RECORDINGS / f"metrics_{name}.prom").read_text().splitlines() for name in ("before", "after"))
    same = set(before)
    for rank in itertools.count():
        for line in recorded:
            if line.startswith("#"):
                if not rank:
                    found.append(line)
                continue
            series, _, value = line.rpartition(" ")
            told = value if line in same or "_created" in series else repr(float(value) + step)
            found.append(series.replace('engine="0"', f'engine="{rank}"') + f" {told}")
        if len(found) >= lines:
            return ("\n".join(found[:lines]) + "\n").encode()
    raise AssertionError


def _serve() -> None:
    """Serve pages until killed: to each path one version after the other."""
    versions = [page(step) for step in range(_VERSIONS)]
    turns: dict[str, Iterator[bytes]] = {}
    guard = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        server_version = f"joulespan-bench/{VERSION}"

        def do_GET(self) -> None:
            with guard:
                body = next(turns.setdefault(self.path, itertools.cycle(versions)))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve()
