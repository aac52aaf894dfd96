# SPDX-License-Identifier: Apache-2.0
"""The energy of owners: all of what is one's alone, and shares of what is not."""

import pytest
from hypothesis import given as cases
from hypothesis import strategies as st

from agent.catalogue.energy import ENERGY_ATTRIBUTED, ENERGY_IDLE, ENERGY_MEASURED, ENGINE_UNATTRIBUTED
from agent.catalogue.gpu import ENERGY
from agent.catalogue.owners import ENGINE_OWNER
from agent.catalogue.requests import ENGINE_GPU
from agent.entities import Engine, Gpu
from agent.metric import Sample
from agent.owner_entities import NOBODY, EngineOwner, GpuOwner
from agent.processors.hold import Divided
from agent.processors.owner_energy import OwnerEnergy
from agent.request_entities import EngineGpu, RequestClass, RequestPhase
from agent.snapshot import Snapshots, Source
from tests.processors.test_attribution import WORKING, Node

GPU, OTHER = Gpu("GPU-0", "gpu0"), Gpu("GPU-1", "gpu1")
MIG = "MIG-0"
PARENTS = {GPU.id: GPU.id, OTHER.id: OTHER.id, MIG: GPU.id}


def owner(key: str, device: str = GPU.id, *, shared: bool = False) -> GpuOwner:
    return GpuOwner(
        device, GPU.id if device == MIG else None, key, "pod", "process", "true" if shared else "false", NOBODY
    )


class Bench:
    def __init__(self) -> None:
        self.energy = OwnerEnergy()

    def at(self, *samples: Sample, owners: list[GpuOwner]) -> dict[tuple[str, str], float]:
        snapshots = Snapshots()
        snapshots.put_samples(Source("a"), samples, 0)
        self.energy.advance(snapshots.current, owners, PARENTS)
        return self.energy.joules


def ledger(measured: float, *engines: tuple[str, float, float]) -> list[Sample]:
    """What the ledger says of one GPU: an engine with its owner, what spans explain and what none does."""
    return [
        ENERGY(GPU, 10_000 + measured),
        ENERGY_MEASURED(GPU, measured),
        *(
            one
            for name, spans, rest in engines
            for one in (
                ENERGY_ATTRIBUTED(RequestPhase(name, "m", None, "decode"), spans),
                ENGINE_UNATTRIBUTED(Engine(name), rest),
                ENGINE_GPU(EngineGpu(name, GPU.id, "pid"), 1),
                ENGINE_OWNER(EngineOwner(name, f"k8s/{name}"), 1),
            )
        ),
    ]


def test_a_gpu_that_is_ones_alone_is_all_his_from_when_it_is_seen_so() -> None:
    bench = Bench()
    assert bench.at(ENERGY(GPU, 500), owners=[owner("a")]) == {("GPU-0", "a"): 0.0}
    assert bench.at(ENERGY(GPU, 600), owners=[owner("a")]) == {("GPU-0", "a"): 100.0}
    assert bench.at(ENERGY(GPU, 650), owners=[owner("b")]) == {("GPU-0", "b"): 0.0}
    assert bench.at(ENERGY(GPU, 700), owners=[owner("b")]) == {("GPU-0", "b"): 50.0}
    assert bench.at(ENERGY(GPU, 800), owners=[]) == {}


def test_a_counter_that_starts_again_counts_from_zero() -> None:
    bench = Bench()
    bench.at(ENERGY(GPU, 500), owners=[owner("a")])
    assert bench.at(ENERGY(GPU, 30), owners=[owner("a")]) == {("GPU-0", "a"): 30.0}


def test_a_shared_gpu_is_split_by_what_requests_took_and_the_rest_is_shared() -> None:
    bench = Bench()
    both = [owner("k8s/x", shared=True), owner("k8s/y", shared=True)]
    bench.at(*ledger(100, ("x", 10, 0), ("y", 20, 5)), owners=both)
    found = bench.at(*ledger(200, ("x", 40, 2), ("y", 30, 5)), owners=both)
    assert found == {("GPU-0", "k8s/x"): 32.0, ("GPU-0", "k8s/y"): 10.0, ("GPU-0", "shared"): 58.0}


