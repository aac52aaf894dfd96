# SPDX-License-Identifier: Apache-2.0
"""Runs the whole pipe here on simulated GPUs that go wrong, and prints the alerts as they come: `make pipe`.

python -m tests.pipe [--seconds N]
"""

import argparse
import os
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.agent.collector import Collector
from tests.agent.running import RunningAgent, running
from tests.pipe.programs import Webhook, alertmanager, prometheus

_STATUS = 15.0
"""Seconds between two lines that say how much came."""


def main() -> None:
    """Run until Ctrl-C, or for some seconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.pipe", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="N", help="stop after N seconds")
    seconds = parser.parse_args().seconds
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="joulespan-pipe-")))
        spans = stack.enter_context(Collector().running())
        webhook = stack.enter_context(Webhook().serving())
        settings = ["--faults", "--set", f"exporters.traces.endpoint={spans.endpoint}"]
        agent = stack.enter_context(running("demo", *settings, env=os.environ, log=folder / "agent.log"))
        manager = stack.enter_context(alertmanager(webhook.url, folder, group_wait="5s"))
        stack.enter_context(prometheus(agent.url.removeprefix("http://"), manager, folder, interval="1s"))
        print(f"agent {agent.url}, Alertmanager http://{manager}, files {folder}; Ctrl-C ends it", flush=True)
        _follow(agent, webhook, spans, time.monotonic() + seconds)


def _follow(agent: RunningAgent, webhook: Webhook, spans: Collector, end: float) -> None:
    told: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    status = time.monotonic()
    while time.monotonic() < end and agent.process.poll() is None:
        # A message repeats what of its group goes on.
        for alert in list(webhook.alerts):
            this = (alert.status, frozenset(alert.labels.items()))
            if this in told:
                continue
            told.add(this)
            print(f"{alert.status:8} {alert.labels['severity']:8} {alert.annotations['summary']}", flush=True)
        if time.monotonic() > status:
            status += _STATUS
            print(f"{len(spans.raw())} spans at the back end, {len(told)} alerts at the webhook", flush=True)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
