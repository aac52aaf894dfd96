# SPDX-License-Identifier: Apache-2.0
"""Owners as the collector tells them, on machines of every kind as /proc and the kubelet show them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.catalogue.gpu import GPU_INFO, MIG_MEMORY_USAGE, MIG_PROCESS_MEMORY, PROCESS_COUNT, PROCESS_MEMORY
from agent.clock import FakeClock
from agent.collectors.node import Node
from agent.collectors.node.owners import OwnersReader, _simulated, holders_in, sources_of
from agent.config import OwnersCollector
from agent.config_values import Duration
from agent.entities import Gpu, GpuInfo, GpuProcess, MigInstance, MigProcess
from agent.entity import attributes
from agent.errors import NotSupported, Unavailable
from agent.metric import Sample
from agent.snapshot import Snapshot, Snapshots, Source
from tests.system.pod_resources_server import FakeKubelet, claim, pod, serving

TESTS = Path(__file__).parents[1]
FIXTURES, GOLDEN = TESTS / "fixtures", TESTS / "golden"
TREES = sorted(path.name.removeprefix("proc-owner-") for path in FIXTURES.glob("proc-owner-*"))
GPUS = [Gpu(f"GPU-{index:08x}-1111-2222-3333-444444444444", f"gpu{index}") for index in range(6)]
MIGS = [
    MigInstance(f"MIG-{gi:08x}-1111-2222-3333-444444444444", f"gpu5/1g.10gb/{gi}/0", GPUS[5].id) for gi in range(1, 6)
]
HELD = {0: (4100, 8), 1: (4101, 6), 2: (4200, 4), 3: (4300, 2), 4: (4201, 1), 5: (4400, 1)}
"""By GPU the process that holds it, where the tree has that, and its GiB."""


def snapshot(pids: Sequence[int], gpus: Sequence[Gpu] = GPUS) -> Snapshot:
    samples: list[Sample] = []
    for index, gpu in enumerate(gpus):
        pid, gib = HELD[index]
        samples += [GPU_INFO(GpuInfo(gpu, nvml_index=index, minor=index), 1), PROCESS_COUNT(gpu, int(pid in pids))]
        if pid in pids:
            samples.append(PROCESS_MEMORY(GpuProcess(gpu, pid, "python"), gib << 30))
    snapshots = Snapshots()
    snapshots.put_samples(Source("gpu"), samples, 0)
    return snapshots.current


class Bench:
    """The collector on a machine of a fixture tree."""

    def __init__(self, tree: str, kubelet: Path | None = None, *, job_map: bool = False) -> None:
        root = FIXTURES / f"proc-owner-{tree}"
        self.snapshot = snapshot([int(path.name) for path in (root / "proc").iterdir()])
        self.failures: list[Exception] = []
        self.clock = FakeClock()
        settings = OwnersCollector(
            kubelet_socket=str(kubelet or root / "absent.sock"),
            logs=str(root / "var/log"),
            job_map=str(root / "run/gpu-jobs") if job_map else "",
            interval=Duration(10),
        )
        node = Node(settings, self.clock, lambda: self.snapshot, self.failures.append, root)
        self.reader = OwnersReader(node, sources_of(root, settings, {"NODE_NAME": "n1"}))

    def read(self) -> list[Sample]:
        self.clock.advance(10)
        return list(self.reader.read())

    def owners(self) -> dict[str, str]:
        """Give the owners, and how they are known."""
        found = {}
        for one in self.read():
            if one.series.metric.name == "joulespan.gpu.owner.info":
                told = dict(attributes(one.series.entity))
                found[told["owner"]] = told["source"]
        return found

    def up(self) -> dict[str, float]:
        return {
            one.series.entity[0]: one.value
            for one in self.read()
            if one.series.metric.name == "joulespan.owner.source.up"
        }


@pytest.fixture
def socket() -> Iterator[Path]:
    with TemporaryDirectory(prefix="kubelet-") as folder:
        yield Path(folder) / "kubelet.sock"


@pytest.mark.parametrize("tree", TREES)
def test_everything_that_is_told_of_a_machine(tree: str) -> None:
    bench = Bench(tree, job_map=True)
    assert_golden(bench.read(), tree)
    assert bench.failures == []


def assert_golden(samples: Sequence[Sample], name: str) -> None:
    lines = []
    for (metric, entity), value in samples:
        pairs = ", ".join(f"{key}={told}" for key, told in attributes(entity))
        lines.append(f"{metric.name}{{{pairs}}} {value:g}")
    text = "\n".join([*lines, ""])
    golden = GOLDEN / f"owners-{name}.txt"
    if not golden.exists():
        golden.write_text(text, "utf-8")
        pytest.fail(f"{golden.name} was missing and has been written: read it, and run again")
    assert text == golden.read_text("utf-8")
    assert "secret" not in text


def every_form() -> list[object]:
    """Pods with ids of devices in every form that there is, one pod for each."""
    forms = {
        "uuid": GPUS[0].id,
        "replica": f"{GPUS[1].id}::0",
        "other-replica": f"{GPUS[1].id}::1",
        "index": "2",
        "gke": "nvidia3",
        "gke-shared": "nvidia4/vgpu1",
        "mig": MIGS[0].id,
        "mig-replica": f"{MIGS[0].id}::2",
        "old-mig": f"MIG-{GPUS[5].id}/2/0",
        "gke-mig": "nvidia5/gi3",
        "gke-mig-shared": "nvidia5/gi4/vgpu0",
        "unknown": "GPU-ffffffff-1111-2222-3333-444444444444",
    }
    claims = {
        "claimed": claim("whole", "gpu-0"),
        "claimed-share": claim("part", "gpu-2", share="b1a4"),
        "claimed-mig": claim("slice", "gpu-5-mig-19-5-1", cdi=[f"nvidia.com/gpu={MIGS[4].id}"]),
        "claimed-unknown-mig": claim("slice-2", "gpu-5-mig-19-6-1"),
    }
    return [
        *(pod(name, "ml", {"nvidia.com/gpu": [id_], "rdma/hca": ["mlx5_0"]}) for name, id_ in forms.items()),
        *(pod(name, "ml", {}, claims=[one]) for name, one in claims.items()),
    ]


def test_everything_that_is_told_of_ids_of_every_form(socket: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.pods = every_form()
    bench = Bench("containerd-v2", socket)
    samples = [*bench.snapshot.samples(), *(MIG_MEMORY_USAGE(one, 1) for one in MIGS)]
    snapshots = Snapshots()
    snapshots.put_samples(Source("gpu"), samples, 0)
    bench.snapshot = snapshots.current
    with serving(kubelet, socket):
        assert_golden(bench.read(), "kubelet")


def test_a_pod_is_the_same_by_its_process_and_by_the_kubelet(socket: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.pods = [
        pod("llama-6b9d4f5c87-x2k4z", "inference", {"nvidia.com/gpu": [GPUS[0].id, "1"]}, container="vllm"),
        pod("deepseek-0-1", "inference", {}, container="sglang", claims=[claim("deepseek-gpu", "gpu-2")]),
        pod("idle-0", "inference", {"nvidia.com/gpu": [GPUS[3].id]}),
    ]
    with serving(kubelet, socket):
        assert Bench("containerd-v2", socket).owners() == {
            "k8s/inference/llama-6b9d4f5c87-x2k4z/vllm": "pod_resources",
            "k8s/inference/deepseek-0-1/sglang": "dra",
            "k8s/inference/idle-0/main": "pod_resources",
        }


def test_what_a_kubelet_said_is_believed_while_it_fails_for_three_rounds_and_no_longer(socket: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.pods = [pod("idle-0", "inference", {"nvidia.com/gpu": [GPUS[3].id]})]
    bench = Bench("containerd-v2", socket)
    with serving(kubelet, socket):
        assert "k8s/inference/idle-0/main" in bench.owners()
        kubelet.answer = b"\xff"
        for _ in range(3):
            assert "k8s/inference/idle-0/main" in bench.owners()
        assert "k8s/inference/idle-0/main" not in bench.owners()
        assert bench.up() == {"kubelet": 0.0, "pod_logs": 1.0, "processes": 1.0}
        assert {type(error) for error in bench.failures} == {Unavailable}
        kubelet.answer = None
        assert "k8s/inference/idle-0/main" in bench.owners()
        assert bench.up()["kubelet"] == 1.0


def test_a_kubelet_that_is_not_there_is_no_failure_and_is_asked_when_it_appears(socket: Path) -> None:
    bench = Bench("containerd-v2", socket)
    assert "kubelet" not in bench.up()
    kubelet = FakeKubelet()
    kubelet.pods = [pod("idle-0", "inference", {"nvidia.com/gpu": [GPUS[3].id]})]
    with serving(kubelet, socket):
        assert bench.owners()["k8s/inference/idle-0/main"] == "pod_resources"
    assert "k8s/inference/idle-0/main" not in bench.owners()
    assert bench.failures == []


def test_processes_that_are_all_hidden_are_a_failure_and_what_was_given_out_is_told_all_the_same(socket: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.pods = [pod("llama-0", "inference", {"nvidia.com/gpu": [GPUS[0].id]})]
    bench = Bench("containerd-v2", socket)
    bench.snapshot = snapshot([4300])
    with serving(kubelet, socket):
        assert bench.owners() == {"k8s/inference/llama-0/main": "pod_resources"}
        assert bench.up()["processes"] == 0.0
    assert "hostPID" in str(bench.failures[0])


def test_where_no_gpu_is_known_there_is_nothing_to_tell() -> None:
    bench = Bench("containerd-v2")
    bench.snapshot = Snapshots().current
    with pytest.raises(NotSupported):
        bench.read()


def test_a_process_on_a_mig_instance_holds_the_instance_and_not_its_gpu() -> None:
    mig = MigInstance("MIG-1", "gpu0/1g.10gb/7/0", GPUS[0].id)
    snapshots = Snapshots()
    samples = [
        PROCESS_MEMORY(GpuProcess(GPUS[0], 7, "a"), 5),
        PROCESS_MEMORY(GpuProcess(GPUS[1], 7, "a"), 6),
        MIG_PROCESS_MEMORY(MigProcess(mig, 7, "a"), 5),
    ]
    snapshots.put_samples(Source("gpu"), samples, 0)
    holders, told = holders_in(snapshots.current)
    assert [(one.device, one.memory) for one in holders] == [(GPUS[1], 6), (mig, 5)]
    assert told == {GPUS[0].id, GPUS[1].id, mig.id}


def test_the_demo_has_pods_and_a_job_that_uses_nothing() -> None:
    clock = FakeClock()
    settings = OwnersCollector()
    node = Node(settings, clock, lambda: snapshot([4100, 4300]), lambda _: None, simulated_since=0)
    samples = list(OwnersReader(node, _simulated()).read())
    keys = {one.series.entity.key for one in samples if one.series.metric.name == "joulespan.gpu.owner.info"}  # type: ignore[attr-defined]
    assert keys == {
        "k8s/inference/llama-3-3-70b-6b9d4f5c87-x2k4z/engine",
        "k8s/inference/qwen3-32b-6b9d4f5c87-x2k4z/engine",
    }
