# SPDX-License-Identifier: Apache-2.0
"""Who has which GPU, from what was given out and from the processes that hold memory."""

from collections.abc import Mapping, Sequence

from hypothesis import given as cases
from hypothesis import strategies as st

from agent.entities import Gpu, GpuInfo, MigInstance
from agent.owner_entities import GpuOwner
from agent.processors.device_ids import Devices
from agent.processors.owners import MOST, Evidence, Holder, Owned, Patterns, owned
from agent.system.cgroup import Cgroup, named
from agent.system.pod_logs import PodName, PodNames
from agent.system.pod_resources import Given
from agent.system.who import Identity

GPUS = [Gpu(f"GPU-{index:08x}-1111-2222-3333-444444444444", f"gpu{index}") for index in range(4)]
MIGS = [MigInstance(f"MIG-{gi:08x}-1111-2222-3333-444444444444", f"gpu3/1g.10gb/{gi}/0", GPUS[3].id) for gi in range(2)]
DEVICES = Devices([*GPUS, *MIGS], [GpuInfo(gpu, nvml_index=index, minor=index) for index, gpu in enumerate(GPUS)])
UID, OTHER = "8d0fdb5c-6f0e-4b43-9d2c-0c1f4b7f6a10", "1c22b0aa-51c4-4f0e-8a35-77d0a1b2c3d4"
ID = "a1" * 32


def allocated(pod: str, *ids: str, container: str = "main", **more: str) -> list[Given]:
    return [Given("ml", pod, container, "nvidia.com/gpu", id_, **more) for id_ in ids]  # type: ignore[arg-type]


def in_pod(uid: str = UID, container: str = ID, **variables: str) -> Identity:
    return Identity(named(f"/kubepods/pod{uid}/{container}"), "root", variables)


def holding(pid: int, *devices: Gpu | MigInstance, memory: float | None = 1e9) -> list[Holder]:
    return [Holder(pid, device, memory) for device in devices]


def of(found: Owned, device: Gpu | MigInstance) -> dict[str, GpuOwner]:
    return {one.key: one for one in found.owners if one.device == device.id}


def put(
    given: Sequence[Given] = (),
    holders: Sequence[Holder] = (),
    who: Mapping[int, Identity] | None = None,
    **more: object,
) -> Owned:
    return owned(Evidence(DEVICES, holders, who or {}, given, **more))  # type: ignore[arg-type]


def test_a_pod_that_was_given_a_gpu_has_it_before_it_uses_it() -> None:
    found = put(allocated("llama-6b9d4f5c87-x2k4z", GPUS[0].id), node="n1")
    (one,) = found.owners
    assert (one.key, one.kind, one.source, one.shared) == (
        "k8s/ml/llama-6b9d4f5c87-x2k4z/main",
        "pod",
        "pod_resources",
        "false",
    )
    assert (one.who.namespace, one.who.deployment, one.who.node) == ("ml", "llama", "n1")
    assert found.processes == {}


def test_the_only_pod_of_a_gpu_is_the_one_whose_process_holds_it() -> None:
    found = put(allocated("llama-0", GPUS[0].id), holding(7, GPUS[0]), {7: in_pod()})
    (one,) = found.owners
    assert (one.key, one.who.pod_uid, one.who.container) == ("k8s/ml/llama-0/main", UID, ID)
    assert found.memory == {(GPUS[0].id, one.key): 1e9}
    assert found.gaps.get("name", 0) == 0


def test_a_process_that_calls_its_host_otherwise_is_not_the_pod_that_was_given_the_gpu() -> None:
    found = put(allocated("llama-0", GPUS[0].id), holding(7, GPUS[0]), {7: in_pod(HOSTNAME="monitor-xk2p9")})
    assert set(of(found, GPUS[0])) == {"k8s/ml/llama-0/main", f"k8s//{UID}/{ID[:12]}"}
    assert found.gaps["name"] == 1
    on_the_nodes_network = {7: in_pod(HOSTNAME="n1")}
    found = put(allocated("llama-0", GPUS[0].id), holding(7, GPUS[0]), on_the_nodes_network, node="n1")
    assert set(of(found, GPUS[0])) == {"k8s/ml/llama-0/main"}


