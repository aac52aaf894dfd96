# SPDX-License-Identifier: Apache-2.0
"""A machine that systemd runs: a container over an overlay of this machine's files, with a network of its own."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
PREFIX = Path("/opt/joulespan")
"""Where the unit expects the agent's virtual environment."""
PYTHON = Path("/opt/joulespan-python")
_BOOT = 20.0
"""Seconds; it takes one."""


class NoMachineError(Exception):
    """None can be started here. The message says why."""


class Machine:
    """A running machine."""

    def __init__(self, files: Path, leader: int) -> None:
        """`files` is its root directory seen from here, `leader` its first process."""
        self.files = files
        self._leader = leader

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in it as root and return what it printed."""
        inside = ["nsenter", "--target", str(self._leader), "--all", *command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=30)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}: {done.stderr}"
        return done.stdout

    def show(self, unit: str, name: str) -> str:
        """Look up a property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into it."""
        place = self.files / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)


@contextmanager
def boot(folder: Path) -> Iterator[Machine]:
    """Start one with this checkout and this Python at PREFIX; `folder` must be empty. Raises NoMachineError."""
    if os.geteuid() != 0:
        reason = "only root can start a container"
        raise NoMachineError(reason)
    if not shutil.which("systemd-nspawn"):
        reason = "systemd-nspawn is missing: apt-get install systemd-container"
        raise NoMachineError(reason)
    with ExitStack() as stack:
        stack.enter_context(_alone())
        files = stack.enter_context(_overlay(folder))
        _install_python(files)
        log = stack.enter_context((folder / "console").open("w"))
        command = [
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
            f"--machine=joulespan-{os.getpid()}",
            f"--directory={files}",
            "--private-network",
            "--console=pipe",
            f"--bind-ro={sys.base_prefix}:{PYTHON}",
            f"--bind-ro={sysconfig.get_path('purelib')}:{_site_packages()}",
            f"--bind-ro={ROOT}:{PREFIX}/source",
            # Device policies are BPF programs, which a container may not load by default, of version 2 control groups.
            "--capability=all",
            "--system-call-filter=bpf",
            "--boot",
            "systemd.unit=sysinit.target",
        ]
        environment = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        nspawn = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            machine = Machine(files, _leader(nspawn, folder / "console"))
            _wait_until_up(machine)
            yield machine
        finally:
            for process in _children(nspawn.pid):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            nspawn.kill()
            nspawn.wait()


@contextmanager
def _alone() -> Iterator[None]:
    """Wait for our turn: containers that no machined registers share a control group."""
    with (Path(tempfile.gettempdir()) / "joulespan-machine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _overlay(folder: Path) -> Iterator[Path]:
    """Mount a copy of this machine's files, kept in memory."""
    layers, files = folder / "layers", folder / "files"
    for place in (layers, files):
        place.mkdir()
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(layers))
    try:
        for name in ("upper", "work"):
            (layers / name).mkdir()
        options = f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work"
        _mount("-t", "overlay", "-o", options, "overlay", str(files))
        try:
            yield files
        finally:
            subprocess.run(["umount", "--lazy", str(files)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(layers)], check=True)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMachineError(done.stderr.strip())


def _site_packages() -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return PREFIX / "lib" / version / "site-packages"


def _install_python(files: Path) -> None:
    """Lay a virtual environment like this process' own, where any user may read it."""
    for place in (PYTHON, _site_packages(), PREFIX / "source", PREFIX / "bin"):
        (files / place.relative_to("/")).mkdir(parents=True)
    prefix = files / PREFIX.relative_to("/")
    (prefix / "pyvenv.cfg").write_text(f"home = {PYTHON}/bin\n")
    (prefix / "bin" / "python").symlink_to(PYTHON / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _leader(nspawn: "subprocess.Popen[bytes]", console: Path) -> int:
    """Wait for the process that is number 1 inside."""
    deadline = time.monotonic() + _BOOT
    while time.monotonic() < deadline and nspawn.poll() is None:
        for child in _children(nspawn.pid):
            if any(line.split()[-1] == "1" for line in _status(child) if line.startswith("NSpid:")):
                return child
        time.sleep(0.05)
    message = f"no container: {console.read_text()}"
    raise AssertionError(message)


def _status(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _wait_until_up(machine: Machine) -> None:
    deadline = time.monotonic() + _BOOT
    while (state := machine.run("systemctl", "is-system-running", check=False).strip()) not in ("running", "degraded"):
        assert time.monotonic() < deadline, f"systemd is {state or 'silent'}"
        time.sleep(0.1)
