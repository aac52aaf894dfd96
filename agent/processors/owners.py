# SPDX-License-Identifier: Apache-2.0
"""Puts together who has which GPU: what was given out, and which processes hold memory.

A process is a pod's container, or else a Slurm job's, a container's, a unit's or a user's. A job inside a pod or a
container is the job's. The kubelet knows pods by name and a process by ids: they are the same where the names of log
files say so, where the device is one pod's alone, or where the process calls its host as one of the device's pods is
called. Where nothing says it they stay apart, and are counted.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from agent.entities import MigInstance
from agent.owner_entities import GpuOwner, Owner
from agent.processors.device_ids import Devices
from agent.processors.kinship import Device
from agent.processors.top_names import clean
from agent.processors.workloads import workload
from agent.system.cgroup import Cgroup
from agent.system.pod_logs import PodName, PodNames
from agent.system.pod_resources import Given
from agent.system.who import HOSTNAME, SLURM, Identity

MOST = 256
"""Owners, each on each device, that are told."""
_SHORT_ID = 12
_LONGEST_HOST = 63
_DYNAMIC = "dra"


class Holder(NamedTuple):
    """A process that holds memory of a device: bytes, where the driver tells them."""

    pid: int
    device: Device
    memory: float | None


class Evidence(NamedTuple):
    """Everything that is known about who has which GPU. What could not be read is empty."""

    devices: Devices
    holders: Sequence[Holder] = ()
    identities: Mapping[int, Identity] = {}
    given: Sequence[Given] = ()
    names: PodNames = PodNames()
    container_names: Mapping[str, str] = {}
    jobs: Mapping[str, Sequence[str]] = {}
    node: str | None = None


class Patterns(NamedTuple):
    """Which owners are told, by patterns of their keys with * and ?. Without `include`, all are."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def fit(self, key: str) -> bool:
        """Say whether an owner is told."""
        wanted = not self.include or any(fnmatchcase(key, pattern) for pattern in self.include)
        return wanted and not any(fnmatchcase(key, pattern) for pattern in self.exclude)


ALL = Patterns()


class Owned(NamedTuple):
    """Who has what: owners, of device and owner the memory and number of their processes, and owners of processes."""

    owners: tuple[GpuOwner, ...] = ()
    memory: Mapping[tuple[str, str], float] = {}
    processes: Mapping[tuple[str, str], int] = {}
    pids: Mapping[int, str] = {}
    gaps: Mapping[str, int] = {}
    dropped: int = 0


class _Claim(NamedTuple):
    """Somebody has a device, by one source."""

    device: Device
    who: Owner
    source: str
    share: bool = False


def owned(evidence: Evidence, patterns: Patterns = ALL) -> Owned:
    """Put it together, of the owners that `patterns` leave."""
    gaps: Counter[str] = Counter()
    given = list(_given(evidence, gaps))
    held = list(_held(evidence, given, gaps))
    claims = [*given, *_without_bare(_jobs(evidence, gaps), held), *(claim for claim, _ in held)]
    merged = {place: claim for place, claim in _merged(claims).items() if patterns.fit(place[1])}
    told = dict(list(merged.items())[:MOST])
    shares = Counter(device for device, _ in merged)
    owners = tuple(
        _owner(key, claim, shared=claim.share or shares[device] > 1) for (device, key), claim in told.items()
    )
    memory: dict[tuple[str, str], float] = {}
    processes: Counter[tuple[str, str]] = Counter()
    pids: dict[int, str] = {}
    for claim, holder in held:
        if (place := (claim.device.id, key_of(claim.who))) in told:
            processes[place] += 1
            pids[holder.pid] = place[1]
            if holder.memory is not None:
                memory[place] = memory.get(place, 0.0) + holder.memory
    return Owned(owners, memory, processes, pids, gaps, len(merged) - len(told))


def key_of(who: Owner) -> str:
    """Name an owner, the same whatever source it is known by."""
    if who.slurm_job is not None:
        return "/".join(("slurm", who.slurm_job, *((who.slurm_step,) if who.slurm_step else ())))
    if who.pod is not None:
        return "/".join(("k8s", who.namespace or "", who.pod, who.pod_container or ""))
    if who.pod_uid is not None:
        return f"k8s//{who.pod_uid}/{(who.container or '')[:_SHORT_ID]}"
    if who.container is not None:
        return f"container/{who.container[:_SHORT_ID]}"
    return f"systemd/{who.unit}" if who.unit else f"user/{who.user}"


def kind_of(who: Owner) -> str:
    """Say what kind of owner it is."""
    if who.slurm_job is not None:
        return "job"
    if who.pod is not None or who.pod_uid is not None:
        return "pod"
    if who.container is not None:
        return "container"
    return "unit" if who.unit else "user"


def _given(evidence: Evidence, gaps: Counter[str]) -> Iterator[_Claim]:
    """What the kubelet gave out. Devices of other kinds, as NICs, are not ours to count."""
    for one in evidence.given:
        meant = evidence.devices.meant(one.id) if one.claim is None else evidence.devices.claimed(one)
        if not meant.devices and ("gpu" in one.resource or "nvidia" in one.resource):
            gaps["device"] += 1
        who = _pod(PodName(one.namespace, one.pod, one.container), evidence.node)._replace(claim=one.claim)
        for device in meant.devices:
            yield _Claim(device, who, "pod_resources" if one.claim is None else _DYNAMIC, meant.share)


