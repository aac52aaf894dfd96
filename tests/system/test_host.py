# SPDX-License-Identifier: Apache-2.0
"""What the host's files say about its GPUs."""

from pathlib import Path

from agent.system import host


def gpu(root: Path, address: str, status: str, vendor: str = "0x10de", kind: str = "0x030200") -> None:
    folder = root / "sys/bus/pci/devices" / address
    (folder / "power").mkdir(parents=True)
    (folder / "vendor").write_text(vendor + "\n")
    (folder / "class").write_text(kind + "\n")
    (folder / "power/runtime_status").write_text(status + "\n")


def test_gpus_are_asleep_only_when_every_one_is(tmp_path: Path) -> None:
    assert not host.all_asleep(tmp_path)
    gpu(tmp_path, "0000:01:00.0", "suspended")
    gpu(tmp_path, "0000:00:02.0", "active", vendor="0x8086")
    gpu(tmp_path, "0000:01:00.1", "active", kind="0x040300")
    assert host.asleep(tmp_path) == ["0000:01:00.0"]
    assert host.all_asleep(tmp_path)
    gpu(tmp_path, "0000:02:00.0", "active")
    assert not host.all_asleep(tmp_path)


def test_the_kernel_module_says_its_version(tmp_path: Path) -> None:
    assert host.kernel_module(tmp_path) is None
    file = tmp_path / "proc/driver/nvidia/version"
    file.parent.mkdir(parents=True)
    file.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05\nGCC version: 12\n")
    assert "580.95.05" in (host.kernel_module(tmp_path) or "")


def test_device_files_that_are_there_are_listed(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidiactl", "nvidia0", "nvidia1", "nvidia-uvm", "null"):
        (tmp_path / "dev" / name).touch()
    found = host.device_files(tmp_path)
    assert {Path(file).name for file in found} == {"nvidiactl", "nvidia0", "nvidia1"}
    assert all(found.values())


def test_a_container_is_known_by_its_marks(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.containerenv").touch()
    assert host.container(tmp_path) == "podman"
    (tmp_path / ".dockerenv").touch()
    assert host.container(tmp_path) == "docker"
