# SPDX-License-Identifier: Apache-2.0
"""Files that say whose processes and GPUs are: logs' names, a prolog's folder, runtimes' state, environments, users."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import NotSupported, Unavailable
from agent.system.container_names import docker_name, podman_names
from agent.system.environment import variables
from agent.system.job_map import job_map, jobs_in
from agent.system.pod_logs import PodName, pod_names
from agent.system.users import user_names, user_of
from agent.system.who import Who

FIXTURES = Path(__file__).parents[1] / "fixtures"
UID = "8d0fdb5c-6f0e-4b43-9d2c-0c1f4b7f6a10"


def test_the_names_of_logs_tell_the_names_of_pods_and_containers() -> None:
    names = pod_names(FIXTURES / "proc-owner-containerd-v2/var/log")
    llama = PodName("inference", "llama-6b9d4f5c87-x2k4z")
    assert names.pods[UID] == llama
    assert llama._replace(container="vllm") in names.containers.values()
    assert len(names.pods) == len(names.containers) == 2


def test_static_pods_have_a_hash_for_a_uid_and_other_files_are_none(tmp_path: Path) -> None:
    for name in ("kube-system_etcd-n1_0f1e2d3c4b5a69788796a5b4c3d2e1f0", "not-a-pod", "a_b_c", "ns_pod_" + "Z" * 36):
        (tmp_path / "pods" / name).mkdir(parents=True)
    names = pod_names(tmp_path)
    assert names.pods == {"0f1e2d3c4b5a69788796a5b4c3d2e1f0": PodName("kube-system", "etcd-n1")}
    assert names.containers == {}


def test_a_node_without_a_kubelet_has_no_such_folders(tmp_path: Path) -> None:
    with pytest.raises(NotSupported):
        pod_names(tmp_path)
    with pytest.raises(NotSupported):
        job_map(tmp_path / "jobs")


def test_of_a_folder_without_end_a_bounded_part_is_read(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / "pods" / f"ml_pod-{number}_{UID[:-1]}{number}").mkdir(parents=True)
    assert len(pod_names(tmp_path, most=3).pods) == 3


def test_a_prolog_writes_a_file_for_each_gpu() -> None:
    assert job_map(FIXTURES / "proc-owner-slurm-v2/run/gpu-jobs") == {
        "0": ["81734"],
        "1": ["81734"],
        "2": ["81740"],
        "3": ["81741"],
        "4": ["81755", "81756"],
    }


def test_a_folder_that_is_a_file_is_none_and_one_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotSupported):
        job_map(tmp_path / "file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(Unavailable):
        job_map(tmp_path / "loop")


@given(st.binary(max_size=400))
def test_whatever_is_in_a_file_of_a_prolog_its_jobs_are_short_words_and_few(text: bytes) -> None:
    jobs = jobs_in(text)
    assert len(jobs) == len(set(jobs)) <= 64
    assert all(0 < len(job) <= 64 and job.isascii() and job.isprintable() for job in jobs)


def test_docker_and_podman_keep_the_names_of_containers_in_files() -> None:
    root = FIXTURES / "proc-owner-docker-v1"
    container = next((root / "var/lib/docker/containers").iterdir()).name
    assert docker_name(container, root) == "vllm-chat"
    assert docker_name("0" * 64, root) is None
    assert set(podman_names(FIXTURES / "proc-owner-podman-v2").values()) == {"llama-server"}
    assert podman_names(root) == {}


@given(st.binary(max_size=200))
def test_a_state_file_that_is_torn_names_nothing(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    root = tmp_path_factory.mktemp("state")
    file = root / "var/lib/docker/containers/abc/config.v2.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"Name":' + text)
    podman = root / "var/lib/containers/storage/overlay-containers/containers.json"
    podman.parent.mkdir(parents=True)
    podman.write_bytes(b'[{"id":"a","names":' + text)
    name = docker_name("abc", root)
    assert name is None or isinstance(name, str)
    assert isinstance(podman_names(root), dict)


def test_of_an_environment_only_what_was_asked_for_is_told() -> None:
    proc = FIXTURES / "proc-owner-slurm-v2/proc"
    assert variables(4100, {"SLURM_JOB_ID", "SLURM_JOB_USER", "ABSENT"}, proc) == {
        "SLURM_JOB_ID": "81734",
        "SLURM_JOB_USER": "alice",
    }
    assert variables(4200, {"SLURM_JOB_ID"}, proc) is None


def test_the_first_of_two_variables_counts_and_a_long_one_is_cut(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/environ").write_bytes(b"A=1\0A=2\0B=" + "é".encode() * 1000 + b"\0C\0=x\0")
    assert variables(7, ("A", "B", "C"), tmp_path) == {"A": "1", "B": "é" * 253}


@given(st.binary(max_size=300))
def test_whatever_an_environment_holds_its_values_are_short_texts(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    root = tmp_path_factory.mktemp("proc")
    (root / "7").mkdir()
    (root / "7/environ").write_bytes(text)
    (root / "7/status").write_bytes(b"Name:\tx\nUid:\t" + text)
    assert all(len(value) <= 253 for value in (variables(7, ("A",), root) or {}).values())
    user = user_of(7, root)
    assert user is None or user >= 0


def test_users_are_named_where_the_machine_knows_them(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text(
        "root:x:0:0::/:/bin/sh\nbroken\n:x:1:1::/:\nana:x:1000:1000::/:\nbob:x:1000:0::/:\n"
    )
    assert user_names(tmp_path / "passwd") == {0: "root", 1000: "ana"}
    assert user_names(tmp_path / "absent") == {}


def test_nothing_of_an_environment_is_read_where_that_is_switched_off() -> None:
    root = FIXTURES / "proc-owner-slurm-v2"
    assert Who(root).identities([4100])[4100].variables["SLURM_JOB_ACCOUNT"] == "nlp"
    assert Who(root, environment=False).identities([4100])[4100].variables == {}