def _jobs(evidence: Evidence, gaps: Counter[str]) -> Iterator[_Claim]:
    for name, jobs in evidence.jobs.items():
        devices = evidence.devices.meant(name).devices
        gaps["device"] += not devices
        for device in devices:
            for job in jobs:
                yield _Claim(device, Owner(slurm_job=job), "job_map")


def _without_bare(jobs: Iterable[_Claim], held: Iterable[tuple[_Claim, Holder]]) -> Iterator[_Claim]:
    """Leave out a job whose steps hold the device: they say more."""
    known = {(claim.device.id, claim.who.slurm_job) for claim, _ in held}
    return (one for one in jobs if (one.device.id, one.who.slurm_job) not in known)


def _held(evidence: Evidence, given: Sequence[_Claim], gaps: Counter[str]) -> list[tuple[_Claim, Holder]]:
    found: list[tuple[_Claim, Holder]] = []
    pods: dict[str, set[str]] = {}
    for holder in evidence.holders:
        identity = evidence.identities.get(holder.pid)
        if identity is None:
            gaps["process"] += 1
            continue
        found.append((_Claim(holder.device, _user_of(identity, evidence), "process"), holder))
        if identity.cgroup.pod:
            pods.setdefault(holder.device.id, set()).add(identity.cgroup.pod)
    named = [(_identified(claim, holder, evidence, given, pods), holder) for claim, holder in found]
    gaps["name"] += len({claim.who.pod_uid for claim, _ in named if claim.who.pod_uid and not claim.who.pod})
    return named


def _user_of(identity: Identity, evidence: Evidence) -> Owner:
    """Say whose a process is, as far as it and its log files tell."""
    group, told = identity.cgroup, identity.variables
    job = _job(group, told)
    if group.pod or group.container:
        name = evidence.names.containers.get(group.container or "") or evidence.names.pods.get(group.pod or "")
        who = _pod(name, evidence.node, told) if name else Owner(node=evidence.node if group.pod else None)
        title = None if group.pod else evidence.container_names.get(group.container or "")
        ids = {"pod_uid": group.pod, "container": group.container, "container_name": title and clean(title)}
        return who._replace(**ids, **job)
    if job:
        return Owner(user=identity.user, **job)
    # A session is no service: it is whose it is.
    unit = None if group.unit is None or group.unit.startswith(("session-", "user@")) else clean(group.unit)
    return Owner(unit=unit, user=identity.user)


def _job(group: Cgroup, told: Mapping[str, str]) -> dict[str, str]:
    """Read the job: from the control group, which it cannot leave, and what of the environment fits that."""
    said = {field: clean(told[name]) for field, name in SLURM.items() if told.get(name)}
    if group.slurm_job is None:
        return said if "slurm_job" in said and not group.pod else {}
    if said.get("slurm_job") != group.slurm_job:
        said = {}
    said["slurm_job"] = group.slurm_job
    if group.slurm_step is not None:
        said["slurm_step"] = group.slurm_step
    return said


def _identified(
    claim: _Claim, holder: Holder, evidence: Evidence, given: Sequence[_Claim], pods: Mapping[str, set[str]]
) -> _Claim:
    """Find the name of a pod of which the UID is known, among those that have the device."""
    who, device = claim.who, claim.device.id
    if who.pod is not None and who.pod_container is not None:
        return claim
    if who.pod_uid is None:
        return claim
    candidates = {one.who for one in given if one.device.id == device}
    if who.pod is not None:
        candidates = {one for one in candidates if (one.namespace, one.pod) == (who.namespace, who.pod)}
    names = {(one.namespace, one.pod) for one in candidates}
    host = evidence.identities[holder.pid].variables.get(HOSTNAME)
    # A pod on the network of its node has the node's name.
    if who.pod is None and (len(names) != 1 or len(pods[device]) != 1 or host not in (None, evidence.node)):
        candidates = {one for one in candidates if (one.pod or "")[:_LONGEST_HOST] == host}
        names = {(one.namespace, one.pod) for one in candidates}
    if len(names) != 1:
        return claim
    containers = {one.pod_container for one in candidates}
    name = PodName(*next(iter(names)), next(iter(containers)) if len(containers) == 1 else None)  # type: ignore[arg-type]
    known = _pod(name, evidence.node, evidence.identities[holder.pid].variables)
    return claim._replace(who=_both(who, known))


def _pod(name: PodName, node: str | None, variables: Mapping[str, str] | None = None) -> Owner:
    """Name a pod, and its workload as far as that can be told."""
    return Owner(
        namespace=clean(name.namespace),
        pod=clean(name.pod),
        pod_container=clean(name.container) if name.container else None,
        node=node,
        **workload(name.pod, variables)._asdict(),
    )


def _merged(claims: Iterable[_Claim]) -> dict[tuple[str, str], _Claim]:
    """Make one of what several sources say of the same owner and device. The first is how it is known."""
    found: dict[tuple[str, str], _Claim] = {}
    for claim in claims:
        place = (claim.device.id, key_of(claim.who))
        known = found.get(place)
        found[place] = (
            known._replace(who=_both(claim.who, known.who), share=known.share or claim.share) if known else claim
        )
    return found


def _both(one: Owner, other: Owner) -> Owner:
    """Put together what is known of an owner; where both say something, the first counts."""
    return Owner(*(mine if mine is not None else theirs for mine, theirs in zip(one, other, strict=True)))


def _owner(key: str, claim: _Claim, *, shared: bool) -> GpuOwner:
    device = claim.device
    parent = device.parent if isinstance(device, MigInstance) else None
    return GpuOwner(device.id, parent, key, kind_of(claim.who), claim.source, "true" if shared else "false", claim.who)
