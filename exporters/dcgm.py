# SPDX-License-Identifier: Apache-2.0
"""The names of dcgm-exporter, with its labels and units, so that what was made for it keeps working.

Opt in with `exporters.prometheus.dcgm_names`. Names and units are in agent.catalogue.dcgm; the labels are those of
dcgm-exporter's MIG-free label set. A GPU that is one pod's or job's alone has its labels too, as with dcgm-exporter's
mapping of pods and jobs; one that is shared has none, where dcgm-exporter would give each pod the values of the whole
GPU.
"""

import socket

from agent.catalogue import health
from agent.catalogue.dcgm import ALIASES, XID
from agent.entities import Gpu, GpuInfo, GpuXid
from agent.entity import Entity
from agent.owner_entities import GpuOwner
from agent.snapshot import Snapshot
from exporters.prometheus import Format, escape

_DIGITS = 6
"""dcgm-exporter's; 0.14 times 100 is 14 then, not 14.000000000000002."""


class DcgmWriter:
    """Writes the aliases of a snapshot."""

    def __init__(self, hostname: str | None = None) -> None:
        """Write `hostname` on every series, as dcgm-exporter does."""
        self._hostname = hostname or socket.gethostname()

    def write(self, snapshot: Snapshot, form: Format) -> str:
        """Write the families. OpenMetrics wants counters to end in _total: there they are of unknown type."""
        labels = self._labels(snapshot)
        families: dict[str, list[str]] = {}
        kinds: dict[str, str] = {}
        xids: dict[Gpu, tuple[float, int]] = {}
        for (metric, entity), value in snapshot.samples():
            for alias in ALIASES.get(metric, ()):
                gpu_of = _gpu(entity)
                if alias.match == entity[1:] or (not alias.match and isinstance(entity, Gpu)):
                    kinds[alias.name] = alias.kind
                    families.setdefault(alias.name, []).append(
                        f"{alias.name}{labels.get(gpu_of, '')} {round(value * alias.scale, _DIGITS)!r}"
                    )
            if metric is health.XID_LAST_SEEN and isinstance(entity, GpuXid):
                xids[entity.gpu] = max(xids.get(entity.gpu, (0.0, 0)), (value, entity.xid))
        if labels:
            kinds[XID] = "gauge"
            families[XID] = [f"{XID}{text} {xids.get(known, (0.0, 0))[1]}" for known, text in labels.items()]
        parts = []
        for name, lines in families.items():
            kind = "unknown" if form is Format.OPENMETRICS and kinds[name] == "counter" else kinds[name]
            parts += [f"# TYPE {name} {kind}", *lines]
        return "\n".join([*parts, ""]) if parts else ""

    def _labels(self, snapshot: Snapshot) -> dict[Gpu, str]:
        found: dict[Gpu, str] = {}
        owners = _owners(snapshot)
        for (_, entity), _ in snapshot.samples():
            if isinstance(entity, GpuInfo):
                pairs = {
                    "gpu": entity.nvml_index,
                    "UUID": entity.gpu.id,
                    "pci_bus_id": None if entity.pci is None else f"0000{entity.pci.upper()}",
                    "device": None if entity.minor is None else f"nvidia{entity.minor}",
                    "modelName": entity.model,
                    "hostname": self._hostname,
                    "DCGM_FI_DRIVER_VERSION": entity.driver,
                    **owners.get(entity.gpu.id, {}),
                }
                written = ",".join(
                    f'{name}="{escape(str(value))}"' for name, value in pairs.items() if value is not None
                )
                found[entity.gpu] = f"{{{written}}}"
        return found


def _owners(snapshot: Snapshot) -> dict[str, dict[str, str | None]]:
    """Give the labels of the GPUs that are one owner's alone."""
    return {
        entity.device: {
            "container": entity.who.pod_container,
            "namespace": entity.who.namespace,
            "pod": entity.who.pod,
            "hpc_job": entity.who.slurm_job,
        }
        for (_, entity), _ in snapshot.samples()
        if isinstance(entity, GpuOwner) and entity.shared == "false"
    }


def _gpu(entity: Entity) -> Gpu:
    return entity if isinstance(entity, Gpu) else entity[0]
