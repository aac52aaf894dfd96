# SPDX-License-Identifier: Apache-2.0
"""What becomes of the energy of a GPU, told by examples."""

from collections.abc import Sequence

import numpy as np
import pytest

from agent.catalogue.engine import REQUESTS_RUNNING
from agent.catalogue.gpu import ENERGY, GPU_UTILIZATION
from agent.clock import NS
from agent.entities import EngineModel, GpuTask
from agent.processors.ledger.device import Accounts
from agent.processors.ledger.ledger import Closed, Ledger
from agent.snapshot import Source
from agent.timeline import Timeline
from tests.processors.ledger.histories import GPUS, KEYS, Row
from tests.processors.ledger.playing import columns

GPU, KEY = GPUS[0], KEYS[0]
WATTS = 100.0
STEP = 0.1


def history(
    seconds: int,
    working: Sequence[int] = (),
    running: Sequence[float] | None = None,
    utilization: Sequence[float] | None = None,
) -> Timeline:
    """A GPU that draws 100 W, and 500 W in the seconds that it is working; running sequences of each second."""
    timeline, joules = Timeline(900, STEP), 0.0
    for second in range(seconds + 4):
        timeline.append(Source("gpu_energy"), (ENERGY.series(GPU),), second * NS, [joules])
        joules += 500 if second in working else WATTS
        if running is not None:
            series = (REQUESTS_RUNNING.series(EngineModel(KEY.name, "m")),)
            timeline.append(Source("engines"), series, second * NS, [running[min(second, len(running) - 1)]])
        if utilization is not None:
            use = (GPU_UTILIZATION.series(GpuTask(GPU, "general")),)
            timeline.append(Source("gpu"), use, second * NS, [utilization[min(second, len(utilization) - 1)]])
    return timeline


def begun(timeline: Timeline) -> Ledger:
    ledger = Ledger(timeline, 0, STEP)
    ledger.watch([GPU])
    return ledger


def request(begin: float, end: float) -> Row:
    return Row(0, 0, begin, (begin + end) / 2, end, 100.0, 0.0, 50.0, 100.0)


def add(ledger: Ledger, *rows: Row) -> Closed:
    numbers = np.arange(len(rows))
    return ledger.add(KEY, numbers, np.zeros_like(numbers), columns(rows))


def accounts(ledger: Ledger) -> Accounts:
    return dict(ledger.accounts())[GPU]


def joules(closed: Closed) -> list[float]:
    return [joule for one in closed.shares for joule in (one.prefill + one.decode).tolist()]


def test_a_gpu_on_which_nothing_runs_idles() -> None:
    ledger = begun(history(20))
    ledger.close(200)
    assert accounts(ledger) == pytest.approx(Accounts(2000, 0, 2000, 0, 0))
    assert ledger.idle_watts(GPU) == pytest.approx(WATTS)


def test_a_request_alone_on_a_gpu_pays_for_all_of_it() -> None:
    ledger = begun(history(20, range(8, 12)))
    add(ledger, request(8, 12))
    closed = ledger.close(200)
    assert joules(closed) == pytest.approx([2000])
    assert accounts(ledger) == pytest.approx(Accounts(3600, 2000, 1600, 0, 0))
    (share,) = closed.shares
    assert share.covered.tolist() == pytest.approx([1])
    assert share.modelled.tolist() == [0]
    assert share.deviation.tolist() == pytest.approx([600])


def test_a_late_request_is_paid_out_of_what_was_held_back() -> None:
    ledger = begun(history(20, range(8, 12), running=[0] * 8 + [1] * 4 + [0]))
    add(ledger)
    assert joules(ledger.close(200)) == []
    held = accounts(ledger).held
    assert held > 1800
    late = add(ledger, request(8, 12))
    assert joules(late) == pytest.approx([held], rel=0.1)
    assert [charge.prefill + charge.decode for charge in late.charges] == pytest.approx(joules(late))
    after = accounts(ledger)
    assert after.attributed == pytest.approx(joules(late)[0])
    assert after.held == pytest.approx(held - after.attributed, abs=1e-6)


def test_late_requests_share_what_was_held_back_and_no_more() -> None:
    ledger = begun(history(20, range(8, 12), running=[0] * 8 + [1] * 4 + [0]))
    add(ledger)
    ledger.close(200)
    held = accounts(ledger).held
    late = add(ledger, *[request(8, 12)] * 5)
    assert sum(joules(late)) <= held + 1e-9
    assert joules(late) == pytest.approx([joules(late)[0]] * 5)
    assert accounts(ledger).held >= 0
    assert joules(add(ledger, request(8, 12)))[0] <= held - sum(joules(late)) + 1e-9


