# SPDX-License-Identifier: Apache-2.0
"""The search for engines: whom it asks, how often, whom never, and what becomes of what it finds."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from agent.clock import FakeClock
from agent.config import Engine
from agent.config_values import PageUrl
from agent.entities import Gpu
from agent.processors.clues import Clues
from agent.processors.kinship import Device
from agent.processors.topology import Placement, Sender
from agent.scraping.page import Place
from agent.scraping.probe import Answered
from agent.scraping.search import MOST, Feeds, Search
from agent.spans import Peer
from agent.system.cgroup import Cgroup
from agent.system.http_client import Target
from agent.system.listening import Listener, Listening
from agent.system.processes import Process
from agent.system.sockets import Owners

GPUS = [Gpu(f"GPU-{index:08x}-1111-2222-3333-444444444444", f"gpu{index}") for index in range(8)]
AGENT = 99


class Machine:
    """A machine of processes that all were started by pid 1, each with ports and its GPU."""

    def __init__(self) -> None:
        self.ports: dict[int, list[int]] = {}
        self.names: dict[int, str] = {}
        self.inodes = 0
        self.looks = 0

    def processes(self) -> Mapping[int, Process]:
        self.looks += 1
        return {pid: Process(pid, 1, pid, "python3", (pid,)) for pid in (1, *self.ports)}

    def cgroup(self, pid: int) -> Cgroup | None:
        return Cgroup(f"/{pid}")

    def started(self, pid: int) -> int | None:  # noqa: ARG002 - a machine's
        return None

    def process_of_thread(self, thread: int) -> int | None:  # noqa: ARG002 - a machine's
        return None

    def socket_inode(self, peer: Peer, pid: int | None = None) -> int | None:  # noqa: ARG002 - a machine's
        return None

    def owners(self, inode: int, pids: Iterable[int]) -> Owners:  # noqa: ARG002 - a machine's
        return Owners(())

    def listening(self, pids: Iterable[int]) -> Listening:
        found = [
            Listener("127.0.0.1", port, self.inodes + port, pid)
            for pid in sorted(pids)
            for port in self.ports.get(pid, ())
        ]
        return Listening(tuple(found))

    def service_name(self, pid: int) -> str | None:
        return self.names.get(pid)

    def addresses(self) -> frozenset[str]:
        return frozenset({"10.0.0.5"})


class Node:
    """A machine, the engines on it by port, and a search that asks them."""

    def __init__(self, *engines: Engine, discover: bool = True) -> None:
        self.machine = Machine()
        self.clock = FakeClock()
        self.holders: dict[int, Sequence[Device]] = {}
        self.senders: list[Sender] = []
        self.news = 0
        self.kinds: dict[int, str] = {}
        self.asked: list[int] = []
        feeds = Feeds(
            lambda: self.holders, lambda: GPUS, lambda _: list(self.senders), lambda: self.news, lambda: {AGENT}
        )
        self.search = Search(self.machine, engines, feeds, self.clock, discover=discover, ask=self.ask)

    async def ask(self, host: str, port: int) -> Answered:
        self.asked.append(port)
        target = Target(host, port)
        return Answered("found", target, self.kinds[port]) if port in self.kinds else Answered("no_engine", target)

    def run(self, pid: int, *ports: int, gpu: int | None = None, kind: str | None = "vllm") -> None:
        """Let a process listen; the last of its ports is an engine's."""
        self.machine.ports[pid] = list(ports)
        if gpu is not None:
            self.holders[pid] = [GPUS[gpu]]
        if kind:
            self.kinds[ports[-1]] = kind

    def look(self) -> dict[str, Place]:
        return {place.name: place for place in asyncio.run(self.search.look()).values()}


def test_an_engine_is_found_with_its_kind_its_gpus_and_a_name() -> None:
    node = Node()
    node.run(10, 8000, gpu=3)
    assert node.look() == {"vllm:8000": Place("vllm:8000", Target("127.0.0.1", 8000), "process", "vllm", (GPUS[3],))}


def test_who_said_no_is_asked_again_after_pauses_that_grow() -> None:
    node = Node()
    node.run(10, 7000, gpu=0, kind=None)
    asked_at = []
    for second in range(0, 1000, 5):
        before = len(node.asked)
        node.look()
        if len(node.asked) > before:
            asked_at.append(second)
        node.clock.advance(5)
    assert asked_at == [0, 15, 45, 105, 225, 465, 945]


def test_a_new_process_on_the_port_is_asked_at_once() -> None:
    node = Node()
    node.run(10, 8000, gpu=0, kind=None)
    node.look()
    node.machine.inodes += 100_000
    node.look()
    assert node.asked == [8000, 8000]


