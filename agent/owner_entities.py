# SPDX-License-Identifier: Apache-2.0
"""Whose GPUs are: what the metrics of owners are about, and the attributes that requests can have of them."""

from typing import Annotated, NamedTuple, TypeAlias

from agent.entity import Attr

Key: TypeAlias = Annotated[
    str,
    Attr(
        "owner",
        "k8s/NAMESPACE/POD/CONTAINER, slurm/JOB/STEP, container/ID, systemd/UNIT, user/NAME; shared: of several owners "
        "together, which cannot be told apart",
    ),
]
Device: TypeAlias = Annotated[str, Attr("hw.id", "NVML UUID of the GPU or MIG instance")]


class Owner(NamedTuple):
    """Who uses a GPU, as far as it is known. Names of workloads are told from the name of the pod."""

    namespace: Annotated[str | None, Attr("k8s.namespace.name", "Namespace of the pod")] = None
    pod: Annotated[str | None, Attr("k8s.pod.name", "Name of the pod")] = None
    pod_uid: Annotated[str | None, Attr("k8s.pod.uid", "UID of the pod")] = None
    pod_container: Annotated[str | None, Attr("k8s.container.name", "Name of the container in the pod")] = None
    node: Annotated[str | None, Attr("k8s.node.name", "Name of the node, from the agent's environment")] = None
    deployment: Annotated[str | None, Attr("k8s.deployment.name", "Deployment, by the form of the pod's name")] = None
    stateful_set: Annotated[str | None, Attr("k8s.statefulset.name", "StatefulSet, by the form of the pod's name")] = (
        None
    )
    job: Annotated[str | None, Attr("k8s.job.name", "Job, by the form of the pod's name or the pod's environment")] = (
        None
    )
    cron_job: Annotated[str | None, Attr("k8s.cronjob.name", "CronJob, by the form of the pod's name")] = None
    leader_worker_set: Annotated[
        str | None, Attr("k8s.leaderworkerset.name", "LeaderWorkerSet, by the pod's environment or name")
    ] = None
    claim: Annotated[str | None, Attr("k8s.resourceclaim.name", "ResourceClaim by which the pod has the GPU (DRA)")] = (
        None
    )
    container: Annotated[str | None, Attr("container.id", "Id of the container")] = None
    container_name: Annotated[str | None, Attr("container.name", "Name of a container outside of Kubernetes")] = None
    slurm_job: Annotated[str | None, Attr("slurm.job.id", "Id of the Slurm job")] = None
    slurm_step: Annotated[str | None, Attr("slurm.step.id", "Step of the job: a number, batch, interactive")] = None
    slurm_user: Annotated[str | None, Attr("slurm.job.user", "Who submitted the job")] = None
    slurm_account: Annotated[str | None, Attr("slurm.job.account", "Account of the job")] = None
    slurm_partition: Annotated[str | None, Attr("slurm.job.partition", "Partition of the job")] = None
    unit: Annotated[str | None, Attr("systemd.unit.name", "Unit of systemd, as systemctl writes it")] = None
    user: Annotated[str | None, Attr("process.owner", "Who runs the process, outside of containers")] = None


NOBODY = Owner()


class GpuOwner(NamedTuple):
    """An owner of a GPU or MIG instance."""

    device: Device
    parent: Annotated[str | None, Attr("hw.parent", "NVML UUID of the GPU that the MIG instance is part of")]
    key: Key
    kind: Annotated[str, Attr("owner.kind", "pod, job, container, unit, user")]
    source: Annotated[
        str,
        Attr("source", "How it is known: pod_resources, dra, job_map: it was allocated; process: one holds memory"),
    ]
    shared: Annotated[str, Attr("shared", "true where the GPU has other owners too, or is handed out in shares")]
    who: Owner


class DeviceOwner(NamedTuple):
    """What an owner has of a GPU or MIG instance."""

    device: Device
    key: Key


class ProcessOwner(NamedTuple):
    """Whose a process is that holds memory of a GPU."""

    pid: Annotated[int, Attr("process.pid", "Process id in the host's namespace")]
    key: Key


class OwnerSource(NamedTuple):
    """One of the places where owners are looked up."""

    source: Annotated[str, Attr("source", "kubelet, pod_logs, processes, job_map")]


class OwnerGap(NamedTuple):
    """Owners of which something is not known."""

    reason: Annotated[
        str,
        Attr(
            "reason",
            "device: an allocated id that no GPU here has; name: a pod of which only the UID is known; process: one "
            "that could not be looked into; bound: more owners than are told",
        ),
    ]


class EngineOwner(NamedTuple):
    """Whose an engine is."""

    engine: Annotated[str, Attr("engine", "Name of the engine on this node")]
    key: Key
