# SPDX-License-Identifier: Apache-2.0
"""Whose the GPUs are, as a row: pods, jobs, containers, units and users, and whether they use what they have."""

from agent.catalogue import gpu, owners
from agent.promql import Scope
from dashboards.grafana import Draw, Look, Query
from dashboards.measures import NODE, SHARE
from dashboards.page import Line, Row, line
from dashboards.panels import graph
from dashboards.tables import Column, Key, table

_EMPTY = "nobody has a GPU here, or whose they are is not collected."


def row(scope: Scope) -> Row:
    """Make the row."""
    return Row("Owners of GPUs", (_owners(scope),))


def _owners(scope: Scope) -> Line:
    has = scope.of(owners.GPU_OWNER)
    each = has.max(NODE, "hw.id", "owner", "owner.kind")
    active = each.times(scope.of(gpu.SM_ACTIVE).max(NODE, "hw.id"), (NODE, "hw.id"), ())
    keys = ("owner", "owner.kind")
    watts = scope.rate(owners.OWNER_ENERGY).sum("owner")
    return line(
        9,
        graph(
            "Power by owner",
            owners.OWNER_ENERGY,
            Query(watts.leaders(20, "owner"), "{owner}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            note="The 20 with most, with what their GPUs draw while they idle.",
            empty=_EMPTY,
            rate=True,
        ),
        table(
            "Owners",
            (owners.GPU_OWNER, owners.OWNER_MEMORY, owners.OWNER_ENERGY, gpu.SM_ACTIVE),
            {"owner": Key("Owner", width=330), "owner.kind": Key("Kind", width=90)},
            Column("GPUs", each.count(*keys), Look(unit="short")),
            Column("SM activity", active.avg(*keys), SHARE, "gauge"),
            Column("Memory", scope.of(owners.OWNER_MEMORY).sum("owner"), Look(unit="bytes")),
            Column("Power", watts, Look(unit="watt")),
            sort="GPUs",
            note="Who has many GPUs and no activity keeps them from others.",
            empty=_EMPTY,
        ),
        widths=(10, 14),
    )
