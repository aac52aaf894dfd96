# SPDX-License-Identifier: Apache-2.0
"""The laws of the ledger hold whatever arrives.

`make laws` tries 10 000 histories, `make test` fewer: JOULESPAN_LAW_EXAMPLES says how many.
"""

import os
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.catalogue.engine import REQUESTS_RUNNING
from agent.catalogue.gpu import ENERGY
from agent.clock import NS
from agent.entities import EngineModel
from agent.processors.ledger.calibration import Calibration
from agent.processors.ledger.device import Accounts
from agent.processors.ledger.ledger import Ledger
from agent.snapshot import Source
from agent.timeline import Timeline
from tests.processors.ledger.histories import GPUS, HISTORIES, KEYS, SEEDS, History, Row, row, sums_of
from tests.processors.ledger.playing import Played, columns, play

EXAMPLES = int(os.environ.get("JOULESPAN_LAW_EXAMPLES", "1000"))
STEP = 0.1
REST = 1300
"""Steps of rest before a history that is closed in one go and in pieces: what the GPU draws when idle is settled."""

END = 270
"""Steps after it: too few for a calibration to be learnt."""


def near(one: float, other: float, total: float) -> bool:
    """Equal but for a billionth of the whole."""
    return abs(one - other) <= 1e-9 * total + 1e-12


def every_joule_is_somewhere(_: History, played: Played) -> None:
    for gpu, accounts in played.ledger.accounts():
        increase = played.increase[gpu]
        assert near(accounts.measured, increase, increase)
        assert near(sum(accounts[1:]), increase, increase)


def what_is_attributed_was_charged(_: History, played: Played) -> None:
    accounts = [one for _, one in played.ledger.accounts()]
    charged = sum(charge.prefill + charge.decode for charge in played.charges)
    assert near(sum(one.attributed for one in accounts), charged, sum(one.measured for one in accounts))


def nothing_is_negative_or_no_number(_: History, played: Played) -> None:
    accounts = [one for _, one in played.ledger.accounts()]
    numbers = np.concatenate([*accounts, *(charge[1:] for charge in played.charges), *played.shares.values()])
    assert np.isfinite(numbers).all()
    assert (numbers >= 0).all()


def who_was_nowhere_pays_nothing(history: History, played: Played) -> None:
    for number, share in played.shares.items():
        assert not history.rows[number].idle or not any(share[:6])


def equals_pay_the_same(history: History, played: Played) -> None:
    for number in played.shares:
        if number and str(history.rows[number - 1]) == str(history.rows[number]):
            assert played.shares[number] == pytest.approx(played.shares[number - 1], rel=1e-12, abs=1e-12)


LAWS: tuple[Callable[[History, Played], None], ...] = (
    every_joule_is_somewhere,
    what_is_attributed_was_charged,
    nothing_is_negative_or_no_number,
    who_was_nowhere_pays_nothing,
    equals_pay_the_same,
)


