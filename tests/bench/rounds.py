# SPDX-License-Identifier: Apache-2.0
"""One round: a contestant is scraped once a second as Prometheus would, and its cost is read from /proc."""

import http.client
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench.contestants import Contestant, Started, start, tree
from tests.mock_nvml.control import MockNvml

HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
    "Accept-Encoding": "gzip",
    "User-Agent": "Prometheus/3.5.3",
}
"""What Prometheus 3 sends."""
SETTLE = 3.0
"""Seconds after the first complete scrape that count as start-up."""
_TICKS = os.sysconf("SC_CLK_TCK")
_GIVE_UP = 30.0
_PAUSE = 0.01
"""Seconds between attempts at a first scrape: how exact the start-up time is."""
_GZIP = 31
"""zlib's window bits for the gzip format."""


@dataclass(frozen=True)
class Round:
    """What was measured. Seconds, percent of one core, MiB, milliseconds, bytes, calls a second."""

    startup: float
    cpu: float
    rss: float
    pss: float
    latencies: tuple[float, ...]
    compressed: int
    size: int
    series: int
    calls: float


class Scraped(NamedTuple):
    """An answer: its bytes as they came, its text, and the milliseconds until the last byte was there."""

    body: bytes
    packed: bool
    took: float

    @property
    def text(self) -> str:
        """The text, unpacked."""
        return (zlib.decompress(self.body, _GZIP) if self.packed else self.body).decode()


class Client:
    """A scraper with a kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def scrape(self) -> Scraped:
        """Scrape. Raises OSError or HTTPException, also for any status but 200."""
        begin = time.perf_counter()
        self._connection.request("GET", "/metrics", headers=HEADERS)
        answer = self._connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - begin) * 1e3
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"status {answer.status}")
        return Scraped(body, answer.headers.get("Content-Encoding") == "gzip", took)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def measure(contestant: Contestant, mock: MockNvml, folder: Path, seconds: float, call_us: int = 0) -> Round:
    """Run one round. Raises Failed when the contestant does not start, does not answer or ends."""
    with start(contestant, mock, folder, call_us) as started:
        startup = _first_complete(started)
        client = Client(started.port)
        try:
            return _steady(started, client, startup, seconds)
        except (OSError, http.client.HTTPException) as error:
            raise started.failed(f"did not answer: {error!r}") from error
        finally:
            client.close()


def _steady(started: Started, client: Client, startup: float, seconds: float) -> Round:
    _scrape_for(client, SETTLE)
    pid = started.process.pid
    cpu, calls, begin = _cpu(pid), _calls(started), time.monotonic()
    answers = _scrape_for(client, seconds)
    took = time.monotonic() - begin
    cpu, calls = _cpu(pid) - cpu, _calls(started) - calls
    rss, pss = _memory(pid)
    text = answers[-1].text
    if not _complete(started.contestant, text):
        raise started.failed("its last scrape is not complete")
    return Round(
        startup=startup,
        cpu=100 * cpu / took,
        rss=rss,
        pss=pss,
        latencies=tuple(answer.took for answer in answers),
        compressed=len(answers[-1].body),
        size=len(text.encode()),
        series=sum(1 for line in text.splitlines() if line and not line.startswith("#")),
        calls=calls / took,
    )


def _first_complete(started: Started) -> float:
    """Scrape on new connections until one is complete; seconds since the start."""
    while (now := time.monotonic()) - started.at < _GIVE_UP:
        if started.process.poll() is not None:
            raise started.failed(f"ended with {started.process.returncode}")
        client = Client(started.port)
        try:
            answer = client.scrape()
            there = time.monotonic() - started.at
            if _complete(started.contestant, answer.text):
                return there
        except (OSError, http.client.HTTPException):
            pass  # Not listening yet, or not ready.
        finally:
            client.close()
        time.sleep(max(0.0, _PAUSE - (time.monotonic() - now)))
    raise started.failed(f"no complete scrape within {_GIVE_UP:g} s")


def _complete(contestant: Contestant, text: str) -> bool:
    return all(text.count(marker) >= times for marker, times in contestant.complete)


def _scrape_for(client: Client, seconds: float) -> list[Scraped]:
    """Scrape on whole seconds of our own."""
    begin = time.monotonic()
    found: list[Scraped] = []
    while time.monotonic() - begin < seconds:
        found.append(client.scrape())
        time.sleep(max(0.0, begin + len(found) - time.monotonic()))
    return found


def _cpu(pid: int) -> float:
    """Seconds of CPU, user and system, of a process and its descendants, those included that it has waited for."""
    total = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / _TICKS


def _memory(pid: int) -> tuple[float, float]:
    """MiB resident, added up, and in proportion to who shares them."""
    rss = pss = 0
    for one in tree(pid):
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        sizes = {line.split()[0]: int(line.split()[1]) for line in rollup[1:]}
        rss += sizes["Rss:"]
        pss += sizes["Pss:"]
    return rss / 1024, pss / 1024


def _calls(started: Started) -> int:
    try:
        return int(started.stats.read_text())
    except (FileNotFoundError, ValueError):  # Not written yet.
        return 0
