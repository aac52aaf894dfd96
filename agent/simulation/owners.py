# SPDX-License-Identifier: Apache-2.0
"""Whose the GPUs of the demo are: a pod for each of its engines, and a batch job that has one and does not use it."""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from agent.simulation import DEMO
from agent.system.cgroup import named
from agent.system.pod_logs import PodName, PodNames
from agent.system.pod_resources import Given
from agent.system.who import Identity

NODE = "demo-node"
_NAMESPACE, _CONTAINER = "inference", "engine"
_JOB, _JOBS_GPU = "4711", "6"


class _Pod(NamedTuple):
    name: str
    uid: str
    container: str
    gpus: tuple[int, ...]


def _pod(engine: str, gpus: tuple[int, ...]) -> _Pod:
    seed = sha256(engine.encode()).hexdigest()
    return _Pod(f"{engine.replace('.', '-')}-6b9d4f5c87-x2k4z", str(UUID(seed[:32])), seed, gpus)


_PODS = tuple(_pod(name, deployment.gpus) for name, deployment in DEMO.items())


def identities(holders: Sequence[tuple[int, str]]) -> dict[int, Identity]:
    """Say of processes, each with the name of a GPU that it holds, that they run in the pod of the GPU's engine."""
    found: dict[int, Identity] = {}
    for pid, gpu in holders:
        for pod in _PODS:
            if gpu.removeprefix("gpu") in map(str, pod.gpus):
                slice_ = f"kubepods-pod{pod.uid.replace('-', '_')}.slice"
                found[pid] = Identity(named(f"/kubepods.slice/{slice_}/cri-containerd-{pod.container}.scope"))
    return found


def given() -> list[Given]:
    """Say what a kubelet would have given out."""
    return [Given(_NAMESPACE, pod.name, _CONTAINER, "nvidia.com/gpu", str(gpu)) for pod in _PODS for gpu in pod.gpus]


def names() -> PodNames:
    """Say what the folders of logs would be called."""
    return PodNames(
        {pod.uid: PodName(_NAMESPACE, pod.name) for pod in _PODS},
        {pod.container: PodName(_NAMESPACE, pod.name, _CONTAINER) for pod in _PODS},
    )


def jobs() -> dict[str, list[str]]:
    """Say what a prolog would have written."""
    return {_JOBS_GPU: [_JOB]}
