# SPDX-License-Identifier: Apache-2.0
"""`make accuracy`: fills in the tables of docs/accuracy.md from simulations with fixed seeds."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.accuracy import errors
from tests.accuracy.errors import Errors
from tests.accuracy.simulated import MODELS, Case
from tests.bench.report import fill

PAGE = Path(__file__).parents[2] / "docs/accuracy.md"
_RATES = (1, 4, 8)
_CONDITIONS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("a 100 ms counter step, 3 % noise", {}),
    ("10 % of requests send no span", {"unseen": 0.1}),
    ("60 % of prompt tokens cached", {"cached": 0.6}),
    ("the sensor looks a quarter of the time", {"part_time": 0.25}),
)


def main() -> int:
    """Fill in the page."""
    text = "\n\n".join(_sections())
    sys.stdout.write(f"{text}\n")
    fill(PAGE, text)
    return 0


def _sections() -> Iterator[str]:
    yield "### Rules, under the conditions of the first row below\n"
    yield _table([*errors.RULES, *errors.LEDGERS], _by_rule)
    yield "### The ledger after the fact, iterations counted, under other conditions\n"
    yield _table([name for name, _ in _CONDITIONS], _by_condition)
    yield "### Elsewhere\n"
    yield _elsewhere()


def _by_rule(name: str, case: Case) -> Errors:
    return errors.of_rule(case, name) if name in errors.RULES else errors.of_ledger(case, name)


def _by_condition(name: str, case: Case) -> Errors:
    changed = replace(case, **dict(_CONDITIONS)[name])
    return errors.of_ledger(changed, "ledger, iterations counted")


def _table(names: list[str], of: Callable[[str, Case], Errors]) -> str:
    head = [f"{model.name}<br>{rate}/s" for model in MODELS for rate in _RATES]
    lines = [f"| | {' | '.join(head)} |", "|---|" + "---:|" * len(head)]
    for name in names:
        cells = [_cell(of(name, Case(model, rate))) for model in MODELS for rate in _RATES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(told: Errors) -> str:
    return f"{told.median * 100:.1f} / {told.p90 * 100:.1f}"


def _elsewhere() -> str:
    silent = errors.of_silent(Case(MODELS[1], 4, cached=0.6))
    busier = errors.of_silent(Case(MODELS[2], 4, cached=0.6))
    preempted = errors.of_ledger(errors.PREEMPTED, "ledger, iterations counted")
    time = errors.of_rule(errors.PREEMPTED, "equal shares of time")
    within = [errors.of_ledger(Case(model, rate), "ledger, iterations counted") for model in MODELS for rate in _RATES]
    inside = sum((one.within or 0) * one.requests for one in within) / sum(one.requests for one in within)
    return "\n".join(
        [
            "| | median / p90 |",
            "|---|---:|",
            f"| 8B at 4/s, 60 % cached, spans do not say how much (vLLM) | {_cell(silent)} |",
            f"| 70B at 4/s, 60 % cached, spans do not say how much (vLLM) | {_cell(busier)} |",
            f"| 70B at 6/s, KV cache too small, a fifth of the sequences preempted | {_cell(preempted)} |",
            f"| the same, equal shares of time | {_cell(time)} |",
            "",
            (
                f"Of all requests of the first table, {inside * 100:.0f} % are within two of the deviations that their "
                "spans tell (`joulespan.energy.uncertainty`), iterations counted."
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