def test_replicas_of_a_gpu_are_told_apart_by_the_names_of_logs() -> None:
    given = [*allocated("a", f"{GPUS[1].id}::0"), *allocated("b", f"{GPUS[1].id}::1")]
    holders = [*holding(1, GPUS[1], memory=3e9), *holding(2, GPUS[1]), *holding(3, GPUS[1])]
    who = {1: in_pod(UID, "a1" * 32), 2: in_pod(UID, "a1" * 32), 3: in_pod(OTHER, "b2" * 32)}
    names = PodNames({}, {"a1" * 32: PodName("ml", "a", "main"), "b2" * 32: PodName("ml", "b", "main")})
    found = put(given, holders, who, names=names)
    assert {key: one.shared for key, one in of(found, GPUS[1]).items()} == {
        "k8s/ml/a/main": "true",
        "k8s/ml/b/main": "true",
    }
    assert found.memory == {(GPUS[1].id, "k8s/ml/a/main"): 4e9, (GPUS[1].id, "k8s/ml/b/main"): 1e9}
    assert found.processes == {(GPUS[1].id, "k8s/ml/a/main"): 2, (GPUS[1].id, "k8s/ml/b/main"): 1}


def test_replicas_are_told_apart_by_host_names_and_otherwise_not_at_all() -> None:
    given = [*allocated("a", f"{GPUS[1].id}::0"), *allocated("b", f"{GPUS[1].id}::1")]
    holders = [*holding(1, GPUS[1]), *holding(3, GPUS[1])]
    said = put(given, holders, {1: in_pod(UID, HOSTNAME="a"), 3: in_pod(OTHER, "b2" * 32, HOSTNAME="b")})
    assert set(of(said, GPUS[1])) == {"k8s/ml/a/main", "k8s/ml/b/main"}
    unsaid = put(given, holders, {1: in_pod(UID), 3: in_pod(OTHER, "b2" * 32)})
    assert len(of(unsaid, GPUS[1])) == 4
    assert unsaid.gaps["name"] == 2
    assert {one.shared for one in unsaid.owners} == {"true"}


def test_one_replica_alone_is_a_share_too() -> None:
    (one,) = put(allocated("a", f"{GPUS[1].id}::0")).owners
    assert one.shared == "true"


def test_claimed_gpus_name_their_claim_and_shares_of_them_are_shares() -> None:
    given = [
        Given("ml", "a", "main", "gpu.nvidia.com", "gpu-0", "single-gpu"),
        Given("ml", "b", "main", "gpu.nvidia.com", "gpu-1", "part-gpu", "share-1"),
    ]
    found = put(given)
    assert [(one.device, one.source, one.shared, one.who.claim) for one in found.owners] == [
        (GPUS[0].id, "dra", "false", "single-gpu"),
        (GPUS[1].id, "dra", "true", "part-gpu"),
    ]


def test_mig_instances_have_owners_of_their_own() -> None:
    given = [*allocated("a", MIGS[0].id), *allocated("b", "nvidia3/gi1")]
    found = put(given, holding(7, MIGS[0]), {7: in_pod()})
    assert [(one.device, one.parent, one.key, one.shared) for one in found.owners] == [
        (MIGS[0].id, GPUS[3].id, "k8s/ml/a/main", "false"),
        (MIGS[1].id, GPUS[3].id, "k8s/ml/b/main", "false"),
    ]


def test_an_id_that_no_gpu_has_is_counted_and_a_nic_is_not() -> None:
    nic = Given("ml", "a", "main", "rdma/hca", "mlx5_0")
    found = put([*allocated("a", "GPU-ffffffff-1111-2222-3333-444444444444"), nic], jobs={"99": ["1"]})
    assert (found.owners, found.gaps["device"]) == ((), 2)


def test_jobs_are_told_by_step_where_a_step_holds_the_gpu_and_else_as_a_whole() -> None:
    step = Identity(
        Cgroup("/job_5", slurm_job="5", slurm_step="0"), "alice", {"SLURM_JOB_ID": "5", "SLURM_JOB_USER": "a"}
    )
    found = put((), holding(7, GPUS[0]), {7: step}, jobs={"0": ["5"], "1": ["5"], GPUS[2].id: ["6", "7"]})
    assert [(one.device, one.key, one.source, one.shared) for one in found.owners] == [
        (GPUS[1].id, "slurm/5", "job_map", "false"),
        (GPUS[2].id, "slurm/6", "job_map", "true"),
        (GPUS[2].id, "slurm/7", "job_map", "true"),
        (GPUS[0].id, "slurm/5/0", "process", "false"),
    ]
    assert found.owners[-1].who.slurm_user == "a"


