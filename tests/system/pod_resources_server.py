# SPDX-License-Identifier: Apache-2.0
"""A kubelet as far as its PodResources API goes: a gRPC server on a Unix socket, with Google's own protobuf.

The messages are built from the numbers and types of the published api.proto, and not from the reader that is tested.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "v1"
# message → field → (number, type); [] is repeated, a capital begins the name of a message.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "AllocatableResourcesRequest": {},
    "AllocatableResourcesResponse": {
        "devices": (1, "[]ContainerDevices"),
        "cpu_ids": (2, "[]int64"),
        "memory": (3, "[]ContainerMemory"),
    },
    "ListPodResourcesRequest": {},
    "ListPodResourcesResponse": {"pod_resources": (1, "[]PodResources")},
    "PodResources": {
        "name": (1, "string"),
        "namespace": (2, "string"),
        "containers": (3, "[]ContainerResources"),
        "cpu_ids": (4, "[]int64"),
        "memory": (5, "[]ContainerMemory"),
    },
    "ContainerResources": {
        "name": (1, "string"),
        "devices": (2, "[]ContainerDevices"),
        "cpu_ids": (3, "[]int64"),
        "memory": (4, "[]ContainerMemory"),
        "dynamic_resources": (5, "[]DynamicResource"),
    },
    "ContainerMemory": {"memory_type": (1, "string"), "size": (2, "uint64"), "topology": (3, "TopologyInfo")},
    "ContainerDevices": {
        "resource_name": (1, "string"),
        "device_ids": (2, "[]string"),
        "topology": (3, "TopologyInfo"),
    },
    "TopologyInfo": {"nodes": (1, "[]NUMANode")},
    "NUMANode": {"ID": (1, "int64")},
    "DynamicResource": {
        "claim_name": (2, "string"),
        "claim_namespace": (3, "string"),
        "claim_resources": (4, "[]ClaimResource"),
    },
    "ClaimResource": {
        "cdi_devices": (1, "[]CDIDevice"),
        "driver_name": (2, "string"),
        "pool_name": (3, "string"),
        "device_name": (4, "string"),
        "share_id": (5, "string"),
    },
    "CDIDevice": {"name": (1, "string")},
    "GetPodResourcesRequest": {"pod_name": (1, "string"), "pod_namespace": (2, "string")},
    "GetPodResourcesResponse": {"pod_resources": (1, "PodResources")},
}
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"string": _FIELD.TYPE_STRING, "int64": _FIELD.TYPE_INT64, "uint64": _FIELD.TYPE_UINT64}


def _types() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="podresources.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, told) in fields.items():
            repeated, kind = told.startswith("[]"), told.removeprefix("[]")
            made = message.field.add(name=field, number=number)
            made.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if kind in _SCALARS:
                made.type = _SCALARS[kind]
            else:
                made.type, made.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


TYPES = _types()


def pod(
    name: str, namespace: str, devices: Mapping[str, Sequence[str]], *, container: str = "main", **more: Any
) -> Any:
    """Make a PodResources with one container; `devices` are ids by resource, `claims` DynamicResources."""
    return TYPES["PodResources"](
        name=name,
        namespace=namespace,
        cpu_ids=[2, 3],
        containers=[
            TYPES["ContainerResources"](
                name=container,
                cpu_ids=[2, 3, 300],
                memory=[TYPES["ContainerMemory"](memory_type="memory", size=1 << 35)],
                devices=[
                    TYPES["ContainerDevices"](
                        resource_name=resource, device_ids=ids, topology={"nodes": [{"ID": 0}, {"ID": 1}]}
                    )
                    for resource, ids in devices.items()
                ],
                dynamic_resources=more.get("claims", ()),
            )
        ],
    )


def claim(name: str, device: str, *, driver: str = "gpu.nvidia.com", cdi: Sequence[str] = (), share: str = "") -> Any:
    """Make a DynamicResource of one device."""
    resource = TYPES["ClaimResource"](
        cdi_devices=[{"name": one} for one in cdi],
        driver_name=driver,
        pool_name="node-1",
        device_name=device,
        share_id=share,
    )
    return TYPES["DynamicResource"](claim_name=name, claim_namespace="ml", claim_resources=[resource])


class FakeKubelet:
    """Answers what its lists say. While `hanging` is set, a question is taken and not answered."""

    def __init__(self) -> None:
        """Have no pods."""
        self.pods: list[Any] = []
        self.offered: list[Any] = []
        self.get_served = True
        self.answer: bytes | None = None
        """What List gives instead of its pods."""
        self.hanging = threading.Event()
        self.released = threading.Event()
        self.asked: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Find what answers a method, as gRPC asks for it."""
        methods = {
            "/v1.PodResourcesLister/List": self._list,
            "/v1.PodResourcesLister/GetAllocatableResources": self._allocatable,
            "/v1.PodResourcesLister/Get": self._get,
        }
        self.asked.append(details.method)
        found = methods.get(details.method)
        return grpc.unary_unary_rpc_method_handler(found) if found else None

    def _list(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        TYPES["ListPodResourcesRequest"].FromString(request)
        if self.hanging.is_set():
            self.released.wait()
        if self.answer is not None:
            return self.answer
        made: bytes = TYPES["ListPodResourcesResponse"](pod_resources=self.pods).SerializeToString()
        return made

    def _allocatable(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        TYPES["AllocatableResourcesRequest"].FromString(request)
        made: bytes = TYPES["AllocatableResourcesResponse"](devices=self.offered, cpu_ids=[1]).SerializeToString()
        return made

    def _get(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        wanted = TYPES["GetPodResourcesRequest"].FromString(request)
        for one in self.pods:
            if (one.name, one.namespace) == (wanted.pod_name, wanted.pod_namespace) and self.get_served:
                made: bytes = TYPES["GetPodResourcesResponse"](pod_resources=one).SerializeToString()
                return made
        code = grpc.StatusCode.NOT_FOUND if self.get_served else grpc.StatusCode.UNKNOWN
        context.abort(code, "pod not found" if self.get_served else "PodResources API Get method disabled")
        raise AssertionError


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, kubelet: FakeKubelet) -> None:
        self._kubelet = kubelet

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._kubelet.service(details)


@contextmanager
def serving(kubelet: FakeKubelet, socket: Path) -> Iterator[None]:
    """Serve at a socket, and take it away afterwards, as a kubelet that ends."""
    server = grpc.server(ThreadPoolExecutor(2, "kubelet"), handlers=(_Handler(kubelet),))
    assert server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield
    finally:
        kubelet.released.set()
        server.stop(None).wait()
        socket.unlink(missing_ok=True)
