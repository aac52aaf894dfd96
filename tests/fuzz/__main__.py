# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.fuzz --seconds 60`: hostile requests, pages and lines, made of good ones, against what reads them.

Prints its seed and its rate. A case that breaks a promise is written to a file: `--repeat FILE` sends it again.
"""

import argparse
import gc
import json
import sys
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any, Protocol

from agent.system.memory import give_back
from tests.fuzz.host_files import Tabulating
from tests.fuzz.lines import Parsing
from tests.fuzz.nodes import Plugging
from tests.fuzz.otlp import MOST, Taking, corpus
from tests.fuzz.pages import Reading
from tests.fuzz.recordings import Replaying
from tests.fuzz.sockets import Sending
from tests.fuzz.switches import Telling
from tests.receivers.serving import serving

_GROWTH = 48 << 20
"""Bytes of memory that a run may take beyond its first fifth."""
_ROUND = 50
_SHARES = {
    "taking": 0.3,
    "sending": 0.2,
    "reading": 0.1,
    "parsing": 0.07,
    "tabulating": 0.03,
    "plugging": 0.1,
    "replaying": 0.1,
    "telling": 0.1,
}
"""Shares of the time, not of the cases: one over a socket takes longer."""


class Target(Protocol):
    """What cases are sent to."""

    def case(self) -> dict[str, Any]:
        """Make one."""
        ...

    def run(self, case: dict[str, Any]) -> None:
        """Send it. Raises what a receiver must not raise."""
        ...

    def settle(self) -> None:
        """See after a round that all is well, and keep nothing of it."""
        ...


class Broken(Exception):
    """A promise was broken; there is a file that shows it."""


def main() -> int:
    """Fuzz for some time."""
    arguments = _arguments()
    seed = arguments.seed if arguments.seed is not None else Random().randrange(1 << 32)
    print(f"seed {seed}")
    bodies = corpus()
    with serving(most_bytes=MOST, patience=2.0) as served:
        taking = Taking(Random(seed), bodies)
        sending = Sending(Random(seed + 1), bodies, served)
        reading = Reading(Random(seed + 2))
        parsing = Parsing(Random(seed + 3))
        plugging = Plugging(Random(seed + 6))
        replaying = Replaying(Random(seed + 4), bodies)
        tabulating = Tabulating(Random(seed + 5))
        telling = Telling(Random(seed + 7))
        targets: dict[str, Target] = {
            "taking": taking,
            "sending": sending,
            "reading": reading,
            "parsing": parsing,
            "tabulating": tabulating,
            "plugging": plugging,
            "replaying": replaying,
            "telling": telling,
        }
        try:
            if arguments.repeat:
                case = json.loads(arguments.repeat.read_text())
                targets[case.pop("target")].run(case)
            else:
                _fuzz(targets, arguments.seconds, arguments.out, seed)
            sending.settle()
        except Broken as broken:
            print(broken)
            return 1
        finally:
            sending.close()
            plugging.close()
    print(f"lines of recordings: read {replaying.whole}, torn {replaying.torn}")
    print(
        f"taken {taking.taken}, refused {taking.refused}, spans read {taking.consumer.spans}, "
        f"samples read {reading.samples}; the servers still answer"
    )
    print(f"points of switches: {telling.points}")
    print(f"lines: read {parsing.read}, refused {parsing.refused}")
    print(f"files of the kernel's: read {tabulating.read}, refused {tabulating.refused}")
    return 0


def _fuzz(targets: dict[str, Target], seconds: float, out: Path, seed: int) -> None:
    spent = dict.fromkeys(targets, 0.0)
    cases = dict.fromkeys(targets, 0)
    began = time.monotonic()
    settled = None
    while (passed := time.monotonic() - began) < seconds:
        name = min(spent, key=lambda one: spent[one] / _SHARES[one])
        start = time.monotonic()
        for _ in range(_ROUND):
            _one(name, targets[name], out, seed)
        targets[name].settle()
        spent[name] += time.monotonic() - start
        cases[name] += _ROUND
        if settled is None and passed > seconds / 5:
            settled = _resident()
    for name, number in cases.items():
        print(f"{name}: {number} cases, {number / max(spent[name], 1e-9):.0f} a second")
    grown = _resident() - settled if settled is not None else 0
    print(f"memory: {grown >> 10:+d} KiB over the last four fifths")
    if grown > _GROWTH:
        raise Broken("memory grows")


def _one(name: str, target: Target, out: Path, seed: int) -> None:
    case = target.case()
    try:
        target.run(case)
    except Exception as error:
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{name}-{seed}.json"
        path.write_text(json.dumps({"target": name, **case}))
        traceback.print_exc()
        raise Broken(f"broken; again: python -m tests.fuzz --repeat {path}") from error


def _resident() -> int:
    gc.collect()
    give_back(1 << 30)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="of the random numbers, to make the same cases again")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="where a case that breaks something goes")
    parser.add_argument("--repeat", type=Path, help="send this case only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
