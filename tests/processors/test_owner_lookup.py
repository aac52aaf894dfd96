# SPDX-License-Identifier: Apache-2.0
"""Whose a request is, of the owners of its GPUs, and what it is told of them."""

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.catalogue.owners import GPU_OWNER
from agent.entities import Gpu
from agent.owner_entities import NOBODY, GpuOwner, Owner
from agent.processors.clues import Clues
from agent.processors.owner_lookup import Labelled, OwnerLookup, owner_attributes
from agent.snapshot import Snapshots, Source
from agent.system.cgroup import Cgroup

ONE, TWO = Gpu("GPU-1", "gpu0"), Gpu("GPU-2", "gpu1")
A, B = "a" * 64, "b" * 64
UID = "8d0fdb5c-6f0e-4b43-9d2c-0c1f4b7f6a10"
CHAT = Owner(namespace="ml", pod="chat-0", pod_uid=UID, container=A, node="n1")
CODE = Owner(namespace="ml", pod="code-0", container=B)
JOB = Owner(slurm_job="7", slurm_step="0", user="alice")
UNIT = Owner(unit="vllm.service")


class Bench:
    def __init__(
        self, *owners: tuple[Gpu, str, Owner], labels: tuple[str, ...] = ("k8s.pod.name", "slurm.job.id")
    ) -> None:
        self.snapshots = Snapshots()
        self.lookup = OwnerLookup(lambda: self.snapshots.current, labels)
        if owners:
            self.put(*owners)

    def put(self, *owners: tuple[Gpu, str, Owner]) -> None:
        entities = [GpuOwner(gpu.id, None, key, "pod", "process", "false", who) for gpu, key, who in owners]
        self.snapshots.put_samples(Source("owners"), [GPU_OWNER(one, 1) for one in entities], 0)


def test_of_the_attributes_of_an_owner_requests_are_told_those_that_are_listed() -> None:
    assert Bench((ONE, "chat", CHAT)).lookup.of([ONE], Clues()) == Labelled("chat", Owner(pod="chat-0"))
    assert Bench((ONE, "chat", CHAT), labels=()).lookup.of([ONE], Clues()) == Labelled("chat", NOBODY)


def test_an_engine_on_several_gpus_is_whose_they_all_are() -> None:
    bench = Bench((ONE, "chat", CHAT), (TWO, "chat", CHAT), (TWO, "code", CODE))
    assert bench.lookup.of([ONE, TWO], Clues()) == Labelled("chat", Owner(pod="chat-0"))
    assert Bench((ONE, "chat", CHAT), (TWO, "code", CODE)).lookup.of([ONE, TWO], Clues()) is None


@pytest.mark.parametrize(
    ("clues", "key"),
    [
        (Clues(container=A), "chat"),
        (Clues(container=B[:12]), "code"),
        (Clues(pod=UID), "chat"),
        (Clues(container="c" * 64), None),
        (Clues(container=B[:4]), None),
        (Clues(), None),
    ],
)
def test_of_several_owners_the_one_is_taken_whose_container_or_pod_the_sender_names(
    clues: Clues, key: str | None
) -> None:
    found = Bench((ONE, "chat", CHAT), (ONE, "code", CODE)).lookup.of([ONE], clues)
    assert (found.key if found else None) == key


@pytest.mark.parametrize(
    ("group", "key"),
    [
        (Cgroup("/", container=B), "code"),
        (Cgroup("/", slurm_job="7", slurm_step="0"), "job"),
        (Cgroup("/", slurm_job="7", slurm_step="1"), None),
        (Cgroup("/", unit="vllm.service"), "unit"),
        (Cgroup("/"), None),
    ],
)
def test_or_the_one_whose_processes_it_names(group: Cgroup, key: str | None) -> None:
    bench = Bench((ONE, "chat", CHAT), (ONE, "code", CODE), (ONE, "job", JOB), (ONE, "unit", UNIT))
    found = bench.lookup.of([ONE], Clues(), lambda: [group])
    assert (found.key if found else None) == key


def test_owners_that_change_are_seen_and_before_they_are_read_they_are_not_known() -> None:
    bench = Bench()
    assert not bench.lookup.known()
    assert bench.lookup.of([ONE], Clues()) is None
    bench.put((ONE, "chat", CHAT))
    assert bench.lookup.known()
    assert bench.lookup.of([ONE], Clues()) is not None
    bench.put((ONE, "job", JOB))
    assert bench.lookup.of([ONE], Clues()) == Labelled("job", Owner(slurm_job="7"))
    bench.snapshots.drop(lambda _: True)
    assert bench.lookup.of([ONE], Clues()) is None


def test_a_span_is_told_its_owner_and_nothing_twice() -> None:
    span = SpanMessage()
    span.MergeFromString(owner_attributes(CHAT, {"k8s.pod.name": "chat-0"}))
    told = {one.key: one.value.string_value for one in span.attributes}
    assert told == {"k8s.namespace.name": "ml", "k8s.pod.uid": UID, "container.id": A, "k8s.node.name": "n1"}
    assert owner_attributes(NOBODY, {}) == b""
