# SPDX-License-Identifier: Apache-2.0
"""The demo with faults: what goes wrong is a function of time, goes by, and leaves counts behind."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agent.errors import DeviceLost
from agent.simulation import DEMO, deployments
from agent.simulation.batching import Batching, Finished
from agent.simulation.deployment import PERIOD, Deployment, Spell, Trouble
from agent.simulation.engine import Server
from agent.simulation.faults import SCRIPT, faults
from agent.simulation.workload import Workload
from agent.system.nvml import fields as nvml
from agent.system.nvml.fake import FakeLibrary
from agent.system.nvml.fake_faults import HEALTHY
from agent.system.nvml.names import THROTTLE_REASONS

STARTED = 1000.0
GPUS = 8
LLAMA, QWEN = "llama-3.3-70b", "qwen3-32b"
TIMES = st.floats(0, 5 * PERIOD)


class Now:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.t = STARTED

    def __call__(self) -> float:
        return self.t


def served(deployment: Deployment, until: float) -> tuple[Batching, list[Finished]]:
    finished: list[Finished] = []
    engine = Batching(deployment, Workload(deployment.traffic, deployment.seed), finished.append)
    engine.advance(until)
    return engine, finished


@given(TIMES, TIMES)
def test_counts_never_go_down(one: float, other: float) -> None:
    before, after = sorted((STARTED + one, STARTED + other))
    for own in faults(GPUS, STARTED).values():
        earlier, later = own.at(before), own.at(after)
        for name in ("corrected", "uncorrected", "remapped", "link_errors", "pcie_errors"):
            assert getattr(earlier, name) <= getattr(later, name)
        assert all(seconds <= later.throttled[reason] for reason, seconds in earlier.throttled.items())


@given(st.lists(TIMES, min_size=2, max_size=30))
def test_each_xid_is_heard_once_a_round_however_one_listens(times: list[float]) -> None:
    stops = [STARTED, *sorted(STARTED + time for time in times), STARTED + 5 * PERIOD]
    for gpu, own in faults(GPUS, STARTED).items():
        heard = [code for after, until in pairwise(stops) for code in own.xids(after, until)]
        once = [code for fault in SCRIPT if fault.gpu == gpu for code in fault.xids]
        assert sorted(heard) == sorted(once * 5)


def test_nothing_is_wrong_before_the_start_and_at_the_beginning_of_the_script() -> None:
    for own in faults(GPUS, STARTED).values():
        for t in (0.0, STARTED - 1, STARTED, STARTED + 10):
            assert own.at(t)._replace(throttled={}, links_bad=frozenset()) == HEALTHY._replace(throttled={})


def test_every_part_of_the_script_shows_while_it_lasts() -> None:
    own = faults(GPUS, STARTED)
    for fault in SCRIPT:
        middle = own[fault.gpu].at(STARTED + PERIOD + (fault.begin + fault.end) / 2)
        assert middle.lost is fault.lost
        assert middle.reasons >= set(fault.reasons)
        assert set(fault.reasons) <= set(THROTTLE_REASONS.values())
        assert middle.links_down >= set(fault.links_down)
        assert fault.lanes in (middle.lanes, 16)


def test_a_lost_gpu_answers_nothing_and_comes_back_and_its_xid_is_heard_before() -> None:
    now = Now()
    library = FakeLibrary(GPUS, now=now, faults=faults(GPUS, STARTED))
    device = library.open(7)
    now.t = STARTED + 121
    assert library.wait_xid(0) == (device.identity.uuid, 79)
    assert device.temperature() is not None
    now.t = STARTED + 130
    with pytest.raises(DeviceLost):
        device.temperature()
    now.t = STARTED + 150
    assert library.open(7).temperature() is not None


def test_what_is_wrong_is_read_through_the_same_fields_as_on_a_real_gpu() -> None:
    now = Now()
    library = FakeLibrary(GPUS, now=now, faults=faults(GPUS, STARTED))
    wanted = [nvml.ECC_UNCORRECTED_AGGREGATE, nvml.REMAP_PENDING, nvml.RECOVERY_ACTION, nvml.REMAPPED_UNCORRECTED]
    memory = library.open(5).fields(wanted)
    links = library.open(3).fields([nvml.NVLINK_STATE.of(4), nvml.NVLINK_STATE.of(7), nvml.NVLINK_CRC.of(4)])
    assert memory.read() == [0, 0, 0, 0]
    before = links.read()
    now.t = STARTED + 60
    assert memory.read() == [2, 1, 1, 1]
    now.t = STARTED + 125
    assert memory.read() == [2, 0, 0, 1]
    down, up, errors = links.read()
    assert (down, up) == (0, 1)
    assert errors is not None
    assert before[2] is not None
    assert errors == before[2] + 9 * 20
    assert library.open(0).pcie_link().width == 16
    now.t = STARTED + 140
    assert library.open(0).pcie_link().width == 8


def test_without_faults_the_engines_are_those_of_the_demo() -> None:
    assert deployments() is DEMO
    assert list(deployments(faults=True)) == list(DEMO)


def test_slow_iterations_take_so_much_longer_than_the_same_work_does() -> None:
    slow = replace(DEMO[LLAMA], trouble=Trouble(slow=Spell(10.0, 20.0, 2.0)))
    engine, _ = served(slow, 25.0)
    seconds = slow.truth.seconds
    taken = {
        round((one.end - one.start) / seconds.of(one.done), 6): None
        for one in engine.iterations()
        if 10.0 <= one.start < 20.0
    }
    assert list(taken) == [2.0]


def test_an_engine_that_ends_loses_who_was_in_it_and_refuses_who_comes() -> None:
    ending = replace(DEMO[LLAMA], trouble=Trouble(down=Spell(30.0, 40.0, 0.0)))
    engine, finished = served(ending, 60.0)
    assert engine.lost > 0
    assert engine.refused > 0
    assert not [one for one in engine.iterations() if 30.0 <= one.start < 40.0]
    assert not [one for one in finished if 31.0 <= one.last_token < 40.0]
    assert [one for one in finished if one.last_token > 40.0]


def test_an_engine_that_begins_again_counts_from_zero() -> None:
    server = Server(DEMO[LLAMA])
    server.until(30.0)
    server.begin_again(30.0)
    fresh, once = _tokens(server), Server(DEMO[LLAMA])
    server.until(40.0)
    once.until(30.0)
    before = _tokens(once)
    once.until(40.0)
    assert fresh == 0
    assert _tokens(server) == _tokens(once) - before > 0


def test_in_its_bad_time_one_of_some_requests_fails() -> None:
    failing = replace(DEMO[QWEN], trouble=Trouble(failing=Spell(0.0, PERIOD, 3.0)))
    _, finished = served(failing, 120.0)
    assert 0.2 < sum(one.failed for one in finished) / len(finished) < 0.5
    _, healthy = served(DEMO[QWEN], 120.0)
    assert not any(one.failed for one in healthy)


def test_in_a_surge_the_queue_grows_the_cache_is_full_and_sequences_are_preempted() -> None:
    engine, finished = served(deployments(faults=True)[LLAMA], 180.0)
    assert engine.preempted > 0
    waits = [one.scheduled - one.queued for one in finished]
    assert max(waits) > 5.0
    # All is well again before the next round.
    assert finished[-1].scheduled - finished[-1].queued < 1.0


def _tokens(server: Server) -> float:
    page = generate_latest(server.metrics.registry).decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "vllm:generation_tokens_total"
    )
