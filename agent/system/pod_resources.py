# SPDX-License-Identifier: Apache-2.0
"""What the kubelet says of the devices of pods: messages of its PodResources API, version v1, as bytes.

Source: k8s.io/kubelet/pkg/apis/podresources/v1/api.proto. It has the names of pods and not their UIDs. Seven messages
of which a few fields are wanted are read with the reader of the wire format that is here already: generated code for
them would need a generator that fits the protobuf library of each release.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from agent.otlp.protobuf import LENGTH, field, fields

MOST = 4096
"""Devices that are read of one answer: no node has as many."""
_LONGEST = 512
_Span: TypeAlias = tuple[int, int]

_PODS = _OFFERED = 1
_POD_NAME, _POD_NAMESPACE, _POD_CONTAINERS = 1, 2, 3
_CONTAINER_NAME, _CONTAINER_DEVICES, _CONTAINER_DYNAMIC = 1, 2, 5
_DEVICES_RESOURCE, _DEVICES_IDS = 1, 2
_CLAIM_NAME, _CLAIM_RESOURCES = 2, 4
_CDI, _DRIVER, _DEVICE, _SHARE = 1, 2, 4, 5
_CDI_NAME = 1
_GET_NAME, _GET_NAMESPACE = 1, 2


class Given(NamedTuple):
    """A device that a container has been given.

    By a device plugin: `resource` is what the pod asked for, as nvidia.com/gpu, and `id` the plugin's. By a claim:
    `resource` is the driver, `id` the device in its pool, `cdi` the names under which the runtime knows it, and `share`
    the id of the share where the device is given in shares.
    """

    namespace: str
    pod: str
    container: str
    resource: str
    id: str
    claim: str | None = None
    share: str | None = None
    cdi: tuple[str, ...] = ()


class Offered(NamedTuple):
    """A device that the node has for containers, given or not."""

    resource: str
    id: str


def request_of(namespace: str, pod: str) -> bytes:
    """Encode a GetPodResourcesRequest."""
    return field(_GET_NAME, pod.encode()) + field(_GET_NAMESPACE, namespace.encode())


def given(answer: bytes) -> list[Given]:
    """Read a ListPodResourcesResponse or a GetPodResourcesResponse. Raises Malformed, which is a ValueError."""
    found: list[Given] = []
    for pod in _parts(answer, (0, len(answer))).get(_PODS, ()):
        for one in _pod(answer, pod):
            if len(found) >= MOST:
                return found
            found.append(one)
    return found


def offered(answer: bytes) -> list[Offered]:
    """Read an AllocatableResourcesResponse. Raises Malformed, which is a ValueError."""
    devices = _parts(answer, (0, len(answer))).get(_OFFERED, ())
    return [Offered(*one) for span in devices for one in _devices(answer, span)][:MOST]


def _pod(data: bytes, span: _Span) -> Iterator[Given]:
    parts = _parts(data, span)
    namespace, pod = _text(data, parts, _POD_NAMESPACE), _text(data, parts, _POD_NAME)
    for container in parts.get(_POD_CONTAINERS, ()):
        inner = _parts(data, container)
        name = _text(data, inner, _CONTAINER_NAME)
        for devices in inner.get(_CONTAINER_DEVICES, ()):
            for resource, id_ in _devices(data, devices):
                yield Given(namespace, pod, name, resource, id_)
        for claim in inner.get(_CONTAINER_DYNAMIC, ()):
            yield from _claim(data, claim, Given(namespace, pod, name, "", ""))


def _devices(data: bytes, span: _Span) -> Iterator[tuple[str, str]]:
    parts = _parts(data, span)
    resource = _text(data, parts, _DEVICES_RESOURCE)
    for one in parts.get(_DEVICES_IDS, ()):
        yield resource, _string(data, one)


def _claim(data: bytes, span: _Span, who: Given) -> Iterator[Given]:
    parts = _parts(data, span)
    claim = _text(data, parts, _CLAIM_NAME)
    for one in parts.get(_CLAIM_RESOURCES, ()):
        inner = _parts(data, one)
        names = tuple(_text(data, _parts(data, cdi), _CDI_NAME) for cdi in inner.get(_CDI, ()))
        yield who._replace(
            resource=_text(data, inner, _DRIVER),
            id=_text(data, inner, _DEVICE),
            claim=claim,
            share=_text(data, inner, _SHARE) or None,
            cdi=names,
        )


def _parts(data: bytes, span: _Span) -> dict[int, list[_Span]]:
    """Find the texts and messages in a message, by number: fields may come in any order."""
    found: dict[int, list[_Span]] = {}
    for one in fields(data, *span):
        if one.wire == LENGTH:
            found.setdefault(one.number, []).append((one.start, one.end))
    return found


def _text(data: bytes, parts: dict[int, list[_Span]], number: int) -> str:
    """Give a text; of one that comes twice the last counts, as protobuf wants it."""
    spans = parts.get(number)
    return _string(data, spans[-1]) if spans else ""


def _string(data: bytes, span: _Span) -> str:
    start, end = span
    return data[start : min(end, start + _LONGEST)].decode("utf-8", "replace")
