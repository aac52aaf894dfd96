# SPDX-License-Identifier: Apache-2.0
"""Which engine and which GPUs served a request, on machines as /proc shows them."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.catalogue.gpu import MIG_PROCESS_MEMORY, PROCESS_COUNT, PROCESS_MEMORY
from agent.catalogue.owners import GPU_OWNER
from agent.clock import NS
from agent.config import Engine
from agent.entities import Gpu, GpuProcess, MigInstance, MigProcess
from agent.otlp.values import Value
from agent.owner_entities import GpuOwner, Owner
from agent.processors.kinship import CONNECTIONS, Device
from agent.processors.owner_lookup import Labelled, OwnerLookup
from agent.processors.topology import REMEMBERED, Placement, Topology, engine_name, gpu_called, gpus_of, holders_of
from agent.requests import Request
from agent.snapshot import Snapshots
from agent.snapshot import Source as BatchSource
from agent.spans import Peer, Source, Span
from agent.system.machine import LocalMachine
from agent.system.processes import Process
from agent.system.sockets import Owners

FIXTURES = Path(__file__).parents[1] / "fixtures"
GPUS = [Gpu(f"GPU-{index:08x}-1111-2222-3333-444444444444", f"gpu{index}") for index in range(12)]
MIG = MigInstance("MIG-0000000a-1111-2222-3333-444444444444", "gpu0/1g.10gb.0", GPUS[0].id)
BOOT = 1_795_500_000 * NS
ENDED = BOOT + 7200 * NS
CONTAINER = "3f6a1c0e9b7d4825a1f0c6e2d8b4907735cc1e0f2a9b8d7c6e5f403122334455"
POD = "8d0fdb5c-6f0e-4b43-9d2c-0c1f4b7f6a10"


def request(
    resource: Mapping[str, Value] | None = None,
    peer: Peer | None = None,
    *,
    span: Mapping[str, str] | None = None,
    pids: tuple[int, ...] = (),
    gpus: tuple[str, ...] = (),
    ended: int = ENDED,
) -> Request:
    pairs = [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in (span or {}).items()]
    source = Source({"service.name": "chat"} if resource is None else resource, peer)
    message = SpanMessage(name="llm_request", attributes=pairs)
    return Request(span=Span(message, source, "vllm"), dialect="vllm", arrival=0, end=ended, pids=pids, gpus=gpus)


class Node(LocalMachine):
    """A machine of a fixture tree, and what its GPUs say of processes. It counts how often it is read."""

    def __init__(self, tree: str, holders: Mapping[int, Sequence[Device]], engines: Sequence[Engine] = ()) -> None:
        super().__init__(FIXTURES / f"proc-{tree}")
        self.readings = self.lookups = 0
        self.blind = False
        self.topology = Topology(engines, self, lambda: holders, lambda: GPUS)
        self.now = 1_000 * NS

    def place(self, *args: Mapping[str, Value] | Peer | None, **kwargs: object) -> Placement:
        return self.topology.place(request(*args, **kwargs), self.now)  # type: ignore[arg-type]

    def processes(self) -> dict[int, Process]:
        self.readings += 1
        return super().processes()

    def socket_inode(self, peer: Peer, pid: int | None = None) -> int | None:
        self.lookups += 1
        return super().socket_inode(peer, pid)

    def owners(self, inode: int, pids: Iterable[int]) -> Owners:
        return Owners((), len(list(pids))) if self.blind else super().owners(inode, pids)


def vllm() -> Node:
    return Node("vllm-tp2", {28333: [GPUS[0]], 28334: [GPUS[1]]})


POD_PEER = Peer("10.244.1.7", 40222, 4317)


def test_the_api_server_of_a_container_leads_to_all_gpus_of_its_workers() -> None:
    placed = vllm().place({"service.name": "chat", "container.id": CONTAINER}, pids=(1,))
    assert placed == Placement("chat", (GPUS[0], GPUS[1]), "pid")


def test_a_worker_that_is_named_leads_to_its_own_gpu_only() -> None:
    assert vllm().place(pids=(156,)) == Placement("chat", (GPUS[1],), "pid")
    assert vllm().place(pids=(118, 155)) == Placement("chat", (GPUS[0],), "pid")


def test_a_number_that_several_containers_use_is_ambiguous() -> None:
    assert vllm().place(pids=(1,)) == Placement("chat", reason="ambiguous")


def test_the_connection_decides_between_containers() -> None:
    assert vllm().place(None, POD_PEER, pids=(1,)) == Placement("chat", (GPUS[0], GPUS[1]), "pid")
    other = vllm().place(None, Peer("10.244.1.9", 40333, 4317), pids=(1,))
    assert other == Placement("chat", reason="remote")  # No GPU is held in that pod: it is not looked into.


def test_a_short_or_prefixed_container_id_is_the_same_container() -> None:
    for told in (CONTAINER[:12], f"containerd://{CONTAINER}", CONTAINER.upper()):
        assert vllm().place({"container.id": told}, pids=(1,)).gpus == (GPUS[0], GPUS[1])
    assert vllm().place({"container.id": CONTAINER[:4]}, pids=(1,)).reason == "no_gpu_held"


def test_a_container_or_pod_is_enough() -> None:
    both = (GPUS[0], GPUS[1])
    assert vllm().place({"container.id": CONTAINER}) == Placement("vllm", both, "container")
    assert vllm().place({"k8s.pod.uid": POD}) == Placement("vllm", both, "pod")
    assert vllm().place({"k8s.pod.uid": POD[:-1] + "1"}) == Placement("vllm", reason="no_gpu_held")


def test_the_pod_at_the_other_end_of_a_connection_is_found_in_its_own_network() -> None:
    assert vllm().place(None, POD_PEER) == Placement("chat", (GPUS[0], GPUS[1]), "socket")


def test_without_the_right_to_look_into_processes_the_network_still_tells_the_pod() -> None:
    node = vllm()
    node.blind = True
    assert node.place(None, POD_PEER) == Placement("chat", (GPUS[0], GPUS[1]), "pod")
    assert node.place(None, POD_PEER, pids=(1,)) == Placement("chat", (GPUS[0], GPUS[1]), "pid")


def test_a_span_from_elsewhere_is_not_taken_for_a_local_process_of_the_same_number() -> None:
    away = Peer("10.9.9.9", 40222, 4317)
    assert vllm().place(None, away, pids=(118,)) == Placement("chat", reason="remote")
    assert vllm().place({"container.id": "f" * 64}, away, pids=(118,)).reason == "remote"
    relayed = vllm().place({"container.id": CONTAINER}, away, pids=(118,))
    assert relayed == Placement("vllm", (GPUS[0], GPUS[1]), "pid")


def test_a_process_that_is_in_another_container_than_the_span_says_is_not_the_one() -> None:
    assert vllm().place({"container.id": "f" * 64}, pids=(118,)) == Placement("vllm", reason="no_gpu_held")


def sglang() -> Node:
    return Node("sglang", {5101: [GPUS[2]], 5102: [GPUS[3]]})


def test_a_thread_leads_to_its_process() -> None:
    assert sglang().place(pids=(5177,)) == Placement("chat", (GPUS[2],), "pid")


def test_schedulers_that_are_named_tell_the_gpus() -> None:
    assert sglang().place(pids=(5000, 5102)).gpus == (GPUS[3],)
    assert sglang().place(pids=(5000, 5101, 5102)).gpus == (GPUS[2], GPUS[3])


def test_a_sibling_of_the_schedulers_leads_to_their_gpus() -> None:
    assert sglang().place(pids=(5150,)) == Placement("chat", (GPUS[2], GPUS[3]), "pid")


def test_the_process_ids_of_the_resource_count_too() -> None:
    for key in ("process.pid", "vllm.process_id"):
        assert sglang().place({key: 5000}).gpus == (GPUS[2], GPUS[3])
    assert sglang().place({"process.pid": True}).reason == "no_process_id"


def dynamo() -> Node:
    return Node("dynamo", {731: [GPUS[0]], 810: [GPUS[1]]})


def test_a_front_end_leads_to_the_workers_under_the_same_launcher_and_no_further() -> None:
    assert dynamo().place(None, Peer("127.0.0.1", 41010, 4317)) == Placement("chat", (GPUS[0],), "socket")
    assert dynamo().place(None, Peer("127.0.0.1", 41080, 4317)) == Placement("chat", (GPUS[1],), "socket")


def test_what_was_started_by_the_same_shell_has_nothing_in_common() -> None:
    assert dynamo().place(None, Peer("127.0.0.1", 41085, 4318)) == Placement("chat", reason="no_gpu_held")
    assert dynamo().place(pids=(850,)) == Placement("chat", reason="no_gpu_held")


def test_processes_that_may_not_be_looked_into_are_said_to_be_the_reason() -> None:
    node = dynamo()
    node.blind = True
    assert node.place(None, Peer("127.0.0.1", 41010, 4317)) == Placement("chat", reason="not_permitted")
    assert node.place(None, Peer("127.0.0.1", 41010, 4317), pids=(710,)).gpus == (GPUS[0],)


def test_a_connection_that_is_closed_tells_nothing() -> None:
    assert dynamo().place(None, Peer("127.0.0.1", 40000, 4317)) == Placement("chat", reason="no_process_id")
    assert dynamo().place() == Placement("chat", reason="no_process_id")


def test_two_engines_on_one_gpu_both_get_it() -> None:
    node = Node("two-engines", {2110: [GPUS[0]], 3110: [GPUS[0]]})
    for name, port in (("a", 42000), ("b", 43000)):
        placed = node.place({"service.name": name}, Peer("127.0.0.1", port, 4317))
        assert placed == Placement(name, (GPUS[0],), "socket")
    assert node.place({"service.name": "c"}, pids=(7,)) == Placement("c", (GPUS[0],), "pid")


def test_engines_of_the_same_numbers_on_two_gpus_are_told_apart_by_their_connections() -> None:
    node = Node("two-engines", {2110: [GPUS[0]], 3110: [GPUS[1]]})
    assert node.place(pids=(7,)).reason == "ambiguous"
    assert node.place(None, Peer("127.0.0.1", 42000, 4317), pids=(7,)) == Placement("chat", (GPUS[0],), "pid")
    assert node.place(None, Peer("127.0.0.1", 43000, 4317), pids=(30,)) == Placement("chat", (GPUS[1],), "pid")


def test_a_process_that_began_after_the_request_is_another_one() -> None:
    node = Node("reused", {4300: [GPUS[0]]})
    began = BOOT + 3600 * NS
    assert node.place(pids=(4242,), ended=began - 60 * NS) == Placement("chat", reason="process_gone")
    node.now += 6 * NS
    assert node.place(pids=(4242,), ended=began + 60 * NS) == Placement("chat", (GPUS[0],), "pid")


def test_a_process_that_is_not_there_is_gone() -> None:
    assert dynamo().place(pids=(99,)) == Placement("chat", reason="process_gone")


def test_an_instance_of_a_gpu_is_the_place_and_not_the_gpu() -> None:
    node = Node("reused", {4300: [MIG]})
    assert node.place(pids=(4242,)) == Placement("chat", (MIG,), "pid")


def test_the_configuration_comes_first() -> None:
    engines = [
        Engine(name="prod", service_name="chat", gpus=(GPUS[5].id, 3, GPUS[4].id[:12])),
        Engine(name="embed"),
        Engine(name="typo", gpus=("GPU-ffffffff",)),
    ]
    node = Node("dynamo", {731: [GPUS[0]]}, engines)
    assert node.place(pids=(731,)) == Placement("prod", (GPUS[5], GPUS[3], GPUS[4]), "config")
    assert node.place({"service.name": "embed"}, pids=(731,)) == Placement("embed", (GPUS[0],), "pid")
    assert node.place({"service.name": "typo"}, pids=(731,)) == Placement("typo", reason="unknown_gpu")


@pytest.mark.parametrize(
    "resource",
    [
        {"gpu.uuid": GPUS[1].id},
        {"gpu.uuids": [GPUS[1].id]},
        {"hw.id": GPUS[1].id.upper()},
        {"nvidia.gpu.uuid": GPUS[1].id.removeprefix("GPU-")},
        {"CUDA_VISIBLE_DEVICES": GPUS[1].id[:12]},
        {"cuda.visible_devices": f"{GPUS[1].id}, {GPUS[1].id}"},
    ],
)
def test_gpus_in_the_resource_come_before_processes(resource: Mapping[str, Value]) -> None:
    assert dynamo().place(resource, pids=(731,)) == Placement("vllm", (GPUS[1],), "attribute")


def test_gpus_in_the_span_are_of_that_span() -> None:
    node = dynamo()
    assert node.place(span={"gpu.uuid": GPUS[4].id}).gpus == (GPUS[4],)
    assert node.place(span={"gpu.uuid": GPUS[5].id}).gpus == (GPUS[5],)
    assert node.place(gpus=(GPUS[6].id,)).gpus == (GPUS[6],)
    assert node.place(pids=(731,)).gpus == (GPUS[0],)


def test_indices_in_attributes_are_not_trusted() -> None:
    assert dynamo().place({"CUDA_VISIBLE_DEVICES": "1"}, pids=(731,)) == Placement("vllm", (GPUS[0],), "pid")


def test_gpus_of_another_node_are_not_replaced_by_ours() -> None:
    told = {"gpu.uuid": "GPU-99999999-1111-2222-3333-444444444444"}
    assert dynamo().place(told, pids=(731,)) == Placement("vllm", reason="unknown_gpu")


def test_a_node_without_gpus_says_so_and_reads_no_processes() -> None:
    machine = Node("dynamo", {})
    topology = Topology((), machine, dict, list)
    assert topology.place(request(pids=(731,)), 0) == Placement("chat", reason="no_gpus")
    assert machine.readings == 0


def test_an_engine_has_the_name_of_its_service_or_its_kind() -> None:
    assert engine_name("chat", "vllm") == "chat"
    assert engine_name("unknown_service:python3", "vllm") == "vllm"
    assert engine_name(None, "sglang") == "sglang"
    assert dynamo().place({"service.name": ["chat"]}).engine == "vllm"


def test_a_gpu_is_called_in_many_ways() -> None:
    few: list[Device] = [GPUS[1], GPUS[10], MIG]
    for word in (1, "1", "01", "gpu1", GPUS[1].id, GPUS[1].id.lower(), GPUS[1].id[4:], "GPU-00000001", "00000001"):
        assert gpu_called(word, few) == GPUS[1]
    assert gpu_called("MIG-0000000a", few) == MIG
    for word in (0, "", "GPU-", "GPU-0000", "0000", "-1"):
        assert gpu_called(word, few) is None
    assert gpu_called("GPU-0000000", [GPUS[0], GPUS[1]]) is None


def test_what_is_known_is_not_asked_again_for_half_a_minute() -> None:
    node = dynamo()
    peer = Peer("127.0.0.1", 41010, 4317)
    for _ in range(3):
        assert node.place(None, peer).gpus
        node.now += 9 * NS
    assert (node.readings, node.lookups) == (1, 1)
    node.now += 9 * NS
    assert node.place(None, peer).gpus
    assert (node.readings, node.lookups) == (2, 2)


def test_what_is_not_known_is_asked_again_after_five_seconds() -> None:
    held: dict[int, list[Device]] = {}
    node = Node("dynamo", held)
    assert node.place(pids=(720,)).reason == "no_gpu_held"
    held[731] = [GPUS[0]]
    assert node.place(pids=(720,)).reason == "no_gpu_held"
    node.now += 5 * NS
    assert node.place(pids=(720,)).gpus == (GPUS[0],)


SERVER = """
import socket, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(f"{worker.pid}\\n".encode())
    input()