def test_the_environment_of_a_pod_makes_no_job_of_it_and_that_of_a_process_without_a_container_does() -> None:
    variables = {"SLURM_JOB_ID": "5", "SLURM_STEP_ID": "1"}
    found = put((), holding(7, GPUS[0]), {7: in_pod(**variables)})
    assert found.owners[0].kind == "pod"
    found = put((), holding(7, GPUS[0]), {7: Identity(Cgroup("/system.slice/slurmd.service"), "a", variables)})
    assert found.owners[0].key == "slurm/5/1"


def test_units_users_and_containers_are_owners_where_there_is_nothing_above_them() -> None:
    who = {
        1: Identity(named("/system.slice/vllm.service"), "vllm"),
        2: Identity(named("/user.slice/user-1000.slice/session-3.scope"), "ana"),
        3: Identity(named(f"/docker/{ID}"), "root"),
    }
    holders = [*holding(1, GPUS[0]), *holding(2, GPUS[1]), *holding(3, GPUS[2])]
    found = put((), holders, who, container_names={ID: "chat\n"})
    assert [(one.key, one.kind, one.who.user) for one in found.owners] == [
        ("systemd/vllm.service", "unit", "vllm"),
        ("user/ana", "user", "ana"),
        (f"container/{ID[:12]}", "container", None),
    ]
    assert found.owners[2].who.container_name == "chat\N{REPLACEMENT CHARACTER}"


def test_a_process_that_cannot_be_looked_into_is_counted_and_costs_nothing_else() -> None:
    found = put((), [*holding(1, GPUS[0]), *holding(2, GPUS[1])], {2: in_pod()})
    assert (len(found.owners), found.gaps["process"]) == (1, 1)


def test_patterns_leave_owners_out_as_if_they_were_not_there() -> None:
    who = {1: Identity(named("/system.slice/nvidia-mps.service"), "root"), 2: in_pod()}
    evidence = Evidence(DEVICES, [*holding(1, GPUS[0]), *holding(2, GPUS[0])], who, allocated("a", GPUS[0].id))
    (one,) = owned(evidence, Patterns(exclude=("systemd/nvidia-*",))).owners
    assert (one.key, one.shared) == ("k8s/ml/a/main", "false")
    assert [one.key for one in owned(evidence, Patterns(include=("systemd/*",))).owners] == [
        "systemd/nvidia-mps.service"
    ]


def test_owners_beyond_the_bound_are_dropped_and_counted() -> None:
    given = [one for number in range(MOST + 5) for one in allocated(f"p{number}", f"{GPUS[0].id}::{number}")]
    found = put(given)
    assert (len(found.owners), found.dropped) == (MOST, 5)


_IDS = st.sampled_from([*(gpu.id for gpu in GPUS), *(one.id for one in MIGS), f"{GPUS[0].id}::1", "1", "nvidia2", "no"])
_GIVEN = st.lists(st.builds(Given, st.just("ml"), st.sampled_from("abc"), st.sampled_from("xy"), st.just("gpu"), _IDS))
_WHO = st.sampled_from(
    [in_pod(), in_pod(OTHER, "b2" * 32, HOSTNAME="a"), Identity(named("/a.service"), "u"), Identity(named("/"), "v")]
)
_HELD = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([*GPUS, *MIGS]), st.none() | st.floats(0, 1e12)),
    unique_by=lambda one: one[:2],
)


@cases(_GIVEN, _HELD, st.dictionaries(st.integers(1, 6), _WHO))
def test_what_owners_hold_of_a_device_adds_up_to_what_known_processes_hold(
    given: list[Given], held: list[tuple[int, Gpu | MigInstance, float | None]], who: dict[int, Identity]
) -> None:
    holders = [Holder(*one) for one in held]
    found = put(given, holders, who)
    places = [(one.device, one.key) for one in found.owners]
    assert len(places) == len(set(places))
    assert found.memory.keys() <= found.processes.keys() <= set(places)
    assert found.gaps.get("process", 0) == sum(one.pid not in who for one in holders)
    for device in DEVICES.all:
        known = [one for one in holders if one.device == device and one.pid in who]
        assert sum(number for (id_, _), number in found.processes.items() if id_ == device.id) == len(known)
        held_by_owners = sum(memory for (id_, _), memory in found.memory.items() if id_ == device.id)
        assert abs(held_by_owners - sum(one.memory or 0 for one in known)) <= 1
    assert all((one.shared == "true") or len(of(found, _device(one.device))) == 1 for one in found.owners)


def _device(id_: str) -> Gpu | MigInstance:
    return next(one for one in DEVICES.all if one.id == id_)
