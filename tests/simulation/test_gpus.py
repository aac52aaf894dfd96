# SPDX-License-Identifier: Apache-2.0
"""The GPUs of simulated engines, as the reader sees them: power, activity and links follow the iterations."""

from dataclasses import dataclass

import pytest

from agent.clock import NS
from agent.reader.process import _simulated
from agent.reader.wire import TO_READER, Frames, Setup, pack
from agent.simulation import DEMO, Deployment, SimulatedEngine
from agent.simulation.batching import Batching
from agent.simulation.load import EMPTY_WATTS, holders, loads
from agent.simulation.workload import Workload
from agent.system.nvml import fields as nvml
from agent.system.nvml import waves
from agent.system.nvml.device import ProcessUse
from agent.system.nvml.fake import FakeLibrary

STARTED = 1000.0
ENGINES = [SimulatedEngine(name, 4000 + number, int(STARTED * NS)) for number, name in enumerate(DEMO)]
GPUS = 8
DEPLOYMENTS = pytest.mark.parametrize("deployment", DEMO.values(), ids=list(DEMO))
IDLE = (6, 7)


@dataclass
class Node:
    """The node of the demo at a time that is set by hand."""

    seconds: float = STARTED

    def library(self) -> FakeLibrary:
        processes = {gpu: [ProcessUse(*holder)] for gpu, holder in holders(ENGINES, DEMO).items()}
        at_work = dict(enumerate(loads(GPUS, ENGINES, DEMO)))
        return FakeLibrary(GPUS, now=lambda: self.seconds, loads=at_work, processes=processes)


def steps(node: Node, seconds: float) -> list[float]:
    """Times 100 ms apart, a little after each update."""
    return [node.seconds + 0.1 * number + 0.01 for number in range(round(seconds * 10) + 1)]


@pytest.mark.parametrize("gpu", range(GPUS))
def test_the_energy_counter_is_the_integral_of_power_which_stays_within_the_limit(gpu: int) -> None:
    node = Node()
    reader = node.library().open(gpu).fields([nvml.ENERGY, nvml.POWER_INSTANT, nvml.POWER_MAX_LIMIT])
    readings: list[tuple[float, float]] = []
    for now in steps(node, 30.0):
        node.seconds = now
        energy, power, limit = reader.read()
        assert energy is not None
        assert power is not None
        assert limit is not None
        assert EMPTY_WATTS <= power <= limit
        readings.append((energy, power))
    drawn = sum(0.1 * power for _, power in readings[1:])
    assert readings[-1][0] - readings[0][0] == pytest.approx(drawn, abs=0.01 + 0.0005 * len(readings))
    powers = [power for _, power in readings]
    assert (max(powers) - min(powers) > 100) is (gpu not in IDLE)


@DEPLOYMENTS
def test_the_gpus_of_an_engine_draw_the_joules_of_its_work(deployment: Deployment) -> None:
    node = Node(STARTED + 40.0)
    library = node.library()
    until = waves.step_time(node.seconds)
    work = Batching(deployment, Workload(deployment.traffic, deployment.seed)).work(until - STARTED)
    drawn = [library.open(gpu).fields([nvml.ENERGY]).read()[0] or 0.0 for gpu in deployment.gpus]
    truth = deployment.truth
    assert sum(drawn) == pytest.approx(truth.joules.of(work) + truth.engine_idle_watts * until, rel=1e-9, abs=0.01)


@DEPLOYMENTS
def test_no_work_can_draw_more_than_a_board_may(deployment: Deployment) -> None:
    truth = deployment.truth
    hottest = max(joules / seconds for joules, seconds in zip(truth.joules, truth.seconds, strict=True))
    for share, idle in zip(truth.shares, truth.idle_watts, strict=True):
        assert idle + share * hottest <= waves.H100.limit_watts
    assert sum(truth.shares) == pytest.approx(1.0)
    assert len(truth.shares) == len(truth.idle_watts) == len(deployment.gpus)


def test_a_gpu_that_is_busier_is_warmer_and_more_active_than_one_without_work() -> None:
    node = Node(STARTED + 60.0)
    library = node.library()
    busy, idle = library.open(0), library.open(6)
    for device in (busy, idle):
        assert device.gpm() is None
    node.seconds += 5.0
    at_work, nothing = busy.gpm(), idle.gpm()
    assert at_work is not None
    assert nothing is not None
    assert 0.5 < (at_work.sm_active or 0) < (at_work.graphics_active or 0) <= 1.0
    assert at_work.throughput["nvlink", "transmit"] > 1e8
    assert (nothing.sm_active, nothing.throughput["nvlink", "transmit"]) == (0.0, 0.0)
    assert nothing.pipes.keys() == at_work.pipes.keys()
    assert (busy.temperature() or 0) > (idle.temperature() or 99) + 5
    (used, unused) = (device.utilization() for device in (busy, idle))
    assert used
    assert unused
    assert (used.gpu > 0.5, unused.gpu) == (True, 0.0)


def test_the_links_carry_the_bytes_of_the_tokens_evenly() -> None:
    node = Node(STARTED + 10.0)
    device = node.library().open(1)
    wanted = [nvml.NVLINK_TX.of(nvml.ALL_LINKS), *(nvml.NVLINK_RX.of(link) for link in range(waves.H100.links))]
    total, *each = device.fields(wanted).read()
    llama = DEMO["llama-3.3-70b"]
    work = Batching(llama, Workload(llama.traffic, llama.seed)).work(10.0)
    expected = llama.truth.nvlink_bytes * (work.prefill_tokens + work.decode_tokens)
    assert expected > 0
    assert total == pytest.approx(expected, abs=1024)
    assert each == pytest.approx([expected / waves.H100.links] * waves.H100.links, abs=1024)


def test_memory_is_held_by_the_engines_process_and_a_gpu_without_one_is_empty() -> None:
    library = Node(STARTED + 1.0).library()
    for engine in ENGINES:
        deployment = DEMO[engine.name]
        for gpu in deployment.gpus:
            device = library.open(gpu)
            memory = device.memory()
            assert memory is not None
            assert device.processes() == [ProcessUse(engine.pid, deployment.truth.memory_bytes)]
            assert memory.used == deployment.truth.memory_bytes < memory.total - (memory.reserved or 0)
    for gpu in IDLE:
        device = library.open(gpu)
        memory = device.memory()
        assert device.processes() == []
        assert memory is not None
        assert memory.used == 0


def test_before_an_engine_began_its_gpus_idled() -> None:
    node = Node(STARTED - 5.0)
    device = node.library().open(0)
    energy, power = device.fields([nvml.ENERGY, nvml.POWER_INSTANT]).read()
    assert power == pytest.approx(DEMO["llama-3.3-70b"].truth.idle_watts[0], abs=0.01)
    assert energy == pytest.approx((power or 0.0) * node.seconds, rel=1e-3)


def test_the_engines_reach_the_reader() -> None:
    setup = Setup(0.1, 1.0, 10.0, 30.0, detail=False, simulate=GPUS, avoid=[], engines=ENGINES)
    (body,) = Frames().feed(pack([setup]))
    (told,) = TO_READER.decode(body)
    assert told == setup
    assert isinstance(told, Setup)
    assert _simulated(told).open(4).processes() == [ProcessUse(4001, DEMO["qwen3-32b"].truth.memory_bytes)]


def test_without_engines_the_gpus_show_waves() -> None:
    setup = Setup(0.1, 1.0, 10.0, 30.0, detail=False, simulate=2, avoid=[])
    assert _simulated(setup).open(0).processes() == []
