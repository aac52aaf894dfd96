# SPDX-License-Identifier: Apache-2.0
"""Energy of steps is divided by time, or by what work costs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.ledger.calibration import Coefficients
from agent.processors.ledger.division import Division, Part, Run, divide, window_begins, windowed
from agent.processors.ledger.load import Load
from agent.processors.ledger.meters import Metered
from agent.processors.ledger.steps import Numbers, Steps

STEPS = Steps(0, 40, 0.1)
NONE = np.zeros(40)
NEVER = np.zeros(40, bool)


def metered(joules: Numbers | float, busy: Numbers | None = None, nvlink: Numbers | None = None) -> Metered:
    return Metered(np.broadcast_to(np.asarray(joules, np.float64), 40), 0.0, busy, nvlink, None, None)


def run(
    known: float = 0.1,
    unknown: float = 0.0,
    coefficients: Coefficients | None = None,
    decoded: float = 0.0,
    share: float = 1.0,
) -> Run:
    """An engine that runs two iterations in each step."""
    twos, some = np.full(40, 2.0), np.full(40, unknown)
    load = Load(np.full(40, known), some, twos, NONE, some / 0.1 * twos, NONE)
    return Run(load, NONE, np.full(40, decoded), NONE, coefficients, share)


def paid(one: Run, part: Part) -> Numbers:
    """What known sequences pay in each step."""
    found: Numbers = part.energy.shared / 0.1 * one.load.known + part.energy.decoded / 2 * one.decoded
    return found


def whole(division: Division, runs: list[Run]) -> Numbers:
    """All that the steps were divided into."""
    found: Numbers = division.idle + division.unclaimed
    for one, part in zip(runs, division.parts, strict=True):
        found = found + part.held + paid(one, part)
    return found


def test_with_nobody_there_all_is_idle() -> None:
    found = divide(STEPS, metered(9.0), [], np.full(40, 0.1), None, NEVER)
    assert found.idle.tolist() == [9.0] * 40
    assert not found.unclaimed.any()


def test_by_time_sequences_pay_alike_and_unknown_ones_hold_theirs_back() -> None:
    one = run(known=0.2, unknown=0.1)
    found = divide(STEPS, metered(9.0), [one], NONE, 70.0, NEVER)
    (part,) = found.parts
    assert paid(one, part) == pytest.approx(np.full(40, 6.0))
    assert part.held == pytest.approx(np.full(40, 3.0))
    assert not part.modelled.any()


def test_free_time_of_a_step_is_idle_at_the_power_of_idling() -> None:
    one = run(known=0.05)
    seen = divide(STEPS, metered(9.0), [one], np.full(40, 0.05), 70.0, NEVER)
    assert seen.idle == pytest.approx(np.full(40, 3.5))
    unseen = divide(STEPS, metered(9.0), [one], np.full(40, 0.05), None, NEVER)
    assert unseen.idle == pytest.approx(np.full(40, 4.5))


def test_idling_takes_no_more_than_was_measured() -> None:
    found = divide(STEPS, metered(1.0), [run(known=0.05)], np.full(40, 0.05), 700.0, NEVER)
    assert found.idle == pytest.approx(np.full(40, 1.0))


def test_by_the_model_the_work_pays_for_itself() -> None:
    one = run(known=0.1, coefficients=Coefficients(1.0, 0.0, 0.5, 0.0), decoded=4.0)
    found = divide(STEPS, metered(11.0), [one], NONE, 70.0, NEVER)
    (part,) = found.parts
    # 7 J of idling, 2 of iterations, 2 of tokens: as measured.
    assert part.modelled.all()
    assert part.energy.decoded / 2 * 4.0 == pytest.approx(np.full(40, 2.0))
    assert part.energy.shared / 0.1 * one.load.known == pytest.approx(np.full(40, 9.0))


def test_the_model_is_scaled_to_what_windows_measured() -> None:
    joules = np.where(np.arange(40) % 2, 0.0, 44.0)
    one = run(known=0.1, coefficients=Coefficients(1.0, 0.0, 0.5, 0.0), decoded=4.0)
    (part,) = divide(STEPS, metered(joules), [one], NONE, 70.0, NEVER).parts
    assert paid(one, part) == pytest.approx(np.full(40, 22.0))


def test_one_engine_that_is_not_calibrated_has_all_divided_by_time() -> None:
    runs = [run(coefficients=Coefficients(1.0, 0.0, 0.5, 0.0), decoded=4.0), run()]
    found = divide(STEPS, metered(11.0), runs, NONE, 70.0, NEVER)
    assert [paid(one, part)[0] for one, part in zip(runs, found.parts, strict=True)] == pytest.approx([5.5, 5.5])


def test_who_was_there_for_a_moment_does_not_pay_for_the_step() -> None:
    one = run(known=1e-8)
    found = divide(STEPS, metered(9.0), [one], np.full(40, 0.1), None, NEVER)
    assert not paid(one, found.parts[0]).any()
    assert found.idle.tolist() == [9.0] * 40


def test_work_for_nobody_known_is_claimed_by_nobody() -> None:
    found = divide(STEPS, metered(50.0), [run(known=0.0)], np.full(40, 0.1), 70.0, ~NEVER)
    assert found.idle == pytest.approx(np.full(40, 7.0))
    assert found.unclaimed == pytest.approx(np.full(40, 43.0))


def test_busy_time_goes_with_energy_and_links_with_tokens() -> None:
    runs = [run(known=0.1, decoded=1.0), run(known=0.1, decoded=3.0)]
    told = metered(9.0, busy=np.full(40, 0.08), nvlink=np.full(40, 800.0))
    found = divide(STEPS, told, runs, NONE, None, NEVER)
    assert [(part.busy.shared / 0.1 * 0.1)[0] for part in found.parts] == pytest.approx([0.04, 0.04])
    links = [part.nvlink.decoded[0] / 2 * one.decoded[0] for one, part in zip(runs, found.parts, strict=True)]
    assert links == pytest.approx([200, 600])


AMOUNT = st.floats(0, 3)


@given(
    st.lists(st.tuples(AMOUNT, AMOUNT, AMOUNT, st.booleans(), st.floats(0, 1)), max_size=3),
    st.lists(st.floats(0, 100), min_size=40, max_size=40),
    st.none() | st.floats(0, 200),
    st.floats(0, 0.1),
)
def test_the_parts_of_windows_come_to_what_was_measured(
    some: list[tuple[float, float, float, bool, float]], joules: list[float], watts: float | None, free: float
) -> None:
    costs = Coefficients(2.0, 0.1, 0.3, 1e-4)
    runs = [run(known, unknown, costs if model else None, work, share) for known, unknown, work, model, share in some]
    runs = [one for one in runs if one.load.sequences[0] > 1e-6 or not one.decoded.any()]
    free = free if any(one.load.sequences[0] > 1e-6 for one in runs) else 0.1
    found = divide(STEPS, metered(np.array(joules)), runs, np.full(40, free), watts, NEVER)
    sums = windowed(STEPS, whole(found, runs))
    assert sums == pytest.approx(windowed(STEPS, np.array(joules)), rel=1e-9, abs=1e-9)
    assert (found.idle >= 0).all()
    assert (found.unclaimed >= 0).all()


def test_windows_begin_at_multiples_of_their_length() -> None:
    steps = Steps(15, 50, 0.1)
    assert window_begins(steps).tolist() == [0, 5, 25]
    assert window_begins(Steps(20, 60, 0.1)).tolist() == [0, 20]
    assert window_begins(Steps(0, 3, 5.0)).tolist() == [0, 1, 2]
    assert windowed(steps, np.ones(35)).tolist() == [5.0] * 5 + [20.0] * 20 + [10.0] * 10
    assert windowed(steps, np.ones(35), 1.0).tolist() == [5.0] * 5 + [10.0] * 30


def test_energy_far_beyond_the_model_is_divided_by_time() -> None:
    one = run(known=0.1, coefficients=Coefficients(1e-9, 0.0, 0.0, 0.0), decoded=4.0)
    (part,) = divide(STEPS, metered(9.0), [one], NONE, 0.0, NEVER).parts
    assert not part.modelled.any()
    assert paid(one, part) == pytest.approx(np.full(40, 9.0))
