# SPDX-License-Identifier: Apache-2.0
"""Real traffic between two network namespaces, with losses and a limit: what the agent in one of them makes of it."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.networks import Side, cable, missing
from tests.agent.running import RunningAgent, Scrape, running
from tests.mock_nvml.control import MockNvml

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
IO = "hw_network_io_bytes_total"
PACKETS = "hw_network_packets_total"
MEBI = 1 << 20
SEGMENT = 1448
"""Bytes of a TCP segment, of an Ethernet's 1500 with time stamps."""


@pytest.fixture
def sides() -> Iterator[tuple[Side, Side]]:
    with cable() as both:
        yield both


@pytest.fixture
def agent(sides: tuple[Side, Side], mock_nvml: MockNvml, tmp_path: Path) -> Iterator[RunningAgent]:
    """Give an agent in the first namespace, whose cable is virtual and therefore asked for by its name."""
    ours, _ = sides
    settings = ["--set", "collectors.nic.include=cable*", "--set", "collectors.nic.interval=200ms"]
    env = mock_nvml.env(keys={"gpus": 1})
    through = ("ip", "netns", "exec", ours.namespace)
    log = tmp_path / "log"
    with running("run", *settings, env=env, log=log, through=through, inside=ours.inside) as agent:
        agent.until(
            lambda scrape: (
                scrape.values(IO) and scrape.values("joulespan_collector_last_success_seconds", collector="nic")
            )
        )
        yield agent


def send(ours: Side, theirs: Side, size: int) -> float:
    """Send bytes over a connection of their own to the other side, until all have come. Returns the seconds it took."""
    server = theirs.inside(lambda: socket.create_server((theirs.address, 0)))
    received = threading.Event()

    def take() -> None:
        connection, _ = server.accept()
        with connection, server:
            while connection.recv(MEBI):
                pass
        received.set()

    threading.Thread(target=take, daemon=True).start()
    started = time.monotonic()

    def give() -> None:
        with socket.create_connection((theirs.address, server.getsockname()[1])) as connection:
            connection.sendall(bytes(size))

    ours.inside(give)
    assert received.wait(120)
    return time.monotonic() - started


def moved(scrape: Scrape, name: str, direction: str) -> float:
    return scrape.value(name, hw_name="cable0", network_io_direction=direction)


def settled(agent: RunningAgent) -> Scrape:
    """Scrape when what is counted stands still."""
    last = agent.scrape()

    def still(scrape: Scrape) -> bool:
        nonlocal last
        before, last = last, scrape
        newer = scrape.value("joulespan_collector_last_success_seconds", collector="nic") > before.value(
            "joulespan_collector_last_success_seconds", collector="nic"
        )
        return newer and moved(scrape, IO, "transmit") == moved(before, IO, "transmit")

    return agent.until(still)


def sent_again(side: Side) -> int:
    """Count the segments that the kernel says it sent again."""
    heads, numbers = [line.split() for line in side.run("cat", "/proc/net/snmp").splitlines() if line[:4] == "Tcp:"]
    return int(numbers[heads.index("RetransSegs")])


def test_the_bytes_and_packets_of_a_transfer_are_counted(agent: RunningAgent, sides: tuple[Side, Side]) -> None:
    before, again = settled(agent), sent_again(sides[0])
    send(*sides, 20 * MEBI)
    after, again = settled(agent), sent_again(sides[0]) - again  # On a machine that is busy there are some.
    sent = moved(after, IO, "transmit") - moved(before, IO, "transmit") - again * (SEGMENT + 66)
    assert 20 * MEBI < sent < 1.08 * 20 * MEBI  # Headers are 66 bytes of 1514.
    packets = moved(after, PACKETS, "transmit") - moved(before, PACKETS, "transmit") - again
    assert 20 * MEBI / SEGMENT <= packets < 1.1 * 20 * MEBI / SEGMENT
    answered = moved(after, IO, "receive") - moved(before, IO, "receive")
    assert 0 < answered < 0.1 * sent


def test_the_cable_is_up_until_the_other_side_takes_its_end_down(agent: RunningAgent, sides: tuple[Side, Side]) -> None:
    _, theirs = sides
    before = agent.until(lambda scrape: scrape.values("hw_network_up", hw_name="cable0") == [1])
    theirs.run("ip", "link", "set", theirs.interface, "down")
    after = agent.until(lambda scrape: scrape.values("hw_network_up", hw_name="cable0") == [0])
    changes = "joulespan_nic_carrier_changes_total"
    assert after.value(changes, hw_name="cable0") == before.value(changes, hw_name="cable0") + 1


def test_an_interface_that_goes_ends_its_series_and_no_other(agent: RunningAgent, sides: tuple[Side, Side]) -> None:
    ours, _ = sides
    ours.run("ip", "link", "add", "cable2", "type", "veth", "peer", "name", "other")
    agent.until(lambda scrape: len(scrape.values(IO, network_io_direction="transmit")) == 2)
    ours.run("ip", "link", "delete", "cable2")
    scrape = agent.until(lambda scrape: len(scrape.values(IO, network_io_direction="transmit")) == 1)
    assert scrape.values(IO, hw_name="cable0", network_io_direction="transmit")
    assert scrape.value("joulespan_collector_success", collector="nic") == 1


def test_a_rate_limit_shows_in_the_rate(agent: RunningAgent, sides: tuple[Side, Side]) -> None:
    ours, _ = sides
    rate, burst = 2 * MEBI, 64 << 10
    limit = ["rate", f"{8 * rate}bit", "burst", str(burst), "latency", "50ms"]
    ours.run("tc", "qdisc", "add", "dev", ours.interface, "root", "tbf", *limit)
    before = settled(agent)
    seconds = send(*sides, 4 * MEBI)
    after = settled(agent)
    sent = moved(after, IO, "transmit") - moved(before, IO, "transmit")
    # A burst goes at once, and the last packets may still be on their way when the last byte is taken.
    assert 4 * MEBI < sent < 1.02 * (rate * seconds + 2 * burst)


def test_lost_packets_are_the_segments_that_are_sent_again(agent: RunningAgent, sides: tuple[Side, Side]) -> None:
    ours, theirs = sides
    rules = (
        "table inet lossy {\nchain input {\ntype filter hook input priority 0;\n"
        "meta l4proto tcp meta length > 1000 numgen inc mod 100 == 0 counter drop\n}\n}\n"
    )
    theirs.run("nft", "-f", "-", text=rules)
    before = settled(agent)
    send(*sides, 10 * MEBI)
    found = re.search(r"counter packets (\d+)", theirs.run("nft", "list", "table", "inet", "lossy"))
    assert found
    lost = int(found[1])
    segments = 10 * MEBI / SEGMENT
    assert 0.009 * segments < lost < 0.015 * segments
    again = "joulespan_tcp_retransmits_total"

    def grown(scrape: Scrape) -> float:
        return scrape.value(again) - before.value(again)

    agent.until(lambda scrape: grown(scrape) >= lost)
    # After a time-out what had come is sent again too, so that it may be more than was lost, but not of another size.
    assert lost <= grown(agent.scrape()) < 8 * lost
    # And it is what the kernel counts, in one place: everything has come, so nothing is sent any more.
    agent.until(lambda scrape: scrape.value(again) == sent_again(ours))
