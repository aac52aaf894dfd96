# SPDX-License-Identifier: Apache-2.0
"""Processes, their parents and control groups, as the kernel writes them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.system.cgroup import Cgroup, cgroup_of, named, parse
from agent.system.processes import (
    Process,
    boot_time,
    foreign_descriptors_readable,
    parse_status,
    process_of_thread,
    process_table,
    read,
    started,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
NS = 1_000_000_000
ID = "3f6a1c0e9b7d4825a1f0c6e2d8b4907735cc1e0f2a9b8d7c6e5f403122334455"
OTHER = "9c0d2b7a51e84f63b2a7d9e0c4f1863a77dd00112233445566778899aabbccdd"
UID = "8d0fdb5c-6f0e-4b43-9d2c-0c1f4b7f6a10"
HEX = "0123456789abcdef"


def test_a_process_in_a_container_has_a_number_in_each_namespace() -> None:
    table = process_table(FIXTURES / "proc-vllm-tp2")
    assert table[28290] == Process(28290, 28179, 28179, "VLLM::EngineCor", (28290, 118))
    assert table[1].numbers == (1,)


def test_threads_are_no_processes_and_lead_to_theirs() -> None:
    root = FIXTURES / "proc-sglang"
    assert 5177 not in process_table(root)
    assert process_of_thread(5177, root) == 5101
    assert process_of_thread(5101, root) == 5101
    assert process_of_thread(99, root) is None


def test_the_start_is_read_behind_a_name_with_parentheses() -> None:
    root = FIXTURES / "proc-reused"
    boot = boot_time(root)
    assert boot == 1_795_500_000 * NS
    ticks = 360_000
    assert started(4242, boot, root) == boot + ticks * NS // os.sysconf("SC_CLK_TCK")
    assert started(4243, boot, root) is None


def test_a_folder_that_is_no_proc_has_no_processes(tmp_path: Path) -> None:
    assert process_table(tmp_path / "missing") == {}
    assert boot_time(tmp_path) is None
    assert foreign_descriptors_readable(tmp_path) is None
    (tmp_path / "17").mkdir()
    assert process_table(tmp_path) == {}
    (tmp_path / "17/status").write_text("Name:\tx\nTgid:\t17\nPPid:\tmany\n")
    assert process_table(tmp_path) == {}


def test_a_kernel_without_namespaces_in_status_gives_the_number_itself() -> None:
    assert parse_status(9, b"Name:\tx\nTgid:\t9\nPid:\t9\nPPid:\t1\n") == Process(9, 1, None, "x", (9,))


@given(st.binary(max_size=300))
def test_whatever_stands_in_status_is_a_process_or_none(status: bytes) -> None:
    found = parse_status(9, status)
    assert found is None or found.pid == 9


def test_a_read_stops_at_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 20_000)
    assert read(file, 100) == b"x" * 100
    assert read(file, 10_000) == b"x" * 10_000
    assert read(file, 1 << 20) == b"x" * 20_000
    assert read(tmp_path / "missing", 100) is None


def test_the_own_process_and_its_child_are_in_the_table() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        table = process_table()
        boot = boot_time()
        assert boot is not None
        began = started(child.pid, boot)
        child.communicate(b"\n")
    assert table[child.pid].parent == os.getpid()
    assert table[child.pid].session == os.getsid(0)
    assert began is not None
    assert abs(began - time.time_ns()) < 60 * NS


def test_a_process_that_ended_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert child.pid not in process_table()
    assert cgroup_of(child.pid) is None
    assert process_of_thread(child.pid) is None


@pytest.mark.parametrize(
    ("path", "container", "pod"),
    [
        ("/", None, None),
        ("/system.slice/vllm.service", None, None),
        (f"/docker/{ID}", ID, None),
        (f"/system.slice/docker-{ID}.scope", ID, None),
        (f"/machine.slice/libpod-{ID}.scope/container", ID, None),
        (f"/machine.slice/libpod-conmon-{ID}.scope", None, None),
        (f"/kubepods/burstable/pod{UID}/{ID}", ID, UID),
        (f"/kubepods/pod{UID}/{ID}", ID, UID),
        (
            f"/kubepods.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope",
            ID,
            UID,
        ),
        (f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/crio-{ID}.scope/container", ID, UID),
        (f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/crio-conmon-{ID}.scope", None, UID),
        (f"/system.slice/containerd.service/kubepods-pod{UID.replace('-', '_')}.slice:cri-containerd:{ID}", ID, UID),
        (f"/docker/{OTHER}/kubelet/kubepods/besteffort/pod{UID}/{ID}", ID, UID),
        (f"/kubepods/besteffort/pod{ID[:32]}/{OTHER}", OTHER, ID[:32]),
        (f"/../../../kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope", ID, UID),
    ],
)
def test_the_path_of_a_control_group_names_container_and_pod(path: str, container: str | None, pod: str | None) -> None:
    found = parse(f"0::{path}\n")
    assert found is not None
    assert found[:3] == (path, container, pod)


@pytest.mark.parametrize(
    ("path", "job", "step", "unit"),
    [
        ("/slurm/uid_1000/job_42/step_0/task_0", "42", "0", None),
        ("/slurm_node1/uid_1000/job_42/step_batch", "42", "batch", None),
        ("/system.slice/slurmstepd.scope/job_42/step_interactive/user/task_special", "42", "interactive", None),
        ("/system.slice/node1_slurmstepd.scope/job_42/step_extern/user/task_0", "42", "extern", None),
        ("/system.slice/slurmstepd.scope/job_42", "42", None, None),
        ("/system.slice/slurmstepd.scope/system", None, None, "slurmstepd.scope"),
        ("/home/job_42/step_0", None, None, None),
        ("/system.slice/vllm.service", None, None, "vllm.service"),
        ("/system.slice/system-vllm.slice/vllm@llama.service/worker", None, None, "vllm@llama.service"),
        (r"/system.slice/my\x2dengine.service", None, None, r"my\x2dengine.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/run-r17.scope", None, None, "run-r17.scope"),
        ("/user.slice/user-1000.slice/session-3.scope", None, None, "session-3.scope"),
        (f"/system.slice/docker-{ID}.scope", None, None, None),
        (f"/machine.slice/libpod-conmon-{ID}.scope", None, None, None),
        (f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice", None, None, None),
        (f"/system.slice/docker-{ID}.scope/slurm/uid_0/job_42/step_0", "42", "0", None),
    ],
)
def test_the_path_of_a_control_group_names_job_step_and_unit(
    path: str, job: str | None, step: str | None, unit: str | None
) -> None:
    found = named(path)
    assert (found.slurm_job, found.slurm_step, found.unit) == (job, step, unit)


def test_on_v1_the_job_and_the_unit_are_each_in_their_hierarchy() -> None:
    job = parse("4:freezer:/slurm/uid_7/job_42/step_0\n2:memory:/\n1:name=systemd:/system.slice/slurmd.service\n")
    assert job is not None
    assert (job.slurm_job, job.unit) == ("42", None)
    service = parse("4:memory:/system.slice\n1:name=systemd:/system.slice/vllm.service\n0::/\n")
    assert service is not None
    assert service.unit == "vllm.service"
    docker = parse(f"4:memory:/docker/{ID}\n1:name=systemd:/system.slice/docker.service\n")
    assert docker is not None
    assert (docker.container, docker.unit) == (ID, None)


def test_of_the_hierarchies_of_v1_the_one_that_says_most_is_taken() -> None:
    text = f"12:memory:/docker/{ID}\n5:devices:/user.slice/user-1000.slice/session-4.scope/{'x' * 90}\n0::/\n"
    assert parse(text) == Cgroup(f"/docker/{ID}", ID, None)
    assert parse("9:memory:/\n1:name=systemd:/user.slice\n0::/\n") == Cgroup("/user.slice")
    assert parse("") is None


@given(
    st.text(HEX, min_size=64, max_size=64), st.uuids(), st.sampled_from(["_", "-"]), st.text("abcxyz/.", max_size=20)
)
def test_ids_are_found_whatever_stands_around_them(container: str, uid: object, dash: str, around: str) -> None:
    pod = str(uid)
    path = f"/{around}/kubepods-pod{pod.replace('-', dash)}.slice/cri-containerd-{container}.scope"
    found = named(path)
    assert (found.container, found.pod) == (container, pod)


@given(st.text(max_size=200))
def test_any_text_is_a_control_group_or_none(text: str) -> None:
    found = parse(text)
    assert found is None or found.path in text