def test_what_one_engine_took_of_several_gpus_stays_shared() -> None:
    bench = Bench()
    both = [owner("k8s/x", shared=True), owner("k8s/y", shared=True)]
    two = ENGINE_GPU(EngineGpu("x", OTHER.id, "pid"), 1)
    bench.at(*ledger(0, ("x", 0, 0)), two, owners=both)
    assert bench.at(*ledger(100, ("x", 40, 0)), two, owners=both) == {("GPU-0", "shared"): 100.0}


def test_a_mig_instance_is_a_share_of_its_gpu_even_where_it_is_the_only_one_in_use() -> None:
    bench = Bench()
    one = [owner("k8s/x", MIG)]
    samples = [ENGINE_GPU(EngineGpu("x", MIG, "pid"), 1), ENGINE_OWNER(EngineOwner("x", "k8s/x"), 1)]
    told = [sample for sample in ledger(0, ("x", 0, 0)) if sample.series.metric is not ENGINE_GPU]
    bench.at(*told, *samples, owners=one)
    told = [sample for sample in ledger(90, ("x", 60, 0)) if sample.series.metric is not ENGINE_GPU]
    assert bench.at(*told, *samples, owners=one) == {("GPU-0", "k8s/x"): 60.0, ("GPU-0", "shared"): 30.0}


def test_without_a_ledger_nothing_is_told_of_a_shared_gpu() -> None:
    bench = Bench()
    both = [owner("a", shared=True), owner("b", shared=True)]
    bench.at(ENERGY(GPU, 0), owners=both)
    assert bench.at(ENERGY(GPU, 100), owners=both) == {}


@cases(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=12
    )
)
def test_owners_and_shared_add_up_to_what_the_ledger_divided(rounds: list[tuple[float, ...]]) -> None:
    bench = Bench()
    both = [owner("k8s/x", shared=True), owner("k8s/y", shared=True)]
    totals = [0.0] * 4
    bench.at(*ledger(0, ("x", 0, 0), ("y", 0, 0)), owners=both)
    for grown in rounds:
        totals = [total + more for total, more in zip(totals, grown, strict=True)]
        x, unexplained, y, idle = totals
        bench.at(*ledger(x + unexplained + y + idle, ("x", x, unexplained), ("y", y, 0)), owners=both)
    assert sum(bench.energy.joules.values()) == pytest.approx(sum(totals), rel=1e-9, abs=1e-6)
    assert bench.energy.joules["GPU-0", "k8s/x"] == pytest.approx(totals[0] + totals[1], rel=1e-9, abs=1e-6)


def test_what_a_real_ledger_divides_of_a_shared_gpu_is_its_owners_and_adds_up() -> None:
    node = Node()
    node.run(8)
    node.run(8, WORKING)
    both = [owner("k8s/a", shared=True), owner("k8s/b", shared=True)]
    engines = [ENGINE_GPU(EngineGpu(name, GPU.id, "pid"), 1) for name in "ab"]
    whose = [ENGINE_OWNER(EngineOwner(name, f"k8s/{name}"), 1) for name in "ab"]
    bench = Bench()

    def look() -> None:
        samples = [*node.attribution.samples(node.metrics.samples), *engines, *whose]
        bench.at(*(one for one in samples if isinstance(one, Sample)), owners=both)

    look()
    first, second = node.request(8, 12), node.request(12, 16)
    node.add(first, Divided(second.request, "b", (GPU,), RequestClass("b", "m")))
    for _ in range(6):
        node.run(5)
        node.attribution.advance()
        look()
    found = bench.energy.joules
    attributed = node.said(ENERGY_ATTRIBUTED)
    assert attributed.keys() == {"a", "b"}
    for name in "ab":
        rest = node.said(ENGINE_UNATTRIBUTED).get(name, 0.0)
        assert found[GPU.id, f"k8s/{name}"] == pytest.approx(attributed[name] + rest, rel=1e-9)
    assert sum(found.values()) == pytest.approx(node.said(ENERGY_MEASURED)[GPU.id], rel=1e-9)
    assert found[GPU.id, "shared"] == pytest.approx(node.said(ENERGY_IDLE)[GPU.id], rel=1e-6)
