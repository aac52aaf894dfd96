# SPDX-License-Identifier: Apache-2.0
"""Which ports may be engines', and what engines are called, on machines as /proc shows them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.engine import ITERATIONS, KV_CACHE_UTILIZATION, REQUESTS_RUNNING, TOKENS
from agent.clock import NS
from agent.config import Engine
from agent.entities import Engine as EngineEntity
from agent.entities import EngineModel, EngineTokens, Gpu
from agent.metric import Sample, Series
from agent.processors.clues import Clues
from agent.processors.discovery import Candidate, Senders, Survey, name_of, survey, unique_names
from agent.processors.engine_totals import EngineTotals
from agent.processors.kinship import Device, Kinship
from agent.processors.pauses import Pauses
from agent.processors.topology import Placement, Sender
from agent.spans import Peer
from agent.system.listening import Listener, Listening
from agent.system.machine import LocalMachine
from agent.system.sockets import Owners

FIXTURES = Path(__file__).parents[1] / "fixtures"
GPUS = [Gpu(f"GPU-{index:08x}-1111-2222-3333-444444444444", f"gpu{index}") for index in range(4)]
FRONT, SHELL_CHILD = Peer("127.0.0.1", 41010, 4317), Peer("127.0.0.1", 41085, 4318)


class Node(LocalMachine):
    """A machine of a fixture tree on which these processes listen on these ports. It counts its searches."""

    def __init__(self, tree: str, ports: Mapping[int, Sequence[int]]) -> None:
        super().__init__(FIXTURES / f"proc-{tree}")
        self.ports = ports
        self.searched = 0

    def listening(self, pids: Iterable[int]) -> Listening:
        found = [Listener("127.0.0.1", port, port, pid) for pid in sorted(pids) for port in self.ports.get(pid, ())]
        return Listening(tuple(found))

    def owners(self, inode: int, pids: Iterable[int]) -> Owners:
        self.searched += 1
        return super().owners(inode, pids)


def look(
    node: Node, holders: Mapping[int, Sequence[Device]], senders: Sequence[Sender] = (), known: Sequence[int] = ()
) -> Survey:
    kinship = Kinship(node, holders, GPUS)
    sent = Senders().processes(senders, kinship)
    return survey(node, kinship, sent, [sender.placement for sender in senders], known)


def ports(found: Survey) -> dict[int, tuple[tuple[Device, ...], str | None]]:
    return {one.listener.port: (one.gpus, one.placed) for one in found.candidates}


def dynamo() -> Node:
    every = {640: [22], 700: [7000], 710: [8000], 720: [8001], 800: [9000], 850: [5000]}
    return Node("dynamo", every)


HOLDERS: Mapping[int, Sequence[Device]] = {731: [GPUS[0]], 810: [GPUS[1]]}


def test_the_ports_of_processes_that_lead_to_gpus_are_candidates_and_no_others() -> None:
    found = ports(look(dynamo(), HOLDERS))
    assert {port: gpus for port, (gpus, _) in found.items()} == {
        7000: (GPUS[0],),
        8000: (GPUS[0],),
        8001: (GPUS[0],),
        9000: (GPUS[1],),
    }


def test_without_gpus_and_senders_there_is_nothing_to_ask() -> None:
    assert look(dynamo(), {}) == Survey()


def test_who_sends_spans_is_a_candidate_without_a_gpu_too() -> None:
    sender = Sender(Clues(SHELL_CHILD, "gateway"), Placement("gateway", reason="no_gpu_held"))
    assert ports(look(dynamo(), {}, [sender])) == {5000: ((), "gateway")}


def test_a_sender_is_called_as_its_spans_and_its_kin_as_those_of_their_gpus() -> None:
    senders = [
        Sender(Clues(FRONT, "front"), Placement("front", reason="no_gpu_held")),
        Sender(Clues(service="worker", pids=(731,)), Placement("worker", (GPUS[0],), "pid")),
        Sender(Clues(service="lone", pids=(810,)), Placement("lone", (GPUS[1],), "pid")),
    ]
    found = ports(look(dynamo(), HOLDERS, senders))
    assert {port: name for port, (_, name) in found.items()} == {
        # The launcher of both has no name of its own: its children do not agree, and the GPU is the worker's.
        7000: "worker",
        8000: "front",
        8001: "worker",
        9000: "lone",
    }


def test_two_engines_on_one_gpu_are_called_by_their_own_processes() -> None:
    node = Node("two-engines", {2100: [8000], 3100: [8001]})
    senders = [
        Sender(Clues(Peer("127.0.0.1", port, 4317), name), Placement(name, (GPUS[0],), "socket"))
        for name, port in (("a", 42000), ("b", 43000))
    ]
    holders = {2110: [GPUS[0]], 3110: [GPUS[0]]}
    assert ports(look(node, holders, senders)) == {8000: ((GPUS[0],), "a"), 8001: ((GPUS[0],), "b")}


def test_names_that_do_not_agree_are_none() -> None:
    node = Node("two-engines", {2100: [8000]})
    senders = [Sender(Clues(service=name), Placement(name, (GPUS[0],), "attribute")) for name in "ab"]
    assert ports(look(node, {2110: [GPUS[0]]}, senders)) == {8000: ((GPUS[0],), None)}


def test_exactly_the_same_gpus_tell_more_than_some_of_them() -> None:
    node = Node("two-engines", {2100: [8000]})
    senders = [
        Sender(Clues(service="mine"), Placement("mine", (GPUS[0],), "attribute")),
        Sender(Clues(service="wide"), Placement("wide", (GPUS[0], GPUS[1]), "attribute")),
    ]
    assert ports(look(node, {2110: [GPUS[0]]}, senders))[8000][1] == "mine"


def test_a_number_that_somebody_elsewhere_names_is_no_process_of_ours() -> None:
    far = Clues(Peer("10.9.9.9", 40000, 4317), "far", pids=(850,))
    assert ports(look(dynamo(), {}, [Sender(far, Placement("far", reason="remote"))])) == {}


def test_a_number_that_two_processes_have_is_nobodys() -> None:
    node = Node("two-engines", {2100: [8000], 3100: [8001]})
    clues = Clues(service="x", pids=(7,))
    assert ports(look(node, {}, [Sender(clues, Placement("x", (GPUS[0],), "pid"))])) == {}


def test_an_engine_that_is_known_stays_while_no_gpu_can_be_read() -> None:
    assert ports(look(dynamo(), {}, known=[800])) == {9000: ((), None)}


def test_a_sender_is_searched_for_once_and_a_bounded_number_at_a_time() -> None:
    node, known = dynamo(), Senders()
    senders = [Sender(Clues(SHELL_CHILD), Placement("a"))]
    for _ in range(3):
        known.processes(senders, Kinship(node, {}, GPUS))
    assert node.searched == 2  # Among the relatives of GPUs, and among all.
    many = [Sender(Clues(Peer("127.0.0.1", port, 4317)), Placement("a")) for port in range(1000, 5000)]
    node.searched = 0
    known.processes([*many, *senders], Kinship(node, {}, GPUS))
    assert node.searched <= 2 * 16


def test_a_port_of_both_families_is_one() -> None:
    node = dynamo()
    both = (Listener("::1", 8000, 1, 710), Listener("127.0.0.1", 8000, 2, 710))

    class Both(Node):
        def listening(self, pids: Iterable[int]) -> Listening:
            assert pids
            return Listening(both, 3)

    found = look(Both("dynamo", node.ports), HOLDERS)
    assert [one.listener.host for one in found.candidates] == ["127.0.0.1"]
    assert found.refused == 3


def candidate(placed: str | None = None, gpus: tuple[Device, ...] = (GPUS[0],)) -> Candidate:
    return Candidate(Listener("127.0.0.1", 8000, 1, 2), gpus, placed)


@pytest.mark.parametrize(
    ("engines", "placed", "service", "name"),
    [
        ([], None, None, "vllm:8000"),
        ([], None, "env", "env"),
        ([], "spans", "env", "spans"),
        ([Engine(name="conf", service_name="env")], "spans", "env", "conf"),
        ([Engine(name="conf", gpus=(GPUS[0].id,))], "spans", "env", "conf"),
        ([Engine(name="conf", gpus=("gpu0", "gpu1"))], "spans", "env", "spans"),
        ([Engine(name="env")], None, "env", "env"),
    ],
    ids=["port", "environment", "spans", "service", "gpus", "other gpus", "name is service"],
)
def test_the_configuration_then_the_spans_then_the_environment_name_an_engine(
    engines: list[Engine], placed: str | None, service: str | None, name: str
) -> None:
    assert name_of(candidate(placed), "vllm", service, engines) == name


URLS = [f"http://127.0.0.1:{port}/metrics" for port in (8000, 8001)] + ["http://[::1]:8000/metrics"]


def test_who_had_a_name_keeps_it_and_the_other_gets_its_port() -> None:
    wanted = dict.fromkeys(URLS[:2], "chat")
    assert unique_names(wanted, {}) == {URLS[0]: "chat", URLS[1]: "chat:8001"}
    assert unique_names(wanted, {URLS[1]: "chat"}) == {URLS[0]: "chat:8000", URLS[1]: "chat"}


def test_what_is_configured_comes_before_what_was_there() -> None:
    wanted = dict.fromkeys(URLS[:2], "chat")
    assert unique_names(wanted, {URLS[0]: "chat"}, URLS[1:2]) == {URLS[0]: "chat:8000", URLS[1]: "chat"}


@given(st.dictionaries(st.sampled_from(URLS), st.sampled_from(["a", "a:8000", "b"])), st.data())
def test_no_two_engines_share_a_name_and_names_stay(wanted: dict[str, str], data: st.DataObject) -> None:
    first = unique_names(wanted, {})
    assert len(set(first.values())) == len(wanted)
    assert unique_names(wanted, first) == first
    left = data.draw(st.sets(st.sampled_from(sorted(wanted)))) if wanted else set()
    again = unique_names({url: wanted[url] for url in left}, first)
    assert all(again[url] == first[url] for url in left if first[url] == wanted[url])


def test_each_no_is_followed_by_a_longer_pause() -> None:
    pauses: Pauses[str] = Pauses(15, 60)
    now, asked = 0, []
    for second in range(300):
        now = second * NS
        if pauses.due("port", now):
            asked.append(second)
            pauses.no("port", now)
    assert asked == [0, 15, 45, 105, 165, 225, 285]
    assert pauses.due("other", now)
    pauses.keep(["other"])
    assert pauses.due("port", now)


def tokens(value: float, rank: str | None, model: str = "m") -> Sample:
    return TOKENS(EngineTokens("chat", model, "output", rank), value)


def row(totals: EngineTotals, samples: Sequence[Sample]) -> tuple[tuple[Series, ...], list[float | None]]:
    return totals.row(tuple(one.series for one in samples), [one.value for one in samples])


def test_ranks_are_added_up_under_the_entities_of_the_contract() -> None:
    totals = EngineTotals()
    found = [
        tokens(3, "0"),
        tokens(4, "1"),
        ITERATIONS(EngineEntity("chat", "0"), 5),
        ITERATIONS(EngineEntity("chat", "1"), 6),
        KV_CACHE_UTILIZATION(EngineModel("chat", "m", "0"), 0.5),
    ]
    series, values = row(totals, found)
    assert [one.entity for one in series] == [EngineTokens("chat", "m", "output"), EngineEntity("chat")]
    assert [one.metric for one in series] == [TOKENS, ITERATIONS]
    assert values == [7, 11]


def test_one_rank_is_passed_on_as_it_is() -> None:
    running = REQUESTS_RUNNING(EngineModel("chat", "m"), 2)
    assert row(EngineTotals(), [running]) == ((running.series,), [2])


def test_a_series_that_is_away_keeps_its_place_and_is_absent() -> None:
    totals = EngineTotals()
    before, _ = row(totals, [tokens(1, None), tokens(2, None, "n")])
    after, values = row(totals, [tokens(3, None, "n")])
    assert after is before
    assert values == [None, 3]


def test_models_without_end_are_counted_and_left_out() -> None:
    totals = EngineTotals()
    series, _ = row(totals, [tokens(1, None, str(number)) for number in range(300)])
    assert (len(series), totals.dropped) == (256, 44)


def test_what_is_no_number_is_not_added_up() -> None:
    totals = EngineTotals()
    layout = tuple(tokens(0, rank).series for rank in "01")
    series, values = totals.row(layout, [3, None])
    assert (len(series), values) == (1, [3])
    assert totals.row(layout, [None, None])[1] == [None]
