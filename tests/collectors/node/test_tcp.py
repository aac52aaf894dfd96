# SPDX-License-Identifier: Apache-2.0
"""TCP's counters, from trees like the kernel's, and of the machine that runs the tests."""

import socket
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.collectors.node import Node
from agent.collectors.node.tcp import COLLECTOR, Unwrapped
from agent.config import TcpCollector
from agent.errors import Unavailable
from agent.metric import Sample
from agent.snapshot import EMPTY
from tests.collectors.node.bench import FIXTURES, Bench, copied, lines

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("tree", ["hgx", "vm"])
def test_tcp_reads_as_the_golden_file_says(tree: str) -> None:
    made = Bench(COLLECTOR, FIXTURES / f"proc-host-{tree}")
    found = [f"{series} {value!r}" for series, value in made.lines().items()]
    assert made.failures == []
    golden = GOLDEN / f"tcp-{tree}.txt"
    if not golden.exists():
        golden.write_text("\n".join(found) + "\n")
        pytest.fail(f"{golden.name} was missing and has been written: read it, and run again")
    assert found == golden.read_text().splitlines()


@pytest.mark.parametrize(
    ("file", "lost", "kept"),
    [
        ("snmp", "joulespan.tcp.retransmits{}", "joulespan.softnet.dropped{}"),
        ("sockstat", "time_wait", "joulespan.tcp.retransmits{}"),
        ("softnet_stat", "joulespan.softnet", "joulespan.ip.ecn.packets{ecn=ce}"),
    ],
)
def test_one_broken_file_costs_its_own_series(file: str, lost: str, kept: str, tmp_path: Path) -> None:
    root = copied("proc-host-hgx", tmp_path)
    (root / f"proc/net/{file}").write_bytes(b"Tcp: nonsense\nTcp: zz\n\xff\n")
    made = Bench(COLLECTOR, root)
    found = made.lines()
    assert not any(lost in series for series in found)
    assert kept in found
    assert all(isinstance(error, Unavailable) for error in made.failures)


def test_without_ipv6_the_marks_of_ipv4_are_told(tmp_path: Path) -> None:
    root = copied("proc-host-hgx", tmp_path)
    assert Bench(COLLECTOR, root).lines()["joulespan.ip.ecn.packets{ecn=ce}"] == 200
    (root / "proc/net/snmp6").unlink()
    made = Bench(COLLECTOR, root)
    assert made.lines()["joulespan.ip.ecn.packets{ecn=ce}"] == 150
    assert made.failures == []


def test_a_counter_of_32_bits_that_wraps_goes_on() -> None:
    counter = Unwrapped()
    assert counter.take([(1 << 32) - 2, 7]) == (1 << 32) + 5
    assert counter.take([3, 7]) == (1 << 32) + 10
    assert counter.take([3, 7, 1]) == 11  # A CPU more: it begins again.


def test_a_connection_of_this_machine_is_counted() -> None:
    failures: list[Exception] = []
    read = COLLECTOR.open(Node(TcpCollector(), SystemClock(), lambda: EMPTY, failures.append))

    def now() -> dict[str, float]:
        return lines([one for one in read() if isinstance(one, Sample)])

    before = now()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]) as client:
        accepted, _ = server.accept()
        client.sendall(b"x")
        assert accepted.recv(1) == b"x"
        accepted.close()
        after = now()
    assert failures == []
    for event in ("active_open", "passive_open"):
        series = f"joulespan.tcp.connections{{event={event}}}"
        assert after[series] - before[series] >= 1
    assert after["joulespan.tcp.segments{network.io.direction=transmit}"] >= (
        before["joulespan.tcp.segments{network.io.direction=transmit}"] + 3
    )
