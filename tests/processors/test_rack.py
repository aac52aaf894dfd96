# SPDX-License-Identifier: Apache-2.0
"""A node says what part its GPUs have in their NVLink domain, and where in the rack it is."""

from collections.abc import Sequence
from typing import Any

from agent.catalogue import rack
from agent.catalogue.gpu import FABRIC_INFO, PLATFORM_INFO
from agent.catalogue.health import FABRIC_HEALTH, FABRIC_STATUS, NODE_GPUS
from agent.entities import Fabric, Gpu, GpuError, NodeGpus, Platform
from agent.entity import attributes
from agent.metric import Metric, Sample
from agent.processors.rack import RackView
from agent.snapshot import Snapshots, Source

CLUSTER = "7b968fc6-954e-4ab3-9c81-00d5a2e03144"
GPUS = [Gpu(f"GPU-{index}", f"gpu{index}") for index in range(4)]


class Node:
    """A compute tray with four GPUs."""

    def __init__(self) -> None:
        self.view = RackView()

    def told(
        self,
        cliques: Sequence[int | None],
        *,
        lost: int = 0,
        problems: Sequence[tuple[int, str]] = (),
        status: int = 0,
        cluster: str = CLUSTER,
    ) -> list[Sample]:
        """What it says, when its GPUs say that they are in these cliques."""
        snapshots = Snapshots()
        counts = [NODE_GPUS(NodeGpus("reachable"), len(cliques)), NODE_GPUS(NodeGpus("lost"), lost)]
        snapshots.put_samples(Source("agent"), counts, 0)
        for gpu, clique in zip(GPUS, cliques, strict=False):
            samples = [FABRIC_STATUS(gpu, status)]
            if clique is not None:
                samples.append(FABRIC_INFO(Fabric(gpu, cluster, clique), 1))
            for index, problem in problems:
                samples.append(FABRIC_HEALTH(GpuError(gpu, problem), GPUS[index] is gpu))
            snapshots.put_samples(Source("gpu_fabric", gpu.id), samples, 0)
            module = int(gpu.id[-1]) + 1
            place = Platform(gpu, "1820324000123", 24, 14, 1, module, "switch")
            snapshots.put_samples(Source("gpu_identity", gpu.id), [PLATFORM_INFO(place, 1)], 0)
        return [*self.view.samples(snapshots.current)]


def values(samples: Sequence[Sample], metric: Metric[Any]) -> list[tuple[tuple[object, ...], float]]:
    return [(one.series.entity, one.value) for one in samples if one.series.metric is metric]


def states(samples: Sequence[Sample], clique: int = 1) -> dict[str, float]:
    found = [(dict(attributes(one.series.entity)), one.value) for one in samples if one.series.metric is rack.GPUS]
    return {named["state"]: value for named, value in found if named["fabric.clique"] == str(clique)}


def test_a_whole_tray_is_complete_and_says_where_it_is() -> None:
    told = Node().told([1, 1, 1, 1])
    assert states(told) == {"healthy": 4, "degraded": 0, "missing": 0}
    assert values(told, rack.COMPLETE) == [((CLUSTER, 1), 1)]
    assert values(told, rack.EXPECTED) == [((CLUSTER, 1), 4)]
    assert values(told, rack.CLIQUES) == [((), 1)]
    assert values(told, rack.PLACE) == [(("1820324000123", "14", "24", "1", "1,2,3,4", CLUSTER, "1"), 1)]


def test_a_gpu_that_fell_off_the_bus_is_missing_from_its_domain() -> None:
    told = Node().told([1, 1, 1], lost=1)
    assert states(told) == {"healthy": 3, "degraded": 0, "missing": 1}
    assert values(told, rack.COMPLETE) == [((CLUSTER, 1), 0)]


def test_a_gpu_that_nobody_counts_any_more_is_still_missing() -> None:
    node = Node()
    node.told([1, 1, 1, 1])
    assert states(node.told([1, 1, 1])) == {"healthy": 3, "degraded": 0, "missing": 1}


def test_a_gpu_that_has_not_registered_is_missing() -> None:
    assert states(Node().told([1, 1, None, 1])) == {"healthy": 3, "degraded": 0, "missing": 1}


def test_a_gpu_with_a_problem_of_the_fabric_is_degraded_and_the_problem_is_named() -> None:
    told = Node().told([1, 1, 1, 1], problems=[(2, "degraded_bandwidth"), (2, "route_unhealthy")])
    assert states(told) == {"healthy": 3, "degraded": 1, "missing": 0}
    assert values(told, rack.PROBLEMS) == [
        ((CLUSTER, 1, "degraded_bandwidth"), 1),
        ((CLUSTER, 1, "route_unhealthy"), 1),
    ]
    assert values(Node().told([1, 1, 1, 1], status=15), rack.PROBLEMS) == [((CLUSTER, 1, "registration"), 4)]


def test_a_domain_that_is_split_says_so_and_each_part_is_complete() -> None:
    told = Node().told([1, 1, 2, 2])
    assert values(told, rack.CLIQUES) == [((), 2)]
    assert values(told, rack.COMPLETE) == [((CLUSTER, 1), 1), ((CLUSTER, 2), 1)]
    assert states(told, clique=2) == {"healthy": 2, "degraded": 0, "missing": 0}


def test_when_all_gpus_are_gone_the_domain_is_remembered() -> None:
    node = Node()
    node.told([1, 1, 1, 1])
    told = node.told([], lost=4)
    assert states(told) == {"healthy": 0, "degraded": 0, "missing": 4}
    assert values(told, rack.CLIQUES) == [((), 0)]


def test_the_switches_of_one_baseboard_form_no_domain() -> None:
    told = Node().told([0, 0, 0, 0], cluster="00000000-0000-0000-0000-000000000000")
    assert [one.series.metric for one in told] == [rack.PLACE]


def test_before_the_reader_has_spoken_nothing_is_said() -> None:
    assert [*RackView().samples(Snapshots().current)] == []
