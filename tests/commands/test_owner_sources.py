# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of the sources of owners, on nodes of every kind."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.commands.owner_sources import Check, owner_checks
from agent.config import OwnersCollector
from tests.system.pod_resources_server import TYPES, FakeKubelet, pod, serving

FIXTURES = Path(__file__).parents[1] / "fixtures"
GPU = "GPU-00000000-1111-2222-3333-444444444444"


@pytest.fixture
def socket() -> Iterator[Path]:
    with TemporaryDirectory(prefix="kubelet-") as folder:
        yield Path(folder) / "kubelet.sock"


def checks(tree: str, socket: Path, logs: str = "var/log", *, in_pod: bool = False) -> list[Check]:
    root = FIXTURES / f"proc-owner-{tree}"
    settings = OwnersCollector(kubelet_socket=str(socket), logs=str(root / logs))
    return list(owner_checks(settings, root, in_pod=in_pod))


def test_a_node_of_kubernetes_says_what_its_kubelet_answers(socket: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.pods = [pod("a", "ml", {"nvidia.com/gpu": [GPU]})]
    kubelet.offered = [TYPES["ContainerDevices"](resource_name="nvidia.com/gpu", device_ids=[GPU, "b"])]
    with serving(kubelet, socket):
        assert [one.what for one in checks("containerd-v2", socket)] == [
            "kubelet: 1 devices of 1 pods, 2 offered, pods one by one too",
            "names of pods: 2 pods, 2 containers",
        ]
        kubelet.get_served = False
        known, names = checks("containerd-v2", socket, "absent")
        assert known.what == "kubelet: 1 devices of 1 pods, 2 offered, pods all at once only"
        assert (names.level, "mount" in names.advice) == ("hint", True)


def test_a_kubelet_that_does_not_answer_is_broken_and_one_that_is_missing_in_a_pod_is_told(socket: Path) -> None:
    assert [one for one in checks("containerd-v2", socket) if "kubelet" in one.what] == []
    missing, pids = checks("containerd-v2", socket, in_pod=True)
    assert (missing.level, "pod-resources" in missing.advice) == ("hint", True)
    assert "hostPID" in pids.advice
    kubelet = FakeKubelet()
    kubelet.answer = b"\xff"
    with serving(kubelet, socket):
        (broken,) = checks("containerd-v2", socket)
        assert broken.level == "broken"


def test_a_node_of_slurm_says_whether_its_jobs_can_be_named(socket: Path) -> None:
    assert [one.what for one in checks("slurm-v2", socket)] == ["Slurm: 3 jobs"]
    root = FIXTURES / "proc-owner-slurm-v1"
    (one,) = owner_checks(OwnersCollector(kubelet_socket=str(socket), environment=False), root, in_pod=False)
    assert (one.level, one.what) == ("hint", "Slurm: 3 jobs, whose environment may not be read")


def test_jobs_that_are_in_no_control_group_are_told(tmp_path: Path, socket: Path) -> None:
    (tmp_path / "proc/40").mkdir(parents=True)
    (tmp_path / "proc/40/status").write_text("Name:\tslurmd\nTgid:\t40\nPPid:\t1\n")
    (one,) = owner_checks(OwnersCollector(kubelet_socket=str(socket)), tmp_path, in_pod=False)
    assert "proctrack/cgroup" in one.advice