worker.communicate(b"\\n")
"""


def test_a_process_that_connects_leads_to_the_gpu_of_its_child() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-c", SERVER, str(port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
            connection, (host, theirs) = listener.accept()
            with connection, connection.makefile() as said:
                worker = int(said.readline())
                topology = Topology((), LocalMachine(), lambda: {worker: [GPUS[3]]}, lambda: GPUS)
                now = time.time_ns()
                by_socket = topology.place(request(None, Peer(host, theirs, port), ended=now), 0)
                by_pid = topology.place(request(None, pids=(server.pid,), ended=now), 0)
                long_ago = topology.place(request({}, pids=(server.pid,), ended=now - 3600 * NS), 0)
                server.communicate(b"\n")
    assert by_socket == Placement("chat", (GPUS[3],), "socket")
    assert by_pid == Placement("chat", (GPUS[3],), "pid")
    assert long_ago == Placement("vllm", reason="process_gone")


def test_many_senders_share_one_reading_of_the_processes() -> None:
    node = dynamo()
    for number in range(50):
        node.place({"service.instance.id": str(number)}, pids=(731,))
    assert node.readings == 1


def test_too_many_new_connections_are_not_all_looked_for() -> None:
    node = dynamo()
    reasons = [node.place(None, Peer("127.0.0.1", port, 4317)).reason for port in range(1, CONNECTIONS + 11)]
    assert node.lookups == CONNECTIONS
    assert reasons.count("busy") == 10


def test_places_are_bounded_and_what_is_forgotten_is_counted() -> None:
    node = dynamo()
    for number in range(REMEMBERED + 5):
        node.place({"service.name": str(number)}, pids=(731,))
    assert node.topology.forgotten == 5
    assert len(list(node.topology.placements(node.now))) == REMEMBERED
    node.now += 901 * NS
    node.place({"service.name": "new"}, pids=(731,))
    assert node.topology.forgotten == 5


def test_the_places_of_the_last_quarter_of_an_hour_are_listed_once() -> None:
    node = dynamo()
    node.place(pids=(731,))
    node.place({"service.name": "chat", "service.instance.id": "2"}, pids=(731,))
    assert list(node.topology.placements(node.now)) == [Placement("chat", (GPUS[0],), "pid")]
    assert list(node.topology.placements(node.now + 901 * NS)) == []


def test_hostile_attributes_cost_a_name_and_no_more() -> None:
    node = dynamo()
    told: dict[str, Value] = {
        "service.name": "x" * 100_000,
        "service.instance.id": [{"a": 1}],
        "process.pid": "9" * 5000,
        "gpu.uuids": [["GPU-00000001"], None, 7, "," * 100_000],
        "container.id": {"a": "b"},
    }
    assert node.place(told) == Placement("x" * 256, reason="no_process_id")


def test_holders_are_read_from_the_snapshot_with_instances_for_their_gpus() -> None:
    snapshots = Snapshots()
    samples = [
        PROCESS_COUNT(GPUS[0], 2),
        PROCESS_MEMORY(GpuProcess(GPUS[0], 10, "a"), 1),
        PROCESS_MEMORY(GpuProcess(GPUS[1], 10, "a"), 1),
        PROCESS_MEMORY(GpuProcess(GPUS[2], 11, None), 1),
        MIG_PROCESS_MEMORY(MigProcess(MIG, 10, "a"), 1),
    ]
    snapshots.put_samples(BatchSource("gpu_processes", "0"), samples, 0)
    assert holders_of(snapshots.current) == {10: [GPUS[1], MIG], 11: [GPUS[2]]}


def test_gpus_are_read_from_the_snapshot_in_their_order() -> None:
    snapshots = Snapshots()
    for gpu in (GPUS[10], GPUS[2], GPUS[0]):
        snapshots.put_samples(BatchSource("gpu_processes", gpu.id), [PROCESS_COUNT(gpu, 0)], 0)
    assert gpus_of(snapshots.current) == [GPUS[0], GPUS[2], GPUS[10]]


def owners(*of: tuple[Device, str, Owner]) -> OwnerLookup:
    snapshots = Snapshots()
    entities = [GpuOwner(device.id, None, key, "pod", "process", "true", who) for device, key, who in of]
    snapshots.put_samples(BatchSource("owners"), [GPU_OWNER(one, 1) for one in entities], 0)
    return OwnerLookup(lambda: snapshots.current, ("k8s.pod.name",))


def owned(lookup: OwnerLookup) -> Topology:
    holders: dict[int, list[Device]] = {28333: [GPUS[0]], 28334: [GPUS[1]]}
    node = LocalMachine(FIXTURES / "proc-vllm-tp2")
    return Topology((), node, lambda: holders, lambda: GPUS, lookup)


def test_a_request_is_whose_the_gpus_are_that_served_it() -> None:
    chat, other = Owner(pod="chat-0", container=CONTAINER), Owner(pod="other-0", container="0" * 64)
    both = [(GPUS[0], "chat", chat), (GPUS[1], "chat", chat)]
    placed = owned(owners(*both)).place(request(pids=(118,)), 0)
    assert placed.owner == Labelled("chat", Owner(pod="chat-0"))
    shared = owners(*both, (GPUS[0], "other", other), (GPUS[1], "other", other))
    # The number is that of a process in the container of one of them, or the resource names the container.
    assert owned(shared).place(request(pids=(118,)), 0).owner == Labelled("chat", Owner(pod="chat-0"))
    named = request({"service.name": "chat", "container.id": CONTAINER})
    assert owned(shared).place(named, 0).owner == Labelled("chat", Owner(pod="chat-0"))
    strangers = owners((GPUS[0], "other", other), (GPUS[0], "third", other), (GPUS[1], "other", other))
    assert owned(strangers).place(request(pids=(155,)), 0).owner is None


def test_where_owners_are_not_known_yet_a_place_is_looked_at_again_soon() -> None:
    snapshots = Snapshots()
    topology = owned(OwnerLookup(lambda: snapshots.current, ("k8s.pod.name",)))
    assert topology.place(request(pids=(118,)), 0).owner is None
    chat = GpuOwner(GPUS[0].id, None, "chat", "pod", "process", "false", Owner(pod="chat-0"))
    also = chat._replace(device=GPUS[1].id)
    snapshots.put_samples(BatchSource("owners"), [GPU_OWNER(one, 1) for one in (chat, also)], 0)
    assert topology.place(request(pids=(118,)), 4 * NS).owner is None
    placed = topology.place(request(pids=(118,)), 6 * NS)
    assert placed.owner is not None
    assert placed.owner.key == "chat"
