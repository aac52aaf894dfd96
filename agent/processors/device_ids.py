# SPDX-License-Identifier: Apache-2.0
"""Which GPU or MIG instance is meant by an id that a device plugin, a driver of claims or a batch system gave out.

| id | by whom | what |
|---|---|---|
| GPU-UUID, MIG-UUID | NVIDIA's plugin, Slurm | the UUID |
| MIG-GPU-UUID/GI/CI | NVIDIA's plugin, drivers before 470 | instance of that GPU |
| ID::N | NVIDIA's plugin, time slicing and MPS | replica N of ID |
| nvidiaN, nvidiaN/giM | GKE | device file, GPU instance |
| …/vgpuN | GKE, time sharing and MPS | share N of what stands before |
| N | index strategies, job maps | NVML index |
| 0000:3b:00.0 | passthrough | PCI address |
| gpu-N | NVIDIA's driver for claims (DRA) | N of /dev/nvidiaN |
| gpu-N-mig-… | the same | an instance of that GPU, where it has one only: the rest of the name is no id |
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from agent.entities import Gpu, GpuInfo, MigInstance
from agent.processors.kinship import Device
from agent.snapshot import Snapshot
from agent.system.pod_resources import Given

_UUID = re.compile(r"(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OLD_MIG = re.compile(r"MIG-(GPU-[0-9a-f-]{36})/(\d{1,3})/(\d{1,3})", re.IGNORECASE)
_SHARE = re.compile(r"(.+)/vgpu\d{1,4}")
_FILE = re.compile(r"nvidia(\d{1,4})(?:/gi(\d{1,3}))?")
_CLAIMED = re.compile(r"gpu-(\d{1,4})(-mig-.+)?")
_INDEX = re.compile(r"\d{1,4}")
_PCI = re.compile(r"(?:[0-9a-f]{4,8}:)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])", re.IGNORECASE)


class Meant(NamedTuple):
    """The devices of an id; none where no device here has it. `share` says that others may have the same device."""

    devices: tuple[Device, ...] = ()
    share: bool = False


class Devices:
    """The GPUs and MIG instances of a node by everything they are called."""

    def __init__(self, devices: Iterable[Device], infos: Iterable[GpuInfo] = ()) -> None:
        """Know these; `infos` tell their numbers and PCI addresses."""
        self.all = tuple(devices)
        self._by_uuid: dict[str, Device] = {one.id.lower(): one for one in self.all}
        self._by_index: dict[int, Gpu] = {}
        self._by_minor: dict[int, Gpu] = {}
        self._by_pci: dict[str, Gpu] = {}
        for info in infos:
            if info.nvml_index is not None:
                self._by_index[info.nvml_index] = info.gpu
            if info.minor is not None:
                self._by_minor[info.minor] = info.gpu
            if info.pci and (found := _PCI.search(info.pci)):
                self._by_pci[found[1].lower()] = info.gpu

    def meant(self, id_: str) -> Meant:
        """Find what the id of a device plugin means, or a name in a batch system's folder."""
        name, replica, _ = id_.partition("::")
        share = bool(replica)
        if found := _SHARE.fullmatch(name):
            name, share = found[1], True
        return Meant(self._named(name), share)

    def claimed(self, given: Given) -> Meant:
        """Find the device of a claim: by a UUID among the names that the runtime has for it, or by its own name."""
        share = given.share is not None
        for name in (*given.cdi, given.id):
            for uuid in _UUID.findall(name):
                if device := self._by_uuid.get(uuid.lower()):
                    return Meant((device,), share)
        found = _CLAIMED.fullmatch(given.id)
        gpu = self._by_minor.get(int(found[1])) if found else None
        if found is None or gpu is None:
            return Meant()
        instances = self._instances(gpu)
        if not found[2]:
            return Meant((gpu,), share)
        return Meant(instances, share) if len(instances) == 1 else Meant()

    def _named(self, name: str) -> tuple[Device, ...]:
        if device := self._by_uuid.get(name.lower()):
            return (device,)
        if found := _OLD_MIG.fullmatch(name):
            gpu = self._by_uuid.get(found[1].lower())
            return self._instances(gpu, int(found[2]), int(found[3])) if isinstance(gpu, Gpu) else ()
        if found := _FILE.fullmatch(name):
            gpu = self._by_minor.get(int(found[1]))
            if gpu is None or found[2] is None:
                return (gpu,) if gpu else ()
            return self._instances(gpu, int(found[2]))
        if _INDEX.fullmatch(name):
            gpu = self._by_index.get(int(name))
        elif found := _PCI.fullmatch(name):
            gpu = self._by_pci.get(found[1].lower())
        else:
            gpu = None
        return (gpu,) if gpu else ()

    def _instances(self, gpu: Gpu, gi: int | None = None, ci: int | None = None) -> tuple[MigInstance, ...]:
        """Give the MIG instances of a GPU, of one GPU instance, or of one compute instance in it."""
        return tuple(
            one for one in self.all if isinstance(one, MigInstance) and one.parent == gpu.id and _numbers(one, gi, ci)
        )


def devices_of(snapshot: Snapshot, devices: Iterable[Device]) -> Devices:
    """Learn what devices are called from what is known of them."""
    infos = (
        series.entity
        for batch in snapshot.batches.values()
        for series in batch.series
        if isinstance(series.entity, GpuInfo)
    )
    return Devices(devices, infos)


def parents(devices: Iterable[Device]) -> Mapping[str, str]:
    """Give the GPU of each device by their ids: the device itself where it is one."""
    return {one.id: one.parent if isinstance(one, MigInstance) else one.id for one in devices}


def _numbers(instance: MigInstance, gi: int | None, ci: int | None) -> bool:
    """Compare the numbers of an instance, which its name ends in: gpu0/PROFILE/GI/CI."""
    words = instance.name.rsplit("/", 2)[1:]
    return all(wanted is None or word == str(wanted) for word, wanted in zip(words, (gi, ci), strict=False))
