# SPDX-License-Identifier: Apache-2.0
"""A running agent: `joulespan run` as a process of its own, and what can be asked of it from outside."""

import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

LISTENING = re.compile(r"joulespan\.http: listening on (http://\S+)")
RECEIVING = re.compile(r"joulespan\.(otlp_grpc|otlp_http): listening on (?:http://)?(\S+)")
START = 60.0
"""Seconds; far more than it takes, for a busy machine."""


Inside: TypeAlias = Callable[[Callable[[], bytes]], bytes]


def call(ask: Callable[[], bytes]) -> bytes:
    """Ask from here."""
    return ask()


class Scrape:
    """A scrape: values by series name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = time.monotonic()
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def values(self, name: str, **labels: str) -> list[float]:
        """Values of all series of a name that have these labels."""
        wanted = set(labels.items())
        return [value for (found, has), value in self.samples.items() if found == name and wanted <= has]

    def value(self, name: str, **labels: str) -> float:
        """The value of the one series of a name that has these labels."""
        (value,) = self.values(name, **labels)
        return value

    def labels(self, name: str) -> list[dict[str, str]]:
        """Labels of every series of a name."""
        return [dict(has) for found, has in self.samples if found == name]


class RunningAgent:
    """An agent process."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path, inside: Inside = call) -> None:
        self.process = process
        self._log = log
        self._inside = inside
        self.url = ""

    def receiver(self, name: str) -> str:
        """Address of a receiver, otlp_grpc or otlp_http: HOST:PORT."""
        deadline = time.monotonic() + START
        while name not in (found := dict(RECEIVING.findall(self.log))):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        return str(found[name])

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Ask for a page."""
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))

        def ask() -> bytes:
            with urllib.request.urlopen(request, timeout=10) as response:
                body: bytes = response.read()
                return body

        return self._inside(ask)

    def scrape(self) -> Scrape:
        """Scrape."""
        return Scrape(self.get("/metrics").decode())

    def until(self, true: Callable[[Scrape], object], seconds: float = START) -> Scrape:
        """Scrape until something is true of it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            scrape = self.scrape()
            if true(scrape):
                return scrape
            time.sleep(0.05)
        message = f"not within {seconds:g} s; the log:\n{self.log}"
        raise AssertionError(message)

    def readers(self) -> list[int]:
        """Process ids of its readers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children]

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Signal it and wait for its end; give the seconds that took."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(START)
        return time.monotonic() - started


@contextmanager
def running(
    command: str,
    *arguments: str,
    env: Mapping[str, str],
    log: Path,
    listen: str = "127.0.0.1:0",
    through: Sequence[str] = (),
    inside: Inside = call,
) -> Iterator[RunningAgent]:
    """Run an agent and wait until it listens; end it whatever happens. Its receivers take free ports.

    It is run `through` a command that becomes it, as `ip netns exec NAME`, and asked by what `inside` calls there.
    """
    ports = ["--set", "receivers.otlp.grpc=127.0.0.1:0", "--set", "receivers.otlp.http=127.0.0.1:0"]
    # Nobody here sends late, and a test should not wait for those who might.
    ports += ["--set", "attribution.lateness=2s"]
    if not any("state_directory" in one for one in arguments):
        ports += ["--set", f"state_directory={log.parent / 'state'}"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*through, sys.executable, "-m", "agent", command, "--listen", listen, *ports, *arguments],
            env=dict(env),
            stdout=output,
            stderr=output,
            text=True,
        )
    agent = RunningAgent(process, log, inside)
    try:
        deadline = time.monotonic() + START
        while not (found := LISTENING.search(agent.log)):
            assert process.poll() is None, agent.log
            assert time.monotonic() < deadline, agent.log
            time.sleep(0.01)
        agent.url = found[1]
        yield agent
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
