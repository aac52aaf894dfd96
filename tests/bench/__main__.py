# SPDX-License-Identifier: Apache-2.0
"""`make bench`: the agent and its peer side by side on the same mock driver, in alternating rounds.

A measurement, never a test: it fails only when a contestant does not run.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench import micro, report
from tests.bench.contestants import CONTESTANTS
from tests.bench.rounds import Round, measure
from tests.mock_nvml.build import build
from tests.mock_nvml.control import MockNvml


def main() -> int:
    """Run the rounds and print what they come to."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="steady seconds of a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each contestant")
    parser.add_argument("--only", default="", help="only contestants whose name holds this")
    parser.add_argument("--slow-driver", action="store_true", help="every driver call takes 100 us")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="fill in the figures between the marks of FILE")
    arguments = parser.parse_args()
    chosen = [one for one in CONTESTANTS if arguments.only in one.name]
    mock = MockNvml(build().parent)
    rounds: dict[str, list[Round]] = {one.name: [] for one in chosen}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            for contestant in chosen:
                print(f"round {number + 1}: {contestant.name}", file=sys.stderr)
                call_us = 100 if arguments.slow_driver else 0
                found = measure(contestant, mock, Path(folder), arguments.seconds, call_us)
                rounds[contestant.name].append(found)
    writers = micro.writers()
    slowest = writers[0][1]
    text = "\n".join(
        [
            f"{report.machine()}; {arguments.rounds} rounds of {arguments.seconds:g} s each, alternating"
            + ("; every driver call takes 100 us" if arguments.slow_driver else ""),
            "",
            report.table(rounds),
            "",
            report.budgets(rounds),
            "",
            "| writing the text of a scrape | median, ms | ratio |",
            "|---|---|---|",
            *(f"| {name} | {took:.2f} | {took / slowest:.3f} |" for name, took in writers),
        ]
    )
    print(text)
    if arguments.markdown:
        report.fill(arguments.markdown, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
