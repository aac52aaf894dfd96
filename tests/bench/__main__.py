# SPDX-License-Identifier: Apache-2.0
"""`make bench`: the agent and its peer side by side on the same mock driver, in alternating rounds.

A measurement, never a test: it fails only when a contestant does not run.
"""

import argparse
import compileall
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench import fields, host, ledger, load, micro, network, report, scrapes
from tests.bench.contestants import CONTESTANTS, Contestant, Failed
from tests.bench.rounds import Round, measure
from tests.mock_nvml.build import BuildError, build
from tests.mock_nvml.control import MockNvml

ROOT = Path(__file__).parents[2]
SLOW_US = 100


def main() -> int:
    """Run the rounds and print what they come to."""
    arguments = _arguments()
    chosen = [one for one in CONTESTANTS if arguments.only in one.name]
    try:
        mock = MockNvml(build().parent)
    except BuildError as error:
        sys.exit(f"mock NVML: {error}")
    # So that a contestant is ended when this is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    small = list(_micro(mock))
    # The peer was compiled when it was installed; a checkout may not have been.
    for package in ("agent", "exporters"):
        compileall.compile_dir(ROOT / package, quiet=2)
    with tempfile.TemporaryDirectory() as folder:
        plain = _play(chosen, mock, Path(folder), arguments.seconds, arguments.rounds)
        slow = _play(chosen, mock, Path(folder), arguments.seconds, 1, SLOW_US) if arguments.slow_driver else {}
    loads = list(_loads(mock, arguments.rounds, arguments.seconds)) if arguments.only in "load" else []
    scraped = list(_scrapes(mock, arguments.rounds, arguments.seconds)) if arguments.only in "engines" else []
    divided = [ledger.measure() for _ in range(arguments.rounds)] if arguments.only in "ledger" else []
    many = [network.measure() for _ in range(arguments.rounds)] if arguments.only in "network" else []
    failed = len(plain) < len(chosen) or (arguments.slow_driver and len(slow) < len(chosen))
    how = f"{arguments.rounds} x {arguments.seconds:g} s each, in turn"
    parts = [
        f"{report.machine()}; {how}.",
        *_compared(plain, slow),
        report.loads(loads),
        report.scrapes(scraped),
        report.divided(divided),
        report.interfaces(many),
        *small,
    ]
    text = "\n\n".join(part for part in parts if part)
    print(text)
    if failed:
        return 1
    if arguments.markdown:
        report.fill(arguments.markdown, text)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="steady seconds of a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each contestant")
    parser.add_argument("--only", default="", help="only contestants whose name holds this")
    parser.add_argument(
        "--slow-driver", action="store_true", help=f"one more round in which a driver call takes {SLOW_US} us"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="fill in the figures between the marks of FILE")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.seconds < 1:
        parser.error("at least one round of one second")
    names = [*(one.name for one in CONTESTANTS), "load", "engines", "ledger", "network"]
    if not any(arguments.only in name for name in names):
        parser.error(f"--only: no such contestant; there are {', '.join(names)}")
    return arguments


def _play(
    chosen: Sequence[Contestant], mock: MockNvml, folder: Path, seconds: float, rounds: int, call_us: int = 0
) -> dict[str, list[Round]]:
    """Play the rounds in turn. One that fails is named, and is out."""
    found: dict[str, list[Round]] = {one.name: [] for one in chosen}
    for number in range(rounds):
        for contestant in chosen:
            if contestant.name not in found:
                continue
            driver = f", {call_us} us a call" if call_us else ""
            print(f"round {number + 1} of {rounds}{driver}: {contestant.name}", file=sys.stderr)
            try:
                found[contestant.name].append(measure(contestant, mock, folder, seconds, call_us))
            except Failed as failure:
                print(failure, file=sys.stderr)
                del found[contestant.name]
    return found


def _loads(mock: MockNvml, rounds: int, seconds: float) -> Iterator[load.Load]:
    """Measure what the agent takes in on one core, as often as there are rounds."""
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}: spans on one core", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            yield load.measure(mock, Path(folder), seconds)


def _scrapes(mock: MockNvml, rounds: int, seconds: float) -> Iterator[scrapes.Scrapes]:
    """Measure what the scraping of engines costs, as often as there are rounds."""
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}: pages of engines", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            yield scrapes.measure(mock, Path(folder), seconds)


def _compared(plain: report.Rounds, slow: report.Rounds) -> Iterator[str]:
    if plain:
        yield from (report.table(plain), report.ratios(plain), report.budgets(plain))
    if slow:
        yield f"One round in which every driver call takes {SLOW_US} us:"
        yield from (report.table(slow), report.ratios(slow))


def _micro(mock: MockNvml) -> Iterator[str]:
    yield report.micro("writing the text of a scrape", micro.writers())
    yield report.micro("reading an engine's page of metrics", micro.parsers())
    yield host.costs()
    try:
        yield report.micro("reading the fields of a GPU", fields.readings(mock))
    except subprocess.SubprocessError as error:
        print(f"reading fields: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
