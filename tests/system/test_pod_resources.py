# SPDX-License-Identifier: Apache-2.0
"""The kubelet's messages, whole and torn: what is read is what Google's library wrote, and nothing else is raised."""

from typing import Any

from hypothesis import given as cases
from hypothesis import strategies as st

from agent.system.cgroup import parse
from agent.system.pod_resources import MOST, Given, Offered, given, offered, request_of
from tests.system.pod_resources_server import TYPES, claim, pod

_TEXT = st.text(max_size=20)
_PODS = st.lists(
    st.builds(
        lambda name, space, devices, claims: pod(name, space, devices, claims=claims),
        _TEXT,
        _TEXT,
        st.dictionaries(_TEXT, st.lists(_TEXT, max_size=3), max_size=3),
        st.lists(
            st.builds(claim, _TEXT, _TEXT, driver=_TEXT, cdi=st.lists(_TEXT, max_size=2), share=_TEXT), max_size=2
        ),
    ),
    max_size=4,
)


def encoded(pods: list[Any]) -> bytes:
    made: bytes = TYPES["ListPodResourcesResponse"](pod_resources=pods).SerializeToString()
    return made


@cases(_PODS)
def test_what_a_kubelet_writes_is_read(pods: list[Any]) -> None:
    wanted: list[Given] = []
    for one in pods:
        for container in one.containers:
            who = Given(one.namespace, one.name, container.name, "", "")
            for devices in container.devices:
                wanted += [who._replace(resource=devices.resource_name, id=id_) for id_ in devices.device_ids]
            for dynamic in container.dynamic_resources:
                for resource in dynamic.claim_resources:
                    names = tuple(cdi.name for cdi in resource.cdi_devices)
                    share = resource.share_id or None
                    wanted.append(
                        who._replace(
                            resource=resource.driver_name,
                            id=resource.device_name,
                            claim=dynamic.claim_name,
                            share=share,
                            cdi=names,
                        )
                    )
    assert given(encoded(pods)) == wanted


def test_fields_may_come_in_any_order_and_unknown_ones_are_passed_over() -> None:
    one = pod("a", "ml", {"nvidia.com/gpu": ["GPU-1"]})
    named = TYPES["PodResources"](name="a", namespace="ml").SerializeToString()
    rest = TYPES["PodResources"](containers=one.containers, cpu_ids=[1]).SerializeToString()
    unknown = b"\x7a\x03xyz\x80\x01\x05"
    body = rest + unknown + named
    assert given(b"\x0a" + bytes((len(body),)) + body + unknown) == [
        Given("ml", "a", "main", "nvidia.com/gpu", "GPU-1")
    ]


def test_the_answer_for_one_pod_and_the_offer_of_a_node_are_read() -> None:
    one = pod("a", "ml", {"nvidia.com/gpu": ["GPU-1"]})
    answer = TYPES["GetPodResourcesResponse"](pod_resources=one).SerializeToString()
    assert given(answer) == [Given("ml", "a", "main", "nvidia.com/gpu", "GPU-1")]
    device = TYPES["ContainerDevices"](resource_name="nvidia.com/gpu", device_ids=["GPU-1"])
    answer = TYPES["AllocatableResourcesResponse"](devices=[device], cpu_ids=[7]).SerializeToString()
    assert offered(answer) == [Offered("nvidia.com/gpu", "GPU-1")]
    asked = TYPES["GetPodResourcesRequest"].FromString(request_of("ml", "a"))
    assert (asked.pod_namespace, asked.pod_name) == ("ml", "a")


def test_of_an_answer_without_end_a_bounded_part_is_read() -> None:
    many = pod("a", "ml", {"nvidia.com/gpu": [f"id-{number}" for number in range(MOST + 9)]})
    assert len(given(encoded([many]))) == MOST
    (long,) = given(encoded([pod("a", "b", {"c": ["x" * 9000]})]))
    assert len(long.id) == 512


@cases(_PODS, st.data())
def test_a_torn_answer_is_an_error_of_its_own_kind_or_shorter(pods: list[Any], data: st.DataObject) -> None:
    body = bytearray(encoded(pods))
    for _ in range(data.draw(st.integers(0, 4))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    torn = bytes(body[: data.draw(st.integers(0, len(body)))])
    for read in (given, offered):
        try:
            found = read(torn)
        except ValueError:
            continue
        assert all(isinstance(one, Given | Offered) for one in found)


@cases(st.binary(max_size=300))
def test_bytes_that_are_no_message_raise_nothing_else(body: bytes) -> None:
    for read in (given, offered):
        try:
            read(body)
        except ValueError:
            continue


_PARTS = [
    "/",
    "kubepods",
    "pod",
    "a" * 64,
    ":",
    "\n",
    "job_7",
    "slurm",
    "step_",
    ".scope",
    ".service",
    "0::",
    "-",
    "_",
    "é",
]


@cases(st.lists(st.sampled_from(_PARTS) | st.text(max_size=5), max_size=30).map("".join))
def test_whatever_a_control_group_is_called_it_names_ids_of_the_right_form(text: str) -> None:
    group = parse(text)
    if group is not None:
        assert group.container is None or len(group.container) == 64
        assert group.slurm_job is None or group.slurm_job.isdecimal()
        assert group.unit is None or (group.unit.endswith((".scope", ".service")) and "/" not in group.unit)