def test_an_engine_that_is_known_is_not_asked_again_nor_its_other_ports() -> None:
    node = Node()
    node.run(10, 9000, 8000, gpu=0)
    node.kinds[8000] = "vllm"
    node.look()
    node.clock.advance(3600)
    node.look()
    assert node.asked.count(8000) == 1
    assert node.asked.count(9000) <= 1


def test_the_agents_own_ports_are_never_asked() -> None:
    node = Node()
    node.run(AGENT, 9840, gpu=0)
    assert node.look() == {}
    assert node.asked == []


def test_an_engine_is_lost_with_its_socket_and_found_when_it_is_back() -> None:
    node = Node()
    node.run(10, 8000, gpu=0)
    assert list(node.look()) == ["vllm:8000"]
    node.machine.ports[10] = []
    assert node.look() == {}
    node.machine.ports[10] = [8000]
    node.machine.inodes += 100_000
    assert list(node.look()) == ["vllm:8000"]


def test_an_engine_stays_with_its_gpus_while_the_driver_hangs() -> None:
    node = Node()
    node.run(10, 8000, gpu=2)
    before = node.look()
    node.holders = {}
    assert node.look() == before


def test_it_is_called_as_its_spans_from_the_first_one_on() -> None:
    node = Node()
    node.run(10, 8000, gpu=0)
    assert list(node.look()) == ["vllm:8000"]
    node.senders = [Sender(Clues(service="chat", pids=(10,)), Placement("chat", (GPUS[0],), "pid"))]
    assert list(node.look()) == ["chat"]
    node.senders = []
    assert list(node.look()) == ["chat"]


def test_two_of_one_name_are_told_apart_and_the_first_keeps_it() -> None:
    node = Node()
    for pid, port in ((11, 8001), (12, 8002)):
        node.run(pid, port, gpu=pid - 10)
        node.machine.names[pid] = "chat"
    assert set(node.look()) == {"chat", "chat:8002"}
    node.run(10, 8000, gpu=0)
    node.machine.names[10] = "chat"
    assert set(node.look()) == {"chat", "chat:8000", "chat:8002"}


def url(text: str) -> PageUrl:
    return PageUrl.parse(text)


def test_what_is_configured_is_there_without_a_search() -> None:
    node = Node(Engine(name="far", metrics_url=url("https://far.example/m"), gpus=("gpu1",)), discover=False)
    node.run(10, 8000, gpu=0)
    assert node.look() == {"far": Place("far", Target("far.example", 443, "/m", "https"), "config", None, (GPUS[1],))}
    assert (node.asked, node.machine.looks, node.search.due()) == ([], 0, False)
    node.clock.advance(10)
    assert node.search.due()


def test_an_engine_that_is_configured_and_found_is_one() -> None:
    for host in ("127.0.0.1", "localhost", "10.0.0.5"):
        node = Node(Engine(name="chat", metrics_url=url(f"http://{host}:8000/metrics")))
        node.run(10, 8000, gpu=0)
        assert {name: place.gpus for name, place in node.look().items()} == {"chat": (GPUS[0],)}


def test_a_configured_name_is_not_given_to_another() -> None:
    node = Node(Engine(name="chat", metrics_url=url("http://far.example/metrics")))
    node.run(10, 8000, gpu=0)
    node.machine.names[10] = "chat"
    found = node.look()
    assert found["chat"].source == "config"
    assert found["chat:8000"].source == "process"


def test_a_look_is_due_at_once_for_a_new_holder_and_soon_for_a_new_sender() -> None:
    node = Node()
    assert node.search.due()
    for _ in range(5):
        node.look()
        node.clock.advance(10)
    node.look()
    node.clock.advance(1)
    assert not node.search.due()
    node.news += 1
    assert not node.search.due()
    node.clock.advance(4)
    assert node.search.due()
    node.look()
    node.run(10, 8000, gpu=0)
    assert node.search.due()


def test_looks_become_rare_where_nothing_changes() -> None:
    node = Node()
    node.run(10, 8000, gpu=0)
    looks = 0
    for _ in range(100):
        if node.search.due():
            node.look()
            looks += 1
        node.clock.advance(1)
    assert looks <= 14


def test_without_holders_and_senders_processes_are_not_read() -> None:
    node = Node()
    node.run(10, 8000)
    node.look()
    assert node.machine.looks == 0


def test_so_many_ports_are_asked_in_one_look_and_so_many_engines_scraped() -> None:
    node = Node()
    for number in range(200):
        node.run(1000 + number, 8000 + number, gpu=0)
    first = node.look()
    assert len(node.asked) == len(first) == MOST
    node.look()
    assert len(node.asked) == 2 * 64
    assert len(node.look()) == MOST
    for _ in range(3):
        node.look()
    assert node.search.dropped == 200 - MOST