@settings(max_examples=EXAMPLES * 8 // 10)
@given(HISTORIES)
def test_the_laws_hold_whatever_arrives(history: History) -> None:
    played = play(history)
    for law in LAWS:
        law(history, played)


@settings(max_examples=EXAMPLES // 20)
@given(HISTORIES, SEEDS)
def test_the_order_in_which_requests_come_together_changes_nothing(history: History, seed: int) -> None:
    order = list(range(len(history.rows)))
    Random(seed).shuffle(order)
    one, other = play(history), play(history, order)
    total = sum(accounts.measured for _, accounts in one.ledger.accounts())
    for (_, left), (_, right) in zip(one.ledger.accounts(), other.ledger.accounts(), strict=True):
        assert all(near(*pair, total) for pair in zip(left, right, strict=True))
    assert one.shares.keys() == other.shares.keys()
    for number, share in one.shares.items():
        assert near(sum(share[:2]), sum(other.shares[number][:2]), total)


def in_pieces(
    rows: Sequence[Row], watts: Sequence[int], running: Sequence[int], cuts: Sequence[int], kind: int | None = None
) -> tuple[Accounts, dict[int, float]]:
    """Divide 24 s of a GPU after a long rest, closed at these cuts; gives its accounts, and J of each row."""
    timeline, key = Timeline(300, STEP), KEYS[0]
    page, joules = (REQUESTS_RUNNING.series(EngineModel(key.name, "m")),), 0.0
    for second in range(REST // 10 + 36):
        timeline.append(Source("gpu_energy"), (ENERGY.series(GPUS[0]),), second * NS, [joules])
        at = second - REST // 10
        joules += watts[at % len(watts)] if 0 <= at < 24 else 70
        if running and at > -3:
            timeline.append(Source("engines"), page, second * NS, [running[at % len(running)] if at < 24 else 0])
    ledger = Ledger(timeline, 0, STEP, lambda _: Calibration(None if kind is None else sums_of(kind, 1)))
    ledger.watch(key.gpus)
    ledger.close(REST)
    work, numbers = columns(rows), np.arange(len(rows))
    moved = work._replace(begin=work.begin + REST / 10, first=work.first + REST / 10, end=work.end + REST / 10)
    ledger.add(key, numbers, numbers, moved)
    found = [one for cut in [*sorted(cuts), END] for one in ledger.close(REST + cut).shares]
    accounts = dict(ledger.accounts())[GPUS[0]]
    pairs = [zip(one.number.tolist(), (one.prefill + one.decode).tolist(), strict=True) for one in found]
    return accounts, {number: joule for some in pairs for number, joule in some}


WATTS = st.lists(st.sampled_from((50, 70, 300, 700)), min_size=1, max_size=5)
RUNNING = st.lists(st.integers(0, 5), max_size=4)
CUTS = st.sets(st.integers(1, END), max_size=3)


@settings(max_examples=EXAMPLES // 10)
@given(st.lists(SEEDS, max_size=6), WATTS, RUNNING, CUTS, st.booleans())
def test_closing_in_pieces_divides_as_closing_at_once(
    seeds: list[int], watts: list[int], running: list[int], cuts: set[int], whole: bool
) -> None:
    """By time, at any cut: between windows, or through one."""
    rows = [row(seed, 1, 0) for seed in seeds]
    # A request that is not timed is timed by the pace of late, which is that of the pieces.
    rows = [one._replace(first=one.end if np.isnan(one.first) else one.first) for one in rows]
    pieces = [cut // 20 * 20 if whole else cut for cut in cuts]
    (left, alone), (right, cut) = (in_pieces(rows, watts, running, some) for some in ([], pieces))
    assert all(near(*pair, left.measured) for pair in zip(left, right, strict=True))
    assert alone.keys() == cut.keys()
    assert all(abs(joules - cut[number]) <= 1e-9 * left.measured for number, joules in alone.items())


@settings(max_examples=EXAMPLES // 20)
@given(st.lists(SEEDS, min_size=1, max_size=5), WATTS, CUTS, st.sampled_from((None, 0, 1, 2)), st.integers(0, 9999))
def test_who_brings_no_tokens_pays_only_for_being_there(
    seeds: list[int], watts: list[int], cuts: set[int], kind: int | None, context: int
) -> None:
    rows = [row(seed, 1, 0) for seed in seeds]
    some = rows[0]._replace(begin=2.0, first=4.0, end=9.0, cached=0.0, computed=100.0, decoded=50.0)
    none = some._replace(computed=0.0, decoded=0.0)
    rows += [some, none, none._replace(context=float(context))]
    accounts, joules = in_pieces(rows, watts, [], list(cuts), kind)
    working, bare, other = (joules[len(rows) + place] for place in (-3, -2, -1))
    assert near(bare, other, accounts.measured)
    assert bare <= working + 1e-9 * accounts.measured
    assert kind is not None or near(bare, working, accounts.measured)
