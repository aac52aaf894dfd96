# SPDX-License-Identifier: Apache-2.0
"""The agent tells systemd what state it is in, and survives a systemd that does not listen."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.systemd import Notifier

ABSTRACT = f"@joulespan-test-{os.getpid()}"


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where systemd listens, as NOTIFY_SOCKET says it."""
    return ABSTRACT if request.param == "abstract" else str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        listening.settimeout(0)
        yield listening


@pytest.fixture
def notifier(address: str, manager: socket.socket) -> Notifier:
    """A notifier that the manager hears, 5 s after boot."""
    assert manager.fileno() >= 0
    return Notifier({"NOTIFY_SOCKET": address}, lambda: 5_000_000_999)


def heard(manager: socket.socket) -> list[str]:
    """Every message so far."""
    messages = []
    while True:
        try:
            messages.append(manager.recv(8192).decode())
        except BlockingIOError:
            return messages


def test_every_state_reaches_systemd_as_one_message(notifier: Notifier, manager: socket.socket) -> None:
    notifier.status("opening the driver")
    notifier.ready("8 GPUs")
    notifier.watchdog()
    notifier.stopping()
    assert heard(manager) == ["STATUS=opening the driver", "READY=1\nSTATUS=8 GPUs", "WATCHDOG=1", "STOPPING=1"]
    assert notifier.lost == 0


def test_a_reload_carries_the_time_at_which_it_began(notifier: Notifier, manager: socket.socket) -> None:
    notifier.reloading()
    assert heard(manager) == ["RELOADING=1\nMONOTONIC_USEC=5000000"]


def test_a_line_break_in_a_status_does_not_smuggle_in_an_assignment(notifier: Notifier, manager: socket.socket) -> None:
    notifier.status("lost GPU-1\nWATCHDOG=trigger\r\n ")
    assert heard(manager) == ["STATUS=lost GPU-1 WATCHDOG=trigger"]


def test_a_long_status_is_cut_to_what_systemd_accepts(notifier: Notifier, manager: socket.socket) -> None:
    notifier.ready("ü" * 10_000)
    (message,) = heard(manager)
    assert message.startswith("READY=1\nSTATUS=üü")
    assert len(message.encode()) <= 4096


def test_a_status_that_is_no_text_is_sent_all_the_same(notifier: Notifier, manager: socket.socket) -> None:
    notifier.status("gone: \udcff")
    assert heard(manager) == ["STATUS=gone: ?"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_socket_nothing_is_sent_and_nothing_is_lost(environ: dict[str, str]) -> None:
    notifier = Notifier(environ)
    notifier.ready("up")
    notifier.watchdog()
    assert notifier.lost == 0


@pytest.mark.parametrize("name", ["/nowhere/at/all", "@nobody-listens-here", "/" + "x" * 200])
def test_a_message_that_nobody_takes_is_counted_and_does_not_raise(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("up")
    notifier.watchdog()
    assert notifier.lost == 2


def test_a_manager_that_never_reads_costs_messages_and_not_the_agent(
    notifier: Notifier, manager: socket.socket
) -> None:
    while not notifier.lost:
        notifier.watchdog()
    assert heard(manager)[-1] == "WATCHDOG=1"
    notifier.watchdog()
    assert heard(manager) == ["WATCHDOG=1"]


def test_the_watchdog_is_fed_twice_as_often_as_systemd_asks() -> None:
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_interval == 15.0
    assert Notifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_interval == 15.0


def test_a_watchdog_that_is_meant_for_another_process_is_not_ours() -> None:
    assert Notifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getppid())}).watchdog_interval is None


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "1.5", "²"])
def test_a_watchdog_without_a_time_is_none(text: str) -> None:
    assert Notifier({"WATCHDOG_USEC": text}).watchdog_interval is None


def test_a_child_process_inherits_nothing_it_could_speak_with(
    monkeypatch: pytest.MonkeyPatch, address: str, manager: socket.socket
) -> None:
    for name, value in {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid())}.items():
        monkeypatch.setenv(name, value)
    Notifier(os.environ).ready("up")
    program = "import os; print(sorted(name for name in os.environ if name.startswith(('NOTIFY', 'WATCHDOG'))))"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"
    assert heard(manager) == ["READY=1\nSTATUS=up"]
