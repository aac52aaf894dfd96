# SPDX-License-Identifier: Apache-2.0
"""What of this host decides whether its GPUs can be read: device files, kernel module, container, rights."""

import os
from pathlib import Path

ROOT = Path("/")
_DISPLAY_CLASSES = ("0x0300", "0x0302")
_NVIDIA = "0x10de"


def kernel_module(root: Path = ROOT) -> str | None:
    """Read the first line the loaded NVIDIA kernel module says of itself; None when it is not loaded."""
    try:
        return (root / "proc/driver/nvidia/version").read_text("utf-8", "replace").splitlines()[0]
    except (OSError, IndexError):
        return None


def nvidia_pci_functions(root: Path = ROOT) -> list[Path]:
    """List the PCI functions that are NVIDIA GPUs, whether a driver has them or not."""
    return [
        device
        for device in sorted((root / "sys/bus/pci/devices").glob("*"))
        if _read(device / "vendor") == _NVIDIA and _read(device / "class")[:6] in _DISPLAY_CLASSES
    ]


def asleep(root: Path = ROOT) -> list[str]:
    """List the GPUs that runtime power management has put to sleep. Reading one through NVML would wake it."""
    return [
        device.name for device in nvidia_pci_functions(root) if _read(device / "power/runtime_status") == "suspended"
    ]


def all_asleep(root: Path = ROOT) -> bool:
    """Say whether there are GPUs and every one of them is asleep."""
    functions = nvidia_pci_functions(root)
    return bool(functions) and len(asleep(root)) == len(functions)


def device_files(root: Path = ROOT) -> dict[str, bool]:
    """Say for each NVIDIA device file that NVML needs whether this process may open it."""
    files = [root / "dev/nvidiactl", *sorted((root / "dev").glob("nvidia[0-9]*"))]
    return {str(file): os.access(file, os.R_OK | os.W_OK) for file in files if file.exists()}


def container(root: Path = ROOT) -> str | None:
    """Name the kind of container this process runs in; None on a host."""
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    return None


def kernel_log_readable(root: Path = ROOT) -> bool:
    """Say whether the kernel log may be read."""
    return os.access(root / "dev/kmsg", os.R_OK)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
