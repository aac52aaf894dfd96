# SPDX-License-Identifier: Apache-2.0
"""What the metrics of racks are about: the NVLink domain that GPUs of several nodes form, as one node sees it."""

from typing import Annotated, NamedTuple, TypeAlias

from agent.entity import Attr

Cluster: TypeAlias = Annotated[str, Attr("fabric.cluster_uuid", "UUID of the fabric")]
Clique: TypeAlias = Annotated[int, Attr("fabric.clique", "Clique id; unique only together with the cluster")]


class Domain(NamedTuple):
    """An NVLink domain: the GPUs of one clique."""

    cluster: Cluster
    clique: Clique


class DomainGpus(NamedTuple):
    """GPUs of this node in a domain, by how they are."""

    cluster: Cluster
    clique: Clique
    state: Annotated[str, Attr("state", "healthy; degraded: the fabric has a problem with it; missing: of the node's "
                                        "GPUs, in no domain")]  # fmt: skip


class DomainProblem(NamedTuple):
    """GPUs of this node in a domain that have a problem with the fabric."""

    cluster: Cluster
    clique: Clique
    type: Annotated[str, Attr("error.type", "The problem, as in joulespan.gpu.fabric.unhealthy")]


class RackPlace(NamedTuple):
    """Where this node is in its rack, and the domain its GPUs are in."""

    chassis: Annotated[str, Attr("platform.chassis", "Chassis serial number")]
    tray: Annotated[str | None, Attr("platform.tray", "Compute tray in the rack, switch trays not counted")] = None
    slot: Annotated[str | None, Attr("platform.slot", "Slot in the rack, switch trays counted")] = None
    host: Annotated[str | None, Attr("platform.host", "Host in the tray")] = None
    modules: Annotated[
        str | None, Attr("platform.modules", "Modules in the host that have a GPU, joined by commas")
    ] = None
    cluster: Annotated[str | None, Attr("fabric.cluster_uuid", "UUID of the fabric")] = None
    clique: Annotated[str | None, Attr("fabric.clique", "Clique id; unique only together with the cluster")] = None
