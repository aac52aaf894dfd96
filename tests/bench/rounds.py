# SPDX-License-Identifier: Apache-2.0
"""One round: a contestant is scraped once a second as Prometheus would, and its cost is read from /proc."""

import http.client
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contestants import Contestant, Started, start
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


@dataclass(frozen=True)
class Round:
    """What was measured. Seconds, MiB, milliseconds, percent of one core."""

    startup: float
    cpu: float
    rss: float
    pss: float
    latencies: tuple[float, ...]
    compressed: int
    size: int
    series: int
    calls: float


class Client:
    """A scraper with a kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def scrape(self) -> tuple[bytes, bool, float]:
        """Scrape: the body, whether it is compressed, and the milliseconds it took."""
        begin = time.perf_counter()
        self._connection.request("GET", "/metrics", headers=HEADERS)
        answer = self._connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - begin) * 1e3
        return body, answer.headers.get("Content-Encoding") == "gzip", took

    def close(self) -> None:
        self._connection.close()


def measure(contestant: Contestant, mock: MockNvml, folder: Path, seconds: float, call_us: int = 0) -> Round:
    """Run one round."""
    with start(contestant, mock, folder, call_us) as started:
        startup = _first_complete(contestant, started)
        client = Client(started.port)
        _scrape_for(client, SETTLE)
        cpu, calls, begin = _cpu(started.pid), _calls(started), time.monotonic()
        bodies = _scrape_for(client, seconds)
        took = time.monotonic() - begin
        cpu, calls = _cpu(started.pid) - cpu, _calls(started) - calls
        rss, pss = _memory(started.pid)
        client.close()
    body, packed, _ = bodies[-1]
    text = _text(body, packed=packed)
    return Round(
        startup=startup,
        cpu=100 * cpu / took,
        rss=rss,
        pss=pss,
        latencies=tuple(latency for _, _, latency in bodies),
        compressed=len(body),
        size=len(text),
        series=sum(1 for line in text.splitlines() if line and not line.startswith("#")),
        calls=calls / took,
    )


def _first_complete(contestant: Contestant, started: Started) -> float:
    while (now := time.monotonic()) - started.at < _GIVE_UP:
        client = Client(started.port)
        try:
            body, packed, _ = client.scrape()
            if _text(body, packed=packed).count(contestant.marker) >= contestant.times:
                return time.monotonic() - started.at
        except OSError:
            pass
        finally:
            client.close()
        time.sleep(max(0.0, 0.01 - (time.monotonic() - now)))
    message = f"{contestant.name}: no complete scrape within {_GIVE_UP:g} s"
    raise SystemExit(message)


def _scrape_for(client: Client, seconds: float) -> list[tuple[bytes, bool, float]]:
    """Scrape on whole seconds of our own."""
    begin = time.monotonic()
    found = []
    while time.monotonic() - begin < seconds:
        found.append(client.scrape())
        time.sleep(max(0.0, begin + len(found) - time.monotonic()))
    return found


def _text(body: bytes, *, packed: bool) -> str:
    return (zlib.decompress(body, 31) if packed else body).decode()


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _tree(int(child)))]


def _cpu(pid: int) -> float:
    """Seconds of CPU, user and system, of a process and its children."""
    total = 0
    for one in _tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def _memory(pid: int) -> tuple[float, float]:
    """MiB resident, added up, and in proportion to who shares them."""
    rss = pss = 0
    for one in _tree(pid):
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        sizes = {line.split()[0]: int(line.split()[1]) for line in rollup[1:]}
        rss += sizes["Rss:"]
        pss += sizes["Pss:"]
    return rss / 1024, pss / 1024


def _calls(started: Started) -> int:
    try:
        return int(started.stats.read_text())
    except (FileNotFoundError, ValueError):
        return 0