def test_what_nobody_claims_ends_as_unattributed() -> None:
    ledger = begun(history(20, range(8, 12), running=[0] * 8 + [1] * 4 + [0]))
    add(ledger)
    ledger.close(100)
    ledger.close(200)
    held = accounts(ledger).held
    ledger.forget(50)
    assert accounts(ledger).held == held
    ledger.forget(200)
    assert accounts(ledger).held == 0
    assert accounts(ledger).unattributed == pytest.approx(held)
    assert joules(add(ledger, request(8, 12))) == [0]


def test_an_engine_of_which_nothing_is_left_is_forgotten() -> None:
    ledger = begun(history(40))
    add(ledger, request(8, 12))
    ledger.close(200)
    ledger.forget(100)
    assert ledger.rows == 0
    ledger.close(300)
    ledger.forget(300)
    assert not ledger.books


def test_a_gpu_that_worked_for_nobody_known_is_held_for_its_engine() -> None:
    ledger = begun(history(40, range(20, 30), utilization=[0.0] * 20 + [0.9] * 10 + [0.0]))
    add(ledger)
    ledger.close(400)
    found = accounts(ledger)
    assert found.unattributed == 0
    assert found.held > 0.7 * 4000
    assert found.held + found.idle == pytest.approx(found.measured)


def test_a_gpu_that_worked_without_an_engine_is_unattributed() -> None:
    ledger = begun(history(40, range(20, 30), utilization=[0.0] * 20 + [0.9] * 10 + [0.0]))
    ledger.close(400)
    found = accounts(ledger)
    assert found.held == 0
    assert found.unattributed > 0.7 * 4000
    assert found.unattributed + found.idle == pytest.approx(found.measured)


def test_idle_power_is_learnt_only_from_rest() -> None:
    busy = begun(history(20, range(20), running=[1]))
    add(busy)
    busy.close(200)
    assert busy.idle_watts(GPU) is None
    unexplained = begun(history(20, range(20), utilization=[0.5]))
    unexplained.close(200)
    assert unexplained.idle_watts(GPU) is None
    partly = begun(history(40, range(10), utilization=[0.5] * 10 + [0.0]))
    partly.close(400)
    assert partly.idle_watts(GPU) == pytest.approx(WATTS)


def test_the_same_span_sent_twice_is_two_requests_that_share() -> None:
    ledger = begun(history(20, range(8, 12)))
    add(ledger, request(8, 12), request(8, 12))
    assert joules(ledger.close(200)) == pytest.approx([1000, 1000])
    assert accounts(ledger).attributed == pytest.approx(2000)


def test_a_request_that_began_before_the_ledger_is_covered_in_part() -> None:
    ledger = begun(history(20))
    add(ledger, request(-6, 2))
    (share,) = ledger.close(200).shares
    assert share.covered.tolist() == pytest.approx([0.25])
    assert (share.prefill + share.decode).tolist() == pytest.approx([2 * WATTS])


def test_a_request_of_an_engine_that_was_unknown_pays_from_then_on() -> None:
    ledger = begun(history(30))
    ledger.close(100)
    add(ledger, request(5, 15))
    (share,) = ledger.close(200).shares
    assert share.covered.tolist() == pytest.approx([0.5])
    assert (share.prefill + share.decode).tolist() == pytest.approx([5 * WATTS])


def test_a_gpu_is_divided_from_when_it_is_watched() -> None:
    ledger = Ledger(history(30), 0, STEP)
    ledger.close(100)
    ledger.watch([GPU])
    ledger.close(200)
    assert accounts(ledger).measured == pytest.approx(10 * WATTS)


def test_a_request_is_done_only_when_its_last_step_is_closed() -> None:
    ledger = begun(history(30, range(8, 12)))
    add(ledger, request(8, 12))
    assert joules(ledger.close(110)) == []
    assert ledger.rows == 1
    assert joules(ledger.close(120)) == pytest.approx([2000])
    assert ledger.rows == 0


def test_engines_that_share_a_gpu_share_its_energy() -> None:
    ledger = begun(history(20, range(8, 12)))
    add(ledger, request(8, 12))
    other = KEY._replace(name="other")
    ledger.add(other, np.array([9]), np.array([0]), columns([request(8, 12)]))
    assert joules(ledger.close(200)) == pytest.approx([1000, 1000])


def test_closing_what_is_closed_does_nothing() -> None:
    ledger = begun(history(20))
    ledger.close(100)
    assert ledger.close(50) == Closed([], [])
    assert ledger.closed == 100
