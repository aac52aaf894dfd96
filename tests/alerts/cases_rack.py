# SPDX-License-Identifier: Apache-2.0
"""When alerts about racks fire, and when they must not."""

from agent.catalogue.rack import GPUS
from tests.alerts.cases import Case, Input, Told, fires, silent, stored

DOMAIN: Told = {"fabric.cluster_uuid": "U", "fabric.clique": "1"}


def gpus(state: str, values: str, node: str) -> Input:
    return stored(GPUS, values, {**DOMAIN, "state": state}, node=node)


CASES: tuple[Case, ...] = (
    fires(
        "RackDomainIncomplete",
        "a node is off and tells nothing any more",
        "40m",
        gpus("healthy", "4x60", "n1"),
        gpus("healthy", "4x10 stale _x50", "n2"),
        who=[DOMAIN],
    ),
    fires(
        "RackDomainIncomplete",
        "a GPU leaves the domain",
        "40m",
        gpus("healthy", "4x10 3x50", "n1"),
        gpus("missing", "0x10 1x50", "n1"),
        who=[DOMAIN],
    ),
    fires("RackDomainIncomplete", "all nodes are off", "40m", gpus("healthy", "4x10 stale _x50", "n1"), who=[DOMAIN]),
    silent("RackDomainIncomplete", "a node restarts", "40m", gpus("healthy", "4x10 stale _x5 4x50", "n1")),
    silent(
        "RackDomainIncomplete",
        "a GPU has a problem and stays",
        "40m",
        gpus("healthy", "4x10 3x50", "n1"),
        gpus("degraded", "0x10 1x50", "n1"),
    ),
    silent("RackDomainIncomplete", "the domain grows", "40m", gpus("healthy", "4x10 8x50", "n1")),
)
